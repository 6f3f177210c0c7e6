"""A miniature of the two Debian packages: every stamp a coloured disc, every recording half a second of one tone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw

from datasets.stamp_catalog import KINDS, TEST_PHOTOS, stamp_path


def build(root: Path) -> Path:
    """Writes the miniature below `root` and returns `root`."""
    templates = root / "usr/share/tuxpaint/templates"
    templates.mkdir(parents=True)
    for number, name in enumerate([*TEST_PHOTOS, "corn_maze", "mudstone", "sheep"]):
        Image.new("RGB", (64, 48), (20 * number, 90, 200)).save(templates / f"{name}.jpg")
    for number, kind in enumerate(KINDS):
        colour = (number * 37 % 256, number * 91 % 256, number * 53 % 256, 255)
        for stamp in (*kind.photos, *kind.unseen_photos):
            path = stamp_path(root, stamp, "png")
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.new("RGBA", (40, 30))
            ImageDraw.Draw(image).ellipse((2, 2, 37, 27), fill=colour)
            image.save(path)
        for stamp in kind.sounds:
            time = np.arange(8000) / 16000
            soundfile.write(stamp_path(root, stamp, "ogg"), 0.3 * np.sin(2 * np.pi * (200 + 40 * number) * time), 16000)
    return root
