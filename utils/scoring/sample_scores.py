"""Everything measured on one prediction: what all protocols are computed from, once, before any of them is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from utils.media.images import resize_mask, resize_score_map
from utils.scoring import metrics
from utils.scoring.extent import lost_pixels
from utils.types import Prediction, Sample

FIXED_THRESHOLD = 0.5
CURVE_THRESHOLDS = np.linspace(0, 0.95, 20)  # of the plot "IoU at every fixed threshold", and all but 0 of `sweep`
EVAL_SIZE = (224, 224)  # (H, W)
Resolution = Literal["224", "native"]


@dataclass(frozen=True, eq=False, slots=True)
class SampleScores:
    """One prediction against its ground truth; pixels to be ignored are left out of everything.

    Attributes:
        iou_fixed, f_fixed, avsbench_iou: at the fixed threshold.
        iou_adaptive, f_adaptive: at the oracle's threshold.
        iou_median, iou_relative: at thresholds taken from the map alone.
        f_curve: (255,) float32, one F per AVSBench threshold.
        iou_curve: (20,) float32, AVSBench's IoU at each of CURVE_THRESHOLDS.
        intersection, union, predicted, foreground, pixels: |M & G|, |M or G|, |M|, |G| and HW at the fixed threshold.
        levels: distinct values of the map as the method gave it, counted up to 3: two or fewer are a hard mask.
        confidence: the score of the best query; None where nothing was asked.
        lost: kind of error -> pixels, see `utils.scoring.extent`; none where nothing is to be found.
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
    confidence: float | None = None
    lost: Mapping[str, int] = field(default_factory=dict)

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

    @property
    def lost_to(self) -> str:
        """The kind of error that most is lost to; "" where nothing is."""
        return max(self.lost, key=self.lost.__getitem__) if any(self.lost.values()) else ""


def measure(sample: Sample, prediction: Prediction, threshold: float, resolution: Resolution = "224") -> SampleScores:
    """Measures the prediction for a sample with `gt_mask`.

    Args:
        sample, prediction: what was asked and answered.
        threshold: the fixed threshold.
        resolution: "224" brings maps and masks to 224 x 224 as published; "native" keeps the image's pixels.
    """
    score_map, gt_mask, gt_ignore = prediction.score_map, sample.gt_mask, sample.gt_ignore
    if resolution == "224":
        score_map, gt_mask = resize_score_map(score_map, EVAL_SIZE), resize_mask(gt_mask, EVAL_SIZE)
        gt_ignore = None if gt_ignore is None else resize_mask(gt_ignore, EVAL_SIZE)
    scores = score_sample(np.asarray(score_map, np.float32), gt_mask, threshold, gt_ignore)
    confidence = max((float(query.score) for query in prediction.queries), default=None)
    # edges of a hard mask are soft once resized
    return replace(scores, levels=count_levels(prediction.score_map), confidence=confidence)


def describe_measurement(threshold: float, resolution: Resolution) -> dict[str, object]:
    """How the numbers are taken, for results.json."""
    sizes = {
        "224": {
            "resolution": list(EVAL_SIZE),
            "score_map_resize": "bilinear, pixel centres at half-integers, no antialiasing",
            "mask_resize": "nearest, pixel centres at half-integers",
        },
        "native": {"resolution": "native", "score_map_resize": None, "mask_resize": "nearest, to the image's size"},
    }
    return {
        **sizes[resolution],
        "foreground": "score > threshold",
        "threshold": threshold,
        "f_beta_squared": metrics.BETA_SQUARED,
        "empty_gt": "IoU and F are 0; AVSBench IoU is the share of pixels rightly left empty",
        "ignored_pixels": "left out of every count, of the threshold's rank and of the area",
        "average": "plain mean over samples",
    }


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
    in_place = score_map, gt_mask, np.False_ if gt_ignore is None else gt_ignore
    if gt_ignore is not None:
        score_map, gt_mask = (metrics.without_ignored(values, gt_ignore) for values in (score_map, gt_mask))
    adaptive = score_map > metrics.adaptive_threshold(score_map, gt_mask)
    fixed = score_map > threshold
    intersection, union = metrics.intersection_and_union(fixed, gt_mask)
    return SampleScores(
        iou_fixed=metrics.iou(fixed, gt_mask),
        f_fixed=metrics.f_score(fixed, gt_mask),
        avsbench_iou=metrics.avsbench_iou(fixed, gt_mask),
        iou_adaptive=metrics.iou(adaptive, gt_mask),
        f_adaptive=metrics.f_score(adaptive, gt_mask),
        iou_median=metrics.iou(score_map > metrics.median_threshold(score_map), gt_mask),
        iou_relative=metrics.iou(score_map > metrics.relative_threshold(score_map), gt_mask),
        f_curve=metrics.avsbench_f_curve(score_map, gt_mask).astype(np.float32),
        iou_curve=metrics.avsbench_iou_curve(score_map, gt_mask, CURVE_THRESHOLDS).astype(np.float32),
        intersection=intersection,
        union=union,
        predicted=int(np.count_nonzero(fixed)),
        foreground=int(np.count_nonzero(gt_mask)),
        pixels=gt_mask.size,
        levels=count_levels(score_map),
        lost=_lost(*in_place, threshold),
    )


def _lost(score_map: np.ndarray, gt_mask: np.ndarray, ignore: np.ndarray, threshold: float) -> dict[str, int]:
    """Kinds of errors depend on where a pixel lies, so they are told on the whole image."""
    return lost_pixels((score_map > threshold) & ~ignore, gt_mask & ~ignore)


def count_levels(score_map: np.ndarray) -> int:
    """Distinct values of a score map, counted up to 3; resizing adds some, so this is asked of the map before it."""
    low, high = score_map.min(), score_map.max()
    if low == high:
        return 1
    return 3 if ((score_map != low) & (score_map != high)).any() else 2
