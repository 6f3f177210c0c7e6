"""Regions that something in a picture could be, from maps of things: whole, and each connected part by itself."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.segmenter.score_maps import NEAR_MISS

LEAST_AREA = 0.003  # of the image; a smaller part is left out
LEAST_PART = 0.15  # of the largest part of its map
SAME = 0.7  # IoU of two regions from which they are one


def parts_of(score_map: np.ndarray) -> list[np.ndarray]:
    """A map, and where what is above 0.5 has several connected parts, the map of each, the others below 0.5.

    Args:
        score_map: (H, W) float32 in [0, 1].

    Returns:
        (H, W) float32 in [0, 1] each; none where nothing is above 0.5.
    """
    from scipy.ndimage import label

    inside = score_map > 0.5
    labels, _ = label(inside)
    areas = np.bincount(labels.ravel())[1:]
    if not len(areas):
        return []
    kept = np.flatnonzero(areas >= max(LEAST_AREA * inside.size, LEAST_PART * areas.max())) + 1
    alone = [np.where(inside & (labels != part), NEAR_MISS * score_map, score_map) for part in kept]
    return [score_map, *(alone if len(kept) > 1 else [])]


def distinct(regions: Iterable[np.ndarray]) -> list[np.ndarray]:
    """The maps, (H, W) float32 in [0, 1], without those of which an earlier one covers much the same."""
    kept: list[np.ndarray] = []
    for region in regions:
        inside = region > 0.5
        if all((inside & (one > 0.5)).sum() < SAME * (inside | (one > 0.5)).sum() for one in kept):
            kept.append(region)
    return kept
