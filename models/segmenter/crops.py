"""Images as the squares that networks see: crops around regions, and letterboxes around whole images.

Conventions:
    boxes: (P, 4) float32, x0 y0 x1 y1 in pixels, the last ones exclusive.
    squares: (P, 3) int, x0 y0 side in pixels; they may reach beyond the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d, interpolate

BACKGROUNDS = ("blur", "mean")
BLUR_GRID = 8  # a blurred crop has so many averages a side: colours and gist stay, things go


def squares_around(boxes: torch.Tensor, context: float) -> torch.Tensor:
    """The smallest squares of whole pixels around boxes, grown by a margin.

    Args:
        boxes: see above.
        context: margin, as a fraction of the longer side, half of it on each side.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1) * (1 + context)
    sides = (sides - 1e-3).ceil().clamp(min=1)  # 120.00001 is 120
    corners = (centres - sides[:, None] / 2).round()
    return torch.cat([corners, sides[:, None]], dim=1).long()


def cut(image: Image.Image, square: Sequence[int], colour: tuple[int, int, int]) -> Image.Image:
    """One square of an image; what lies beyond the image has one colour."""
    left, top, side = square
    crop = Image.new("RGB", (side, side), colour)
    inside = (max(left, 0), max(top, 0), min(left + side, image.width), min(top + side, image.height))
    crop.paste(image.crop(inside), (inside[0] - left, inside[1] - top))
    return crop


def cut_masks(masks: torch.Tensor, squares: torch.Tensor, scale: tuple[float, float], size: int) -> torch.Tensor:
    """Each mask within its own square: (P, 1, size, size) float32 in [0, 1], zero beyond the image.

    Args:
        masks: (P, h, w) float32 in [0, 1], each covering the whole image.
        squares: one a mask.
        scale: masks' pixels for one of the image's, across and down.
        size: side of the result.
    """
    from torchvision.ops import roi_align

    corners = torch.cat([squares[:, :2], squares[:, :2] + squares[:, 2:]], dim=1).float()
    corners *= torch.tensor([*scale, *scale], device=corners.device)
    boxes = torch.cat([torch.arange(len(corners), device=corners.device)[:, None].float(), corners], dim=1)
    return roi_align(masks[:, None], boxes, size, sampling_ratio=1, aligned=True)


def mute_background(crops: torch.Tensor, masks: torch.Tensor, background: str) -> torch.Tensor:
    """Leaves what a mask covers and mutes the rest: (P, 3, s, s) float32.

    Args:
        crops: (P, 3, s, s) float32, normalised by the network's mean, so that the mean colour is zero.
        masks: (P, 1, s, s) float32 in [0, 1].
        background: "blur" (the "blur reverse mask" of Yang et al., "Fine-Grained Visual Prompting", NeurIPS 2023, there
            the best of many ways to point CLIP at a region) or "mean" (one colour, as the masked crops of Liang et al.,
            "Open-Vocabulary Semantic Segmentation with Mask-adapted CLIP", CVPR 2023).
    """
    if background == "mean":
        return crops * masks
    averages = adaptive_avg_pool2d(crops, BLUR_GRID)
    blurred = interpolate(averages, size=crops.shape[-2:], mode="bilinear", align_corners=False)
    return torch.lerp(blurred, crops, masks)


@dataclass(frozen=True)
class Placement:
    """Where an image lies within a square, in the square's pixels."""

    top: int
    left: int
    height: int
    width: int


def placed(size: tuple[int, int], side: int) -> Placement:
    """The largest place in the middle of a square that keeps the aspect of an image of `size` (H, W)."""
    height, width = (max(1, round(length * side / max(size))) for length in size)
    return Placement((side - height) // 2, (side - width) // 2, height, width)


def letterboxed(image: np.ndarray, placement: Placement, side: int, colour: tuple[int, int, int]) -> np.ndarray:
    """Puts an image (H, W, 3) uint8 into its place in a square of one colour, (side, side, 3) uint8."""
    square = np.empty((side, side, 3), dtype=np.uint8)
    square[:] = colour
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    square[rows, columns] = resize_by_area(image, (placement.height, placement.width))
    return square


def resize_by_area(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) uint8 -> (h, w, C) uint8, every pixel the mean of the area it covers, whole pixels and parts.

    As OpenCV's INTER_AREA, without OpenCV.
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
