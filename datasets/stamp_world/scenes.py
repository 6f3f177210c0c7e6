"""Scenes of the stamps world: photographic cut-outs on varied backgrounds, one of which sounds.

A scene is planned first (which kinds, where, how large, which of them sounds) and rendered after, so that the same
plan gives the same picture at any size. Held out for testing are: random seeds, background photographs and one
texture family (`datasets/stamp_world/backgrounds.py`), every unordered pair of kinds in `is_test_pair` (no training scene
shows both), sound variations (`datasets/stamp_world/sounds.py`), and the second photographs of `Kind.unseen_photos`, which
only the split "unseen_photos" shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.stamp_world.backgrounds import background
from datasets.stamp_world.catalog import SILENT, SOUNDING, Kind, check_root, stamp_path

SPLITS = ("train", "test", "unseen_photos")
TEST_PAIR_SHARE = 0.2
MIN_VISIBLE = 0.6
CANVASES = ((256, 256), (288, 224), (320, 240), (224, 288))


@dataclass(frozen=True)
class Placed:
    """One cut-out in a scene; lengths are shares of the canvas, so a plan has no pixels in it.

    Attributes:
        kind: what it is.
        stamp: which photograph.
        x, y: centre, shares of width and height.
        size: geometric mean of its sides over that of the canvas.
        stretch: width over height, relative to the photograph.
        tilt: degrees, counter-clockwise.
        flip: mirrored left to right.
        gains: colour gain of each channel.
    """

    kind: Kind
    stamp: str
    x: float
    y: float
    size: float
    stretch: float
    tilt: float
    flip: bool
    gains: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered scene.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        label_map: (H, W) int16, index into `objects` of the topmost cut-out, -1 for background.
        objects: the cut-outs, back to front.
        planned: indices into `objects` in the order they were planned: what is to be heard comes first.
        offscreen: kinds that go with the scene by the rules of its split and are not in view.
    """

    image: np.ndarray
    label_map: np.ndarray
    objects: tuple[Placed, ...]
    planned: tuple[int, ...]
    offscreen: tuple[Kind, ...] = ()

    @property
    def sounding(self) -> int:
        """Index into `objects` of the one that sounds, where one does."""
        return self.planned[0]

    def mask(self, index: int) -> np.ndarray:
        """(H, W) bool, the visible pixels of one object."""
        return self.label_map == index


def is_test_pair(first: Kind, second: Kind) -> bool:
    """Whether two kinds are seen together in test scenes only; fixed by their names."""
    key = "|".join(sorted((first.noun, second.noun)))
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32 < TEST_PAIR_SHARE


def _fits(kind: Kind, chosen: list[Kind], split: str) -> bool:
    wanted = split != "train"
    return all(other is not kind and is_test_pair(kind, other) == wanted for other in chosen)


def _pick_kinds(rng: np.random.Generator, split: str, sounding: int, silent: int, heard: int) -> list[Kind]:
    """Sounding kinds, those that are heard first, then silent ones; all pairs belong to the split."""
    heads = [kind for kind in SOUNDING if split != "unseen_photos" or kind.unseen_photos]
    while True:
        chosen = [heads[rng.integers(len(heads))]]
        for pool, count in ((heads, heard - 1), (SOUNDING, sounding - heard), (SILENT, silent)):
            for _ in range(count):
                fitting = [kind for kind in pool if _fits(kind, chosen, split)]
                if not fitting:
                    break
                chosen.append(fitting[rng.integers(len(fitting))])
        if len(chosen) == sounding + silent:
            return chosen


def plan(rng: np.random.Generator, split: str, kinds: Sequence[Kind]) -> tuple[Placed, ...]:
    """Plans the cut-outs of a scene, one for each kind and in their order.

    Args:
        rng: the only source of chance.
        split: one of SPLITS.
        kinds: what is in view.
    """
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


@lru_cache(maxsize=256)
def _mipmaps(path: Path) -> tuple[Image.Image, ...]:
    """The cut-out cropped to what is visible, premultiplied, at full, half, quarter... size."""
    image = Image.open(path)
    image = image.convert("RGBA")
    image = image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > 40)).getbbox())
    longest = max(image.size)
    if longest > 360:
        image = image.resize([max(1, round(side * 360 / longest)) for side in image.size], Image.LANCZOS)
    levels = [image]
    while min(levels[-1].size) > 16:
        levels.append(levels[-1].resize([max(1, side // 2) for side in levels[-1].size], Image.BOX))
    return tuple(level.convert("RGBa") for level in levels)


def _cut_out(placed: Placed, root: Path, width: int, height: int) -> tuple[np.ndarray, int, int] | None:
    """One cut-out, clipped to the canvas: premultiplied (h, w, 4) float32 in [0, 255], and where its corner goes."""
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


def render(
    rng: np.random.Generator, objects: tuple[Placed, ...], root: Path, split: str, width: int, height: int
) -> Scene | None:
    """Draws planned objects, in random depth order, over a random background.

    Returns:
        The scene, or None where an object would be less than MIN_VISIBLE visible: plan again.
    """
    order = rng.permutation(len(objects))
    canvas = background(rng, root, "train" if split == "train" else "test", width, height)
    label_map = np.full((height, width), -1, np.int16)
    drawn_areas = []
    for depth, index in enumerate(order):
        cut_out = _cut_out(objects[index], root, width, height)
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


def scene(
    rng: np.random.Generator,
    root: Path,
    split: str,
    sounding: int,
    silent: int,
    width: int,
    height: int,
    heard: int = 1,
    offscreen: int = 0,
) -> Scene:
    """A random scene.

    Args:
        rng: the only source of chance.
        root: unpacked packages.
        split: one of SPLITS.
        sounding: how many kinds in view have a sound, at least 1.
        silent: how many distractors are in view.
        width, height: pixels.
        heard: how many of `sounding` are to be heard; in the split "unseen_photos" these show such a photograph.
        offscreen: how many kinds that have a sound are chosen with the others and not drawn.
    """
    check_root(root)
    for _ in range(1000):
        # after a few failures the same kinds would fail again: everything is drawn anew
        kinds = _pick_kinds(rng, split, sounding + offscreen, silent, heard)
        in_view = kinds[:sounding] + kinds[sounding + offscreen :]
        drawn = render(rng, plan(rng, split, in_view), root, split, width, height)
        if drawn is not None:
            return replace(drawn, offscreen=tuple(kinds[sounding : sounding + offscreen]))
    raise RuntimeError(
        f"expected a scene of {sounding + silent} things within 1000 attempts, found none at {width}x{height}"
    )
