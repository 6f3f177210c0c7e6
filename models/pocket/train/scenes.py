"""Scenes to learn outlines from: cut-out photographs pasted onto photographs, with what each of them is called.

A scene has one to four things, some cut off by the frame or by each other, sometimes several of one kind. A query asks
for some names, and the mask is whatever in the scene they are true of. All chance comes from one random generator.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ImageFilter import GaussianBlur

from datasets.stamp_world.catalog import KINDS

PHOTOGRAPHIC = 250  # colours (of 32 levels a channel) from which a picture counts as a photograph
LARGEST = 400  # pixels that a cut-out is kept at
SOUNDING, SOUNDING_WEIGHT = ("animals", "vehicles", "hobbies/music", "people", "military"), 3
OTHER_WORDS = {"bunny", "chick", "chicken", "gander", "ram", "ewe", "calf", "puppy", "kitten", "dino", "toad"}
OTHER_WORDS |= {"fireengine", "tux", "pengwin"}
TRUE, FALSE = 0.5, 0.15  # part of a thing's names from which a query is true of it, and below which it is not


@dataclass(frozen=True, eq=False)
class CutOut:
    """A thing without its background."""

    name: str  # path below the folder of stamps, without ending
    picture: Image.Image  # RGBA
    is_photograph: bool  # and not drawn


@dataclass(frozen=True, eq=False)
class TrainingScene:
    """What is learnt from: an image of S x S pixels, and what in it a query asks for."""

    image: np.ndarray  # (S, S, 3) uint8 RGB
    query: np.ndarray  # (N,) float32 in [0, 1], the largest 1
    mask: np.ndarray  # (S, S) bool, what the query is true of
    counted: np.ndarray  # (S, S) bool, False where the query is neither true nor false


def read_cut_outs(stamps: Path) -> list[CutOut]:
    """Reads the PNG files with an alpha channel below a folder, by name; no mirrored copies and no very small ones."""
    found = []
    for path in sorted(stamps.rglob("*.png")):
        with Image.open(path) as opened:
            if "mirror" in path.name or opened.mode not in ("RGBA", "LA", "P") or min(opened.size) < 60:
                continue
            picture = opened.convert("RGBA")
        pixels = np.asarray(picture)
        opaque = pixels[..., 3] > 128
        if opaque.sum() <= 500 or opaque.all():
            continue
        colours = np.unique(pixels[..., :3][opaque] // 8, axis=0)
        is_photograph = len(colours) > PHOTOGRAPHIC and "cartoon" not in str(path)
        picture = picture.crop(Image.fromarray(opaque).getbbox())
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.BICUBIC)
        found.append(CutOut(path.relative_to(stamps).with_suffix("").as_posix(), picture, is_photograph))
    return found


def is_of_stamps_avs(name: str) -> bool:
    """Whether a stamp shows one of the kinds of Stamps-AVS, drawn or photographed, so that no training may see it."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    shown = any(name in (*kind.photos, *kind.unseen_photos) or set(kind.noun.split()) <= words for kind in KINDS)
    return shown or bool(words & OTHER_WORDS) or {"fire", "engine"} <= words


