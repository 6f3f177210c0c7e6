"""Generated samples in the layout of a benchmark: nothing is to be seen or heard in them, they only take as long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

SECONDS, SAMPLING_RATE = 5, 16000


@dataclass(frozen=True)
class Layout:
    """How samples share images and sounds.

    Attributes:
        side: of the square images, in pixels.
        frames_per_sound: consecutive samples with one sound.
        sounds_per_image: consecutive samples with one image.
    """

    side: int
    frames_per_sound: int = 1
    sounds_per_image: int = 1


LAYOUTS = {
    "s4": Layout(224, frames_per_sound=5),  # AVSBench-S4: five frames of a clip
    "is3": Layout(512, sounds_per_image=2),  # IS3: two things of an image, each with its sound
}


def write_scenes(root: Path, layout: Layout, samples: int) -> int:
    """Writes image/ wav/ gt_seg/.

    Args:
        root: an empty folder.
        layout: one of LAYOUTS.
        samples: how many.

    Returns:
        Samples of a group, consecutive by name.
    """
    for folder in ("image", "wav", "gt_seg"):
        (root / folder).mkdir()
    for index in range(samples):
        stem = f"sample_{index:05d}"
        image = np.random.default_rng([0, index // layout.sounds_per_image])
        patches = image.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        size = (layout.side, layout.side)
        Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC).save(root / "image" / f"{stem}.png")
        sound = np.random.default_rng([1, index // layout.frames_per_sound])
        times = np.arange(SECONDS * SAMPLING_RATE) / SAMPLING_RATE
        tone = np.sin(2 * np.pi * sound.uniform(200, 2000) * times)
        waveform = 0.3 * tone + 0.1 * sound.normal(size=len(times)).clip(-3, 3)
        soundfile.write(root / "wav" / f"{stem}.wav", waveform, SAMPLING_RATE)
        gt_mask = np.zeros(size, bool)
        gt_mask[layout.side // 4 : layout.side // 2, layout.side // 4 :] = True
        Image.fromarray(gt_mask).save(root / "gt_seg" / f"{stem}.png")
    return max(layout.frames_per_sound, layout.sounds_per_image)
