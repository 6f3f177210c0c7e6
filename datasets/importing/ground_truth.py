"""Where a sample's ground truth comes from: a binary mask, a label map, or boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from datasets.masks import read_mask
from utils.errors import UserError
from utils.media.images import LOSSY_FORMATS, open_image

Box = tuple[float, float, float, float]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY_8_BIT = b"\x08\x00"  # bit depth and colour type, bytes 24 and 25 of a PNG
BACKGROUND = 0
LABEL_MODES = {"L", "P", "I", "I;16"}  # one whole number per pixel; of a palette image that is the index
BOX_NOTES = (
    "The ground truth is boxes: IoU, J and F against it reward boxes, and a perfect outline does not score 1.",
    "Boxes became masks at the image's own size: a pixel is foreground where its centre lies in the box.",
)


class MaskSource(Protocol):
    """What an importer can take a mask from; picklable.

    One that reads a single file calls it `path`: a mask older than it is written again. It may also have a property
    `unchanged`: the file that already is what would be written (an 8-bit grey PNG of 0 and 255) and is linked, or None.
    """

    def read(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Reads the ground truth of an image of `size` (H, W), or raises `UserError`.

        Returns:
            mask: (H, W) bool at its own size, or the image's where it has none.
            ignore: (H, W) bool, pixels that must not count, or None.
        """


@dataclass(frozen=True)
class MaskFile:
    """A binary mask in a file of any kind, read as `datasets.masks` says; nothing is ignored."""

    path: Path

    @property
    def unchanged(self) -> Path | None:
        """The file where it already is an 8-bit grey PNG of 0 and 255, None where it has to be written anew."""
        image = open_image(self.path)
        with self.path.open("rb") as file:
            head = file.read(26)
        if head[:8] != PNG_SIGNATURE or head[24:] != GREY_8_BIT:
            return None
        binary = not image.has_transparency_data and np.isin(np.asarray(image), (0, 255)).all()
        return self.path if binary else None

    def read(self, size: tuple[int, int]) -> tuple[np.ndarray, None]:
        """The mask at the file's own size, and None."""
        return read_mask(self.path), None


@dataclass(frozen=True)
class LabelMap:
    """What sounds, by category, in an image whose pixels hold the number of their category."""

    path: Path  # a lossless image of numbers; of a palette image the indices are read, not the colours
    categories: tuple[int, ...]  # every number a pixel may hold beside 0 (background) and `ignore`
    foreground: tuple[int, ...]  # those of them that sound
    ignore: int = 255  # the number of pixels that must not count

    def read(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The mask at the map's own size, blank where no category of `foreground` occurs, and what is ignored.

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


@dataclass(frozen=True)
class Boxes:
    """A mask that is given by boxes.

    A box (x0, y0, x1, y1) is relative to the image, x to the right and y down, 1 the far edge. Of an image of H x W
    pixels it covers pixel (i, j) where it holds the pixel's centre:

        x0 <= (j + 0.5) / W < x1    and    y0 <= (i + 0.5) / H < y1

    so what lies outside the image counts for nothing, and a box without area, with its corners exchanged, or too thin
    to hold a centre covers no pixel.
    """

    boxes: tuple[Box, ...]
    agreement: int = 1  # how many of them must cover a pixel of the foreground; 1 is their union

    def read(self, size: tuple[int, int]) -> tuple[np.ndarray, None]:
        """The mask at the image's size, and None, since every pixel counts."""
        rows, columns = ((np.arange(length) + 0.5) / length for length in size)
        covered = np.zeros(size, dtype=np.intp)
        for x0, y0, x1, y1 in self.boxes:
            covered += np.outer((y0 <= rows) & (rows < y1), (x0 <= columns) & (columns < x1))
        return covered >= self.agreement, None


def read_box(values: object, side: float = 1.0) -> Box:
    """One annotated box; `UserError` unless four finite numbers x0, y0, x1, y1, of which `side` becomes 1."""
    is_list = isinstance(values, list) and len(values) == 4
    if is_list and all(type(value) in (int, float) and abs(value) < 1e6 for value in values):  # no NaN
        x0, y0, x1, y1 = (value / side for value in values)
        return x0, y0, x1, y1
    raise UserError(f"expected a box of four numbers x0, y0, x1, y1, found {values!r:.80}; mend the annotation")
