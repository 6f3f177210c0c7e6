"""Images fitted into a square, shrunk by averaging areas, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placement:
    """Where an image lies within a square.

    Attributes:
        top, left, height, width: in the square's pixels.
    """

    top: int
    left: int
    height: int
    width: int


def placed(size: tuple[int, int], side: int) -> Placement:
    """The largest place in the middle of a square that keeps an image's aspect.

    Args:
        size: (H, W) of the image.
        side: of the square.
    """
    height, width = (max(1, round(length * side / max(size))) for length in size)
    return Placement((side - height) // 2, (side - width) // 2, height, width)


def put(image: np.ndarray, placement: Placement, side: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Puts an image into its place in a square of one colour.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (side, side, 3) uint8.
    """
    square = np.empty((side, side, 3), dtype=np.uint8)
    square[:] = colour
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    square[rows, columns] = resize_by_area(image, (placement.height, placement.width))
    return square


def resize_by_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Every new pixel is the mean of the area it covers, whole pixels and parts: OpenCV's INTER_AREA, without OpenCV.

    Args:
        image: (H, W, C) uint8.
        size: (h, w).

    Returns:
        (h, w, C) uint8.
    """
    shrunk = _means(_means(image.astype(np.float64), size[0]).swapaxes(0, 1), size[1]).swapaxes(0, 1)
    return np.rint(shrunk).astype(np.uint8)


def _means(rows: np.ndarray, length: int) -> np.ndarray:
    """Means over `length` equal stretches of the first axis, cut within elements where they do not fit."""
    total = np.concatenate([np.zeros_like(rows[:1]), rows.cumsum(axis=0)])
    edges = np.linspace(0, len(rows), length + 1)
    before = np.minimum(edges.astype(int), len(rows) - 1)
    share = (edges - before).reshape(-1, *[1] * (rows.ndim - 1))
    return np.diff(total[before] * (1 - share) + total[before + 1] * share, axis=0) * (length / len(rows))
