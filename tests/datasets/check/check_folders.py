"""Dataset folders for the tests of the checker: sound ones, to be broken in one place each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from datasets.manifest import Manifest
from utils.types import Entry

SIZE = (48, 64)  # (H, W)
RATE = 8000


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Noise, so that no two are alike."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def noise(seed: int, seconds: float = 1.0) -> np.ndarray:
    """(T,) noise around -20 dBFS."""
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))


def left_half(size: tuple[int, int] = SIZE, background: int = 0, foreground: int = 255) -> np.ndarray:
    """(H, W) uint8 whose left half is foreground."""
    mask = np.full(size, background, np.uint8)
    mask[:, : size[1] // 2] = foreground
    return mask


def save_mask(root: Path, stem: str, values: np.ndarray, suffix: str = ".png", folder: str = "gt_seg") -> None:
    """Writes a mask as it is, in place of any other of its stem."""
    (root / folder).mkdir(exist_ok=True)
    for path in (root / folder).glob(f"{stem}.*"):
        path.unlink()
    Image.fromarray(values).save(root / folder / f"{stem}{suffix}")


def save_sound(root: Path, stem: str, waveform: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
    """Writes a WAV."""
    soundfile.write(root / "wav" / f"{stem}.wav", waveform, rate, subtype=subtype)


def add_sample(root: Path, stem: str, seed: int, image_folder: str = "image", image_suffix: str = ".png") -> None:
    """Writes one sample with nothing wrong."""
    for folder in (image_folder, "wav", "gt_seg"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    picture(seed).save(root / image_folder / f"{stem}{image_suffix}")
    save_sound(root, stem, noise(seed))
    save_mask(root, stem, left_half())


def sound_folder(root: Path, stems: Sequence[str] = ("a", "b", "c")) -> Path:
    """A folder with nothing wrong."""
    for seed, stem in enumerate(stems):
        add_sample(root, stem, seed)
    return root


def manifest_of(stems: Sequence[str], **values) -> Manifest:
    """A manifest that names stems, each its own group."""
    return Manifest("Bench", {}, {"split": "test"}, {stem: Entry(stem, ("dog",)) for stem in stems}, **values)


def kill_the_process(path: Path) -> None:
    """Looks at a file as a process does that runs out of memory."""
    os._exit(1)
