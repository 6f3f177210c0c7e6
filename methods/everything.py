"""A baseline that takes the whole image: what large things are worth."""

from __future__ import annotations

import numpy as np

from methods.base import Drawn


class Everything(Drawn):
    """The full mask."""

    reason = "this baseline always takes the whole image"

    def draw(self, size: tuple[int, int]) -> np.ndarray:
        """See `Drawn.draw`."""
        return np.ones(size, np.float32)
