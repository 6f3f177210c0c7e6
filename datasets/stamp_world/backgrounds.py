"""Backgrounds for composed scenes: crops of photographs, and textures drawn from random numbers.

Photographs are split by file, textures by family: "cells" is drawn for testing only, every other family for both
splits, with random numbers that differ.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.stamp_world.catalog import background_photos

TRAIN_TEXTURES = ("plain", "gradient", "clouds", "grain", "stripes", "blobs")
TEST_TEXTURES = (*TRAIN_TEXTURES, "cells")
PHOTO_SHARE = 0.55


def background(rng: np.random.Generator, root: Path, split: str, width: int, height: int) -> np.ndarray:
    """Draws one background.

    Args:
        rng: the only source of chance.
        root: unpacked packages.
        split: "train" or "test".
        width, height: pixels.

    Returns:
        (height, width, 3) float32 in [0, 255].
    """
    if rng.random() < PHOTO_SHARE:
        image = _photo_crop(rng, root, split, width, height)
    else:
        families = TRAIN_TEXTURES if split == "train" else TEST_TEXTURES
        image = _texture(rng, str(rng.choice(families)), width, height)
    gain = rng.uniform(0.6, 1.2) * rng.uniform(0.88, 1.12, 3)
    return np.clip(image * gain.astype(np.float32), 0, 255)


@lru_cache(maxsize=64)
def _photo(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGB")
    image.thumbnail((640, 640), Image.LANCZOS)
    return image


def _photo_crop(rng: np.random.Generator, root: Path, split: str, width: int, height: int) -> np.ndarray:
    photos = background_photos(root, split)
    photo = _photo(photos[rng.integers(len(photos))])
    share = rng.uniform(0.35, 1.0)
    scale = share * min(photo.width / width, photo.height / height)
    w, h = width * scale, height * scale
    x, y = rng.uniform(0, photo.width - w), rng.uniform(0, photo.height - h)
    crop = photo.resize((width, height), Image.BILINEAR, box=(x, y, x + w, y + h), reducing_gap=1.5)
    if rng.random() < 0.5:
        crop = crop.transpose(Image.FLIP_LEFT_RIGHT)
    return np.asarray(crop, np.float32)


def _colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) float32 in [0, 255], muted around a common tone."""
    base = rng.uniform(30, 225, 3)
    return np.clip(base + rng.normal(0, 45, (count, 3)), 0, 255).astype(np.float32)


def _noise(rng: np.random.Generator, width: int, height: int, cells: int) -> np.ndarray:
    """(height, width) float32 in [0, 1]: random values on a grid of about `cells` cells across, smoothly upsampled."""
    grid = rng.random((max(2, cells * height // max(width, height)), max(2, cells * width // max(width, height))))
    field = Image.fromarray(grid.astype(np.float32)).resize((width, height), Image.BICUBIC)
    return np.clip(np.asarray(field), 0, 1)


def _texture(rng: np.random.Generator, family: str, width: int, height: int) -> np.ndarray:
    first, second, third = _colours(rng, 3)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if family == "plain":
        weight = np.zeros((height, width), np.float32)
    elif family == "gradient":
        angle = rng.uniform(0, 2 * np.pi)
        ramp = np.cos(angle) * x / width + np.sin(angle) * y / height
        weight = (ramp - ramp.min()) / (np.ptp(ramp) + 1e-6)
    elif family == "clouds":
        weight = sum(_noise(rng, width, height, 2 ** (k + 1)) / 2**k for k in range(4)) / 1.875
    elif family == "grain":
        weight = 0.5 * _noise(rng, width, height, 48) + 0.5 * rng.random((height, width), np.float32)
    elif family == "stripes":
        angle, period = rng.uniform(0, np.pi), rng.uniform(0.04, 0.3) * max(width, height)
        wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
        weight = 1 / (1 + np.exp(-rng.uniform(1, 8) * wave))
    elif family == "blobs":
        weight = (_noise(rng, width, height, int(rng.integers(4, 12))) > 0.5).astype(np.float32)
    elif family == "cells":
        points = rng.random((int(rng.integers(8, 30)), 2)).astype(np.float32) * (width, height)
        distance = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2
        shade = rng.random(len(points)).astype(np.float32)
        weight = shade[distance.argmin(-1)]
    else:
        raise ValueError(f"expected a texture family of {TEST_TEXTURES}, found {family!r}")
    weight = weight[..., None].astype(np.float32)
    speckle = rng.normal(0, rng.uniform(0, 8), (height, width, 1)).astype(np.float32)
    blend = first * (1 - weight) + second * weight
    tint = _noise(rng, width, height, 3)[..., None] * 0.25
    return np.clip(blend * (1 - tint) + third * tint + speckle, 0, 255)
