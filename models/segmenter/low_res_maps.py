"""From a network's own low-resolution maps to one map in the image's pixel frame."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate

MAX_ASPECT = 16


def strongest_in_frame(maps: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Stretches maps over the whole image and takes the maximum, one full-size map in memory at a time.

    Args:
        maps: (Q, h, w) float in [0, 1], each covering the whole image however its aspect was changed; Q may be 0.
        size: (H, W) of the image.

    Returns:
        (H, W) float32 in [0, 1]; all zero for no map.
    """
    score_map = torch.zeros(size, device=maps.device)
    for low_res_map in maps:
        score_map = torch.maximum(score_map, stretched(low_res_map, size))
    return score_map.clamp(0, 1).cpu().numpy()


def stretched(low_res_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(h, w) over the whole image -> (H, W) float32, bilinearly."""
    return interpolate(low_res_map[None, None].float(), size=size, mode="bilinear", align_corners=False)[0, 0]


def within_aspect(image: np.ndarray) -> np.ndarray:
    """Adds black below or to the right of a very long image; pixels keep their places.

    Networks that keep the aspect shrink the short side with the long one, in the end to nothing.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H', W', 3) uint8, no side longer than MAX_ASPECT times the other; the same image where it was not.
    """
    height, width = image.shape[:2]
    below, right = max(0, -(-width // MAX_ASPECT) - height), max(0, -(-height // MAX_ASPECT) - width)
    return np.pad(image, ((0, below), (0, right), (0, 0))) if below or right else image