@dataclass(eq=False)
class SceneMaker:
    """Composes scenes; photographs of what may sound are drawn `SOUNDING_WEIGHT` times as often as others."""

    cut_outs: Sequence[CutOut]  # to choose from
    names_of: np.ndarray  # (len(cut_outs), N) float32, what the classifier calls each, a row's sum 1
    backgrounds: Sequence[Image.Image]  # photographs, RGB
    augment: bool = True  # whether colours, blur, noise and JPEG vary too; without it only the composition does

    def __post_init__(self) -> None:
        weights = [SOUNDING_WEIGHT if one.name.startswith(SOUNDING) else 1 for one in self.cut_outs]
        is_photograph = np.array([one.is_photograph for one in self.cut_outs])
        self.photographs = np.repeat(np.arange(len(weights)), weights * is_photograph).tolist()
        self.drawings = np.flatnonzero(~is_photograph).tolist()

    def make(self, rng: np.random.Generator, size: int) -> TrainingScene:
        """Composes one scene of size x size pixels."""
        while True:
            image, things = self._compose(rng, size)
            shown = [index for index, visible in things if visible.sum() >= 0.004 * size * size]
            if not shown:
                continue
            absent = rng.random() < 0.08
            asked = self.photographs[rng.integers(len(self.photographs))] if absent else shown[rng.integers(len(shown))]
            query = self._query(rng, asked, [index for index, _ in things])
            mask, counted = np.zeros((size, size), bool), np.ones((size, size), bool)
            for index, visible in things:
                truth = 1.0 if index == asked else float(self.names_of[index] @ (query > 0.1))
                mask |= visible & (truth >= TRUE)
                counted &= ~(visible & (FALSE < truth < TRUE))
            if mask.any() or absent:
                return TrainingScene(image, query, mask, counted)

    def _query(self, rng: np.random.Generator, asked: int, present: Sequence[int]) -> np.ndarray:
        """The most probable names of a cut-out, alike or weighted, perhaps among others (as "dog" has 118)."""
        names = self.names_of[asked]
        best = np.argsort(-names)[: rng.choice([1, 2, 3, 5, 8])]
        query = np.zeros(len(names), np.float32)
        query[best] = 1 if rng.random() < 0.5 else names[best] / names[best].max()
        if rng.random() < 0.5:
            elsewhere = self.names_of[[index for index in present if index != asked]].max(0, initial=0) > 0.03
            query[rng.permutation(np.flatnonzero(~elsewhere))[: rng.integers(1, 120)]] = 1
        return query / query.max()

    def _compose(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
        """The image, and each thing's index with what is visible of it, (size, size) bool."""
        canvas = np.asarray(self._background(rng, size), np.float32)
        count = rng.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.25, 0.1])
        chosen, things = [], []
        for _ in range(count):
            pool = self.drawings if self.drawings and rng.random() < 0.15 else self.photographs
            chosen.append(pool[rng.integers(len(pool))])
        if rng.random() < 0.15:  # a herd
            chosen += [chosen[0]] * int(rng.integers(1, 4))
        largest = rng.uniform(0.25, 1.15)
        for index in chosen:
            colours, alpha = self._place(rng, self.cut_outs[index].picture, size, largest * rng.uniform(0.5, 1))
            if self.augment:
                colours = _matched(rng, colours, alpha, canvas)
                if rng.random() < 0.25:  # a shadow
                    shadow = np.roll(alpha, (int(rng.integers(2, 12)), int(rng.integers(-10, 10))), (0, 1))
                    canvas = canvas * (1 - rng.uniform(0.1, 0.5) * shadow)
            canvas = canvas * (1 - alpha) + colours * alpha
            covered = alpha[..., 0] > 0.5
            for _, visible in things:
                visible &= ~covered
            things.append((index, covered))
        image = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
        return np.asarray(_photographed(rng, image) if self.augment else image), things

    def _background(self, rng: np.random.Generator, size: int) -> Image.Image:
        if rng.random() < 0.1:
            grid = int(rng.choice([1, 2, 4, 9, 24]))
            patches = rng.integers(0, 255, (grid, grid, 3), dtype=np.uint8)
            return Image.fromarray(patches).resize((size, size), Image.Resampling.BICUBIC)
        photograph = self.backgrounds[rng.integers(len(self.backgrounds))]
        side = rng.uniform(0.35, 1) * min(photograph.size)
        left, top = rng.uniform(0, photograph.width - side), rng.uniform(0, photograph.height - side)
        box = (left, top, left + side, top + side)
        found = photograph.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2)
        if rng.random() < 0.5:
            found = found.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.augment and rng.random() < 0.3:
            found = found.filter(GaussianBlur(rng.uniform(0.5, 5)))
        return found

    def _place(
        self, rng: np.random.Generator, picture: Image.Image, size: int, extent: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """A cut-out somewhere in an empty frame: (size, size, 3) float32 colours, (size, size, 1) float32 alpha."""
        scale, stretch = extent * size / max(picture.size), rng.uniform(0.82, 1.22)
        wide, high = round(picture.width * scale * stretch), round(picture.height * scale * (1 / stretch))
        placed = picture.resize((max(8, wide), max(8, high)), Image.Resampling.BICUBIC)
        if rng.random() < 0.5:
            placed = placed.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if rng.random() < 0.6:
            placed = placed.rotate(rng.normal(0, 12), Image.Resampling.BICUBIC, expand=True)
        if self.augment and rng.random() < 0.6:
            placed = placed.filter(GaussianBlur(rng.uniform(0.2, 1.3)))
        beyond = 0.25 if rng.random() < 0.7 else 0.5  # of it may lie outside the frame
        ranges = [(-int(beyond * side), max(1, size - int((1 - beyond) * side))) for side in placed.size]
        frame = Image.new("RGBA", (size, size))
        frame.paste(placed, tuple(int(rng.integers(*limits)) for limits in ranges))
        pixels = np.asarray(frame, np.float32)
        return pixels[..., :3], pixels[..., 3:] / 255


def _matched(rng: np.random.Generator, colours: np.ndarray, alpha: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Draws colours some way towards those of the canvas, and varies brightness, contrast and tint."""
    weight = alpha / max(alpha.sum(), 1e-6)
    own = (colours * weight).sum((0, 1))
    colours = own + (colours - own) * rng.uniform(0.6, 1.25)
    colours = colours + rng.uniform(0, 0.45) * (canvas.mean((0, 1)) - own)
    if rng.random() < 0.1:
        colours = np.broadcast_to(colours.mean(-1, keepdims=True), colours.shape)
    return (colours * rng.uniform(0.75, 1.25) + rng.normal(0, 8, 3)).clip(0, 255)


def _photographed(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """What a camera and a file format do: blur, gamma, noise, JPEG."""
    if rng.random() < 0.4:
        image = image.filter(GaussianBlur(rng.uniform(0.2, 1.4)))
    pixels = np.asarray(image, np.float32)
    if rng.random() < 0.5:
        pixels = 255 * (pixels / 255) ** rng.uniform(0.7, 1.4)
    if rng.random() < 0.4:
        pixels = pixels + rng.normal(0, rng.uniform(1, 9), (*pixels.shape[:2], 1 if rng.random() < 0.5 else 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(35, 95)))
        image = Image.open(file).convert("RGB")
    return image
