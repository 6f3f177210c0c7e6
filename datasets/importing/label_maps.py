"""Ground truth from label maps: a pixel holds the number of its category, or one that takes it out of the scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.media.masks import LOSSY_FORMATS
from utils.media.reading import open_image

__all__ = ["LabelMap"]

BACKGROUND = 0
LABEL_MODES = {"L", "P", "I", "I;16"}  # one whole number per pixel; of a palette image that is the index


@dataclass(frozen=True)
class LabelMap:
    """What sounds, by category, in a label map.

    Attributes:
        path: a lossless image of numbers; of a palette image the indices are read, not the colours.
        categories: every number a pixel may hold beside 0 (background) and `ignore`.
        foreground: those of them that sound.
        ignore: the number of pixels that must not count.
    """

    path: Path
    categories: tuple[int, ...]
    foreground: tuple[int, ...]
    ignore: int = 255

    def read(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Reads the map at its own size.

        Args:
            size: not needed.

        Returns:
            mask: (H, W) bool; blank where no category of `foreground` occurs.
            ignore: (H, W) bool.

        Raises:
            UserError: it cannot be read, is no label map of these categories, or holds ignored pixels but no category:
                such a file is more likely a black and white mask, whose object must not be lost without a word.
        """
        image = open_image(self.path)
        if image.mode not in LABEL_MODES or image.format in LOSSY_FORMATS:
            raise UserError(
                f"expected a label map (one number per pixel, as PNG) at {self.path}, found {image.format} of mode "
                f"{image.mode}, whose values are no category numbers; take the file of the original archive"
            )
        labels = np.asarray(image)
        held = set(np.unique(labels).tolist()) - {BACKGROUND}
        strange = sorted(held - {self.ignore, *self.categories})
        if strange:
            raise UserError(
                f"expected only category numbers in the label map {self.path}, found {', '.join(map(str, strange[:5]))}"
                "; take the file of the original archive"
            )
        if held == {self.ignore}:
            raise UserError(
                f"expected a category in the label map {self.path}, found only {BACKGROUND} and {self.ignore}, which "
                f"is either an object that is ignored as a whole or a black and white mask; if {self.ignore} is the "
                "object there, write its category number instead"
            )
        return np.isin(labels, self.foreground), labels == self.ignore
