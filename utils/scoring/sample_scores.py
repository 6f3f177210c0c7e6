"""Everything measured on one score map: what all protocols are computed from, once, before any of them is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.scoring.metrics import (
    adaptive_threshold,
    avsbench_f_curve,
    avsbench_iou,
    f_score,
    intersection_and_union,
    iou,
    iou_curve,
    median_threshold,
    relative_threshold,
    without_ignored,
)

__all__ = ["CURVE_THRESHOLDS", "FIXED_THRESHOLD", "SampleScores", "count_levels", "score_sample"]

FIXED_THRESHOLD = 0.5
CURVE_THRESHOLDS = np.linspace(0, 0.95, 20)  # of the plot "IoU at every fixed threshold"


@dataclass(frozen=True, eq=False, slots=True)
class SampleScores:
    """One score map against its ground truth; pixels to be ignored are left out of everything.

    Attributes:
        iou_fixed, f_fixed, avsbench_iou: at the fixed threshold.
        iou_adaptive, f_adaptive: at the oracle's threshold.
        iou_median, iou_relative: at thresholds taken from the map alone.
        f_curve: (255,) float32, one F per AVSBench threshold.
        iou_curve: (20,) float32, IoU at each of CURVE_THRESHOLDS.
        intersection, union, predicted, foreground, pixels: |M & G|, |M or G|, |M|, |G| and HW at the fixed threshold.
        levels: distinct values of the map as the method gave it, counted up to 3: two or fewer are a hard mask.
    """

    iou_fixed: float
    f_fixed: float
    avsbench_iou: float
    iou_adaptive: float
    f_adaptive: float
    iou_median: float
    iou_relative: float
    f_curve: np.ndarray
    iou_curve: np.ndarray
    intersection: int
    union: int
    predicted: int
    foreground: int
    pixels: int
    levels: int

    @property
    def gt_empty(self) -> bool:
        """No foreground in the ground truth."""
        return self.foreground == 0

    @property
    def prediction_empty(self) -> bool:
        """No foreground at the fixed threshold."""
        return self.predicted == 0

    @property
    def area(self) -> float:
        """Share of the image that is foreground at the fixed threshold."""
        return self.predicted / self.pixels


def score_sample(
    score_map: np.ndarray,
    gt_mask: np.ndarray,
    threshold: float = FIXED_THRESHOLD,
    gt_ignore: np.ndarray | None = None,
) -> SampleScores:
    """Scores one sample.

    Args:
        score_map: (H, W) float in [0, 1].
        gt_mask: (H, W) bool.
        threshold: the fixed threshold in [0, 1]; published numbers use 0.5.
        gt_ignore: (H, W) bool, pixels taken out of both before anything is counted; None for none.

    Raises:
        ValueError: shapes differ, the score map leaves [0, 1] or is not finite, a mask is not bool, no pixel is left.
    """
    if gt_ignore is not None:
        score_map, gt_mask = (without_ignored(values, gt_ignore) for values in (score_map, gt_mask))
    adaptive = score_map > adaptive_threshold(score_map, gt_mask)
    fixed = score_map > threshold
    intersection, union = intersection_and_union(fixed, gt_mask)
    return SampleScores(
        iou_fixed=iou(fixed, gt_mask),
        f_fixed=f_score(fixed, gt_mask),
        avsbench_iou=avsbench_iou(fixed, gt_mask),
        iou_adaptive=iou(adaptive, gt_mask),
        f_adaptive=f_score(adaptive, gt_mask),
        iou_median=iou(score_map > median_threshold(score_map), gt_mask),
        iou_relative=iou(score_map > relative_threshold(score_map), gt_mask),
        f_curve=avsbench_f_curve(score_map, gt_mask).astype(np.float32),
        iou_curve=iou_curve(score_map, gt_mask, CURVE_THRESHOLDS).astype(np.float32),
        intersection=intersection,
        union=union,
        predicted=int(np.count_nonzero(fixed)),
        foreground=int(np.count_nonzero(gt_mask)),
        pixels=gt_mask.size,
        levels=count_levels(score_map),
    )


def count_levels(score_map: np.ndarray) -> int:
    """Distinct values of a score map, counted up to 3; resizing adds some, so this is asked of the map before it."""
    low, high = score_map.min(), score_map.max()
    if low == high:
        return 1
    return 3 if ((score_map != low) & (score_map != high)).any() else 2
