"""From a network's own low-resolution maps to one map in the image's pixel frame."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate


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
        full = interpolate(low_res_map[None, None].float(), size=size, mode="bilinear", align_corners=False)[0, 0]
        score_map = torch.maximum(score_map, full)
    return score_map.clamp(0, 1).cpu().numpy()
