"""Scenes of the stamps world: photographic cut-outs on photographs or textures, planned first and rendered after.

A plan (which kinds, where, how large, which of them sounds) gives the same picture at any size. Held out for testing
are: random seeds; background photographs, by file, and the texture family "cells"; every unordered pair of kinds in
`is_test_pair` (no training scene shows both); sound variations (`datasets/stamp_world/sounds.py`); and the second
photographs of `Kind.unseen_photos`, which only the split "unseen_photos" shows.

Conventions:
    rng: the only source of chance.
    root: unpacked packages.
    split: one of SPLITS.
    size: (width, height) of the canvas in pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.stamp_world.catalog import SILENT, SOUNDING, Kind, background_photos, check_root, stamp_path

SPLITS = ("train", "test", "unseen_photos")
CANVASES = ((256, 256), (288, 224), (320, 240), (224, 288))
TEST_PAIR_SHARE = 0.2
MIN_VISIBLE = 0.6
PHOTO_SHARE = 0.55  # of backgrounds; the others are textures
TRAIN_TEXTURES = ("plain", "gradient", "clouds", "grain", "stripes", "blobs")
TEST_TEXTURES = (*TRAIN_TEXTURES, "cells")

Size = tuple[int, int]


@dataclass(frozen=True)
class Placed:
    """One cut-out in a scene; lengths are shares of the canvas, so a plan has no pixels in it."""

    kind: Kind
    stamp: str  # which photograph
    x: float  # of the centre, a fraction of the width
    y: float  # of the centre, a fraction of the height
    size: float  # geometric mean of its sides over that of the canvas
    stretch: float  # width over height, relative to the photograph
    tilt: float  # degrees, counter-clockwise
    flip: bool  # mirrored left to right
    gains: tuple[float, float, float]  # of each colour channel


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered scene."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    label_map: np.ndarray  # (H, W) int16, index into `objects` of the topmost cut-out, -1 for background
    objects: tuple[Placed, ...]  # the cut-outs, back to front
    planned: tuple[int, ...]  # indices into `objects` in the order they were planned: what is to be heard comes first
    offscreen: tuple[Kind, ...] = ()  # kinds that go with the scene by the rules of its split and are not in view


@dataclass(frozen=True)
class Cast:
    """How many things a scene has."""

    sounding: int  # kinds in view that have a sound, at least 1
    silent: int  # distractors in view
    heard: int = 1  # of `sounding`, to be heard; in the split "unseen_photos" these show such a photograph
    offscreen: int = 0  # kinds that have a sound, chosen with the others and not drawn


def scene(rng: np.random.Generator, root: Path, split: str, size: Size, cast: Cast) -> Scene:
    """Draws a random scene."""
    check_root(root)
    for _ in range(1000):
        # after a few failures the same kinds would fail again: everything is drawn anew
        kinds = _pick_kinds(rng, split, cast)
        absent = slice(cast.sounding, cast.sounding + cast.offscreen)
        in_view = kinds[: absent.start] + kinds[absent.stop :]
        drawn = render(rng, plan(rng, split, in_view), root, split, size)
        if drawn is not None:
            return replace(drawn, offscreen=tuple(kinds[absent]))
    things = cast.sounding + cast.silent
    raise RuntimeError(f"expected a scene of {things} things within 1000 attempts, found none at {size[0]}x{size[1]}")


def is_test_pair(first: Kind, second: Kind) -> bool:
    """Whether two kinds are seen together in test scenes only; fixed by their names."""
    key = "|".join(sorted((first.noun, second.noun)))
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32 < TEST_PAIR_SHARE


def _pick_kinds(rng: np.random.Generator, split: str, cast: Cast) -> list[Kind]:
    """Sounding kinds, those that are heard first and those offscreen last, then silent ones; all pairs of the split."""
    heads = [kind for kind in SOUNDING if split != "unseen_photos" or kind.unseen_photos]
    sounding, wanted = cast.sounding + cast.offscreen, split != "train"
    while True:
        chosen = [heads[rng.integers(len(heads))]]
        for pool, count in ((heads, cast.heard - 1), (SOUNDING, sounding - cast.heard), (SILENT, cast.silent)):
            for _ in range(count):
                others = [kind for kind in pool if kind not in chosen]
                fitting = [kind for kind in others if all(is_test_pair(kind, one) == wanted for one in chosen)]
                if not fitting:
                    break
                chosen.append(fitting[rng.integers(len(fitting))])
        if len(chosen) == sounding + cast.silent:
            return chosen


def plan(rng: np.random.Generator, split: str, kinds: Sequence[Kind]) -> tuple[Placed, ...]:
    """Plans the cut-outs of a scene, one for each kind in view and in their order."""
    placed = []
    for kind in kinds:
        photos = kind.unseen_photos if split == "unseen_photos" and kind.unseen_photos else kind.photos
        largest = {1: 0.65, 2: 0.52, 3: 0.45}.get(len(kinds), 0.4)
        gains = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)
        placed.append(
            Placed(
                kind=kind,
                stamp=photos[rng.integers(len(photos))],
                x=float(rng.uniform(0.14, 0.86)),
                y=float(rng.uniform(0.14, 0.86)),
                size=float(rng.uniform(0.28, largest)),
                stretch=float(np.exp(rng.uniform(-0.25, 0.25))),
                tilt=float(rng.normal(0, 9)),
                flip=bool(rng.random() < 0.5),
                gains=tuple(float(gain) for gain in gains),
            )
        )
    return tuple(placed)


def render(rng: np.random.Generator, objects: tuple[Placed, ...], root: Path, split: str, size: Size) -> Scene | None:
    """Draws planned objects, in random depth order, over a random background.

    Returns:
        The scene, or None where an object would be less than MIN_VISIBLE visible: plan again.
    """
    order = rng.permutation(len(objects))
    canvas = background(rng, root, split, size)
    label_map = np.full(canvas.shape[:2], -1, np.int16)
    drawn_areas = []
    for depth, index in enumerate(order):
        cut_out = _cut_out(objects[index], root, size)
        if cut_out is None:
            return None
        pixels, left, top = cut_out
        area = (slice(top, top + pixels.shape[0]), slice(left, left + pixels.shape[1]))
        alpha = pixels[..., 3:] / 255
        canvas[area] = canvas[area] * (1 - alpha) + pixels[..., :3]
        solid = pixels[..., 3] > 127
        drawn_areas.append(int(solid.sum()))
        label_map[area][solid] = depth
    visible = np.bincount(label_map[label_map >= 0].ravel(), minlength=len(order))
    if any(seen < max(12, MIN_VISIBLE * drawn) for seen, drawn in zip(visible, drawn_areas, strict=True)):
        return None
    image = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return Scene(image, label_map, tuple(objects[i] for i in order), tuple(int(depth) for depth in np.argsort(order)))


@lru_cache(maxsize=256)
def _mipmaps(path: Path) -> tuple[Image.Image, ...]:
    """The cut-out cropped to what is visible, premultiplied, at full, half, quarter... size."""
    image = Image.open(path).convert("RGBA")
    image = image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > 40)).getbbox())
    longest = max(image.size)
    if longest > 360:
        image = image.resize([max(1, round(side * 360 / longest)) for side in image.size], Image.LANCZOS)
    levels = [image]
    while min(levels[-1].size) > 16:
        levels.append(levels[-1].resize([max(1, side // 2) for side in levels[-1].size], Image.BOX))
    return tuple(level.convert("RGBa") for level in levels)


def _cut_out(placed: Placed, root: Path, size: Size) -> tuple[np.ndarray, int, int] | None:
    """One cut-out, clipped to the canvas: premultiplied (h, w, 4) float32 in [0, 255], and where its corner goes."""
    width, height = size
    levels = _mipmaps(stamp_path(root, placed.stamp, "png"))
    full = levels[0]
    side = placed.size * (width * height) ** 0.5
    aspect = full.width / full.height * placed.stretch
    w, h = side * aspect**0.5, side / aspect**0.5
    shrink = min(1.0, 0.9 * width / w, 0.9 * height / h)
    w, h = w * shrink, h * shrink
    level = next((one for one in reversed(levels) if one.width >= w and one.height >= h), full)
    angle = np.deg2rad(placed.tilt)
    cos, sin = np.cos(angle), np.sin(angle)
    out_w, out_h = w * abs(cos) + h * abs(sin), w * abs(sin) + h * abs(cos)
    left = max(0, int(np.floor(placed.x * width - out_w / 2)))
    top = max(0, int(np.floor(placed.y * height - out_h / 2)))
    right = min(width, int(np.ceil(placed.x * width + out_w / 2)))
    bottom = min(height, int(np.ceil(placed.y * height + out_h / 2)))
    if right - left < 2 or bottom - top < 2:
        return None
    # output pixel (u, v) -> level pixel: centre, rotate back, scale, flip
    sx, sy = level.width / w * (-1 if placed.flip else 1), level.height / h
    cx, cy = left - placed.x * width, top - placed.y * height
    matrix = (
        sx * cos, -sx * sin, sx * (cos * cx - sin * cy) + level.width / 2,
        sy * sin, sy * cos, sy * (sin * cx + cos * cy) + level.height / 2,
    )  # fmt: skip
    drawn = level.transform((right - left, bottom - top), Image.AFFINE, matrix, Image.BILINEAR)
    pixels = np.frombuffer(drawn.tobytes(), np.uint8).reshape(bottom - top, right - left, 4).astype(np.float32)
    pixels[..., :3] = np.minimum(pixels[..., :3] * np.float32(placed.gains), pixels[..., 3:])
    return pixels, left, top


def background(rng: np.random.Generator, root: Path, split: str, size: Size) -> np.ndarray:
    """A crop of a photograph or a texture, (height, width, 3) float32 in [0, 255]."""
    if rng.random() < PHOTO_SHARE:
        photos = background_photos(root, "train" if split == "train" else "test")
        image = _photo_crop(rng, photos[rng.integers(len(photos))], size)
    else:
        families = TRAIN_TEXTURES if split == "train" else TEST_TEXTURES
        image = _texture(rng, str(rng.choice(families)), size)
    gain = rng.uniform(0.6, 1.2) * rng.uniform(0.88, 1.12, 3)
    return np.clip(image * gain.astype(np.float32), 0, 255)


@lru_cache(maxsize=64)
def _photo(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGB")
    image.thumbnail((640, 640), Image.LANCZOS)
    return image


def _photo_crop(rng: np.random.Generator, path: Path, size: Size) -> np.ndarray:
    photo = _photo(path)
    scale = rng.uniform(0.35, 1.0) * min(photo.width / size[0], photo.height / size[1])
    w, h = size[0] * scale, size[1] * scale
    x, y = rng.uniform(0, photo.width - w), rng.uniform(0, photo.height - h)
    crop = photo.resize(size, Image.BILINEAR, box=(x, y, x + w, y + h), reducing_gap=1.5)
    if rng.random() < 0.5:
        crop = crop.transpose(Image.FLIP_LEFT_RIGHT)
    return np.asarray(crop, np.float32)


def _noise(rng: np.random.Generator, size: Size, cells: int) -> np.ndarray:
    """(height, width) float32 in [0, 1]: random values on a grid of about `cells` cells across, smoothly upsampled."""
    width, height = size
    grid = rng.random((max(2, cells * height // max(size)), max(2, cells * width // max(size))))
    field = Image.fromarray(grid.astype(np.float32)).resize(size, Image.BICUBIC)
    return np.clip(np.asarray(field), 0, 1)


def _texture(rng: np.random.Generator, family: str, size: Size) -> np.ndarray:
    """Three muted colours around a common tone, blended by what the family draws."""
    width, height = size
    colours = np.clip(rng.uniform(30, 225, 3) + rng.normal(0, 45, (3, 3)), 0, 255)
    first, second, third = colours.astype(np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if family == "plain":
        weight = np.zeros((height, width), np.float32)
    elif family == "gradient":
        angle = rng.uniform(0, 2 * np.pi)
        ramp = np.cos(angle) * x / width + np.sin(angle) * y / height
        weight = (ramp - ramp.min()) / (np.ptp(ramp) + 1e-6)
    elif family == "clouds":
        weight = sum(_noise(rng, size, 2 ** (k + 1)) / 2**k for k in range(4)) / 1.875
    elif family == "grain":
        weight = 0.5 * _noise(rng, size, 48) + 0.5 * rng.random((height, width), np.float32)
    elif family == "stripes":
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.04, 0.3) * max(size)
        wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
        weight = 1 / (1 + np.exp(-rng.uniform(1, 8) * wave))
    elif family == "blobs":
        weight = (_noise(rng, size, int(rng.integers(4, 12))) > 0.5).astype(np.float32)
    else:  # cells
        points = rng.random((int(rng.integers(8, 30)), 2)).astype(np.float32) * (width, height)
        distance = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2
        shade = rng.random(len(points)).astype(np.float32)
        weight = shade[distance.argmin(-1)]
    weight = weight[..., None].astype(np.float32)
    speckle = rng.normal(0, rng.uniform(0, 8), (height, width, 1)).astype(np.float32)
    blend = first * (1 - weight) + second * weight
    tint = _noise(rng, size, 3)[..., None] * 0.25
    return np.clip(blend * (1 - tint) + third * tint + speckle, 0, 255)
