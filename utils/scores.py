"""The scores of one sample and of a set: which metrics are taken of a score map, and how they are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.metrics import (
    adaptive_threshold,
    area_under_success_curve,
    avsbench_f_curve,
    avsbench_f_max,
    avsbench_iou,
    f_score,
    iou,
    mean,
    success_rate,
    without_ignored,
)

__all__ = ["FIXED_THRESHOLD", "SampleScores", "SetScores", "score_sample", "score_set"]

FIXED_THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class SampleScores:
    """All that the set's scores need to know of one sample.

    Attributes:
        iou_fixed, f_fixed: at the fixed threshold.
        iou_adaptive, f_adaptive: at the oracle's threshold.
        avsbench_iou: at the fixed threshold.
        avsbench_f_curve: (255,) float64, one F per AVSBench threshold.
        gt_empty: no foreground in the ground truth.
        prediction_empty: no foreground in the score map at the fixed threshold.
    """

    iou_fixed: float
    f_fixed: float
    iou_adaptive: float
    f_adaptive: float
    avsbench_iou: float
    avsbench_f_curve: np.ndarray
    gt_empty: bool
    prediction_empty: bool


@dataclass(frozen=True)
class SetScores:
    """Scores of a whole set, fractions in [0, 1].

    Attributes:
        ciou, auc, miou, fscore: adaptive threshold (an oracle).
        j, f: mean IoU and F at the fixed threshold.
        avsbench_iou: mean AVSBench IoU at the fixed threshold.
        avsbench_f_max: AVSBench F, whose group size must be named beside it.
        empty_predictions: number of samples without foreground at the fixed threshold.
    """

    ciou: float
    auc: float
    miou: float
    fscore: float
    j: float
    f: float
    avsbench_iou: float
    avsbench_f_max: float
    empty_predictions: int


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
    return SampleScores(
        iou_fixed=iou(fixed, gt_mask),
        f_fixed=f_score(fixed, gt_mask),
        iou_adaptive=iou(adaptive, gt_mask),
        f_adaptive=f_score(adaptive, gt_mask),
        avsbench_iou=avsbench_iou(fixed, gt_mask),
        avsbench_f_curve=avsbench_f_curve(score_map, gt_mask),
        gt_empty=not gt_mask.any(),
        prediction_empty=not fixed.any(),
    )


def score_set(scores: Sequence[SampleScores], avsbench_group: int | None = None) -> SetScores:
    """Means over a set; see `SetScores` for what each number is.

    Args:
        scores: at least one.
        avsbench_group: see `avsbench_f_max`.
    """
    adaptive_ious = [score.iou_adaptive for score in scores]
    return SetScores(
        ciou=success_rate(adaptive_ious),
        auc=area_under_success_curve(adaptive_ious),
        miou=mean(adaptive_ious),
        fscore=mean([score.f_adaptive for score in scores]),
        j=mean([score.iou_fixed for score in scores]),
        f=mean([score.f_fixed for score in scores]),
        avsbench_iou=mean([score.avsbench_iou for score in scores]),
        avsbench_f_max=avsbench_f_max(
            [score.avsbench_f_curve for score in scores], [score.gt_empty for score in scores], avsbench_group
        ),
        empty_predictions=sum(score.prediction_empty for score in scores),
    )
