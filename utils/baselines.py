"""What a system scores that neither looks nor listens: the numbers any method has to beat."""

from __future__ import annotations

import numpy as np

__all__ = ["trivial_score_maps"]

CENTRE_WIDTH = 0.25  # standard deviation of the centre blob, as a share of each side


def trivial_score_maps(size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Score maps that are the same for every sample.

    Args:
        size: (H, W) in pixels.

    Returns:
        name -> (H, W) float32 in [0, 1]. "whole image" is 1 everywhere; nothing exceeds its adaptive threshold, so its
        oracle scores are 0. "centre" is a Gaussian blob of peak 1, above 0.5 up to 0.29 of the side from the centre.
    """
    offsets = ((np.arange(side) + 0.5) / side - 0.5 for side in size)  # pixel centres, (-0.5, 0.5)
    rows, columns = (np.exp(-((offset / CENTRE_WIDTH) ** 2) / 2).astype(np.float32) for offset in offsets)
    return {"whole image": np.ones(size, np.float32), "centre": np.outer(rows, columns)}
