"""A baseline that takes the middle of the image: what the photographer's habit is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from methods.base import Drawn
from utils.cli import POSITIVE


class Centre(Drawn):
    """A Gaussian blob of peak 1 in the middle.

    Args:
        models: none are needed.
        width: its standard deviation, a fraction of each side; at 0.25 the score is above 0.5 up to 0.29 of it from
            the middle, 27 percent of the image.
    """

    reason = "this baseline always takes the middle of the image"

    def __init__(self, models: Mapping[str, Any], *, width: Annotated[float, POSITIVE] = 0.25) -> None:
        super().__init__(models)
        self.width = width

    def draw(self, size: tuple[int, int]) -> np.ndarray:
        """See `Drawn.draw`."""
        offsets = ((np.arange(side) + 0.5) / side - 0.5 for side in size)  # pixel centres, (-0.5, 0.5)
        rows, columns = (np.exp(-((offset / self.width) ** 2) / 2).astype(np.float32) for offset in offsets)
        return np.outer(rows, columns)
