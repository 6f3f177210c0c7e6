"""A baseline that finds nothing: what always abstaining is worth."""

from __future__ import annotations

import numpy as np

from methods.base import Drawn


class Nothing(Drawn):
    """The empty mask."""

    reason = "this baseline never finds anything"

    def draw(self, size: tuple[int, int]) -> np.ndarray:
        """See `Drawn.draw`."""
        return np.zeros(size, np.float32)
