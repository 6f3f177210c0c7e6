"""Where importers' ground truth comes from when each sample has a mask file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.media.masks import read_mask
from utils.media.reading import open_image

__all__ = ["MaskFile"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY_8_BIT = b"\x08\x00"  # bit depth and colour type, bytes 24 and 25 of a PNG


@dataclass(frozen=True)
class MaskFile:
    """A binary mask in a file of any kind: 1-bit, grey, palette, colour, with alpha, noisy JPEG; nothing is ignored.

    Attributes:
        path: the file; `utils.media.masks` says what counts as foreground in it.
    """

    path: Path

    @property
    def unchanged(self) -> Path | None:
        """The file where it already is an 8-bit grey PNG of 0 and 255, None where it has to be written anew.

        Raises:
            UserError: it cannot be read.
        """
        image = open_image(self.path)
        with self.path.open("rb") as file:
            head = file.read(26)
        if head[:8] != PNG_SIGNATURE or head[24:] != GREY_8_BIT:
            return None
        binary = not image.has_transparency_data and np.isin(np.asarray(image), (0, 255)).all()
        return self.path if binary else None

    def read(self, size: tuple[int, int]) -> tuple[np.ndarray, None]:
        """Reads the mask.

        Args:
            size: of the image; the file has its own.

        Returns:
            mask: (H, W) bool at the file's size.
            ignore: None.

        Raises:
            UserError: it cannot be read.
        """
        return read_mask(self.path), None
