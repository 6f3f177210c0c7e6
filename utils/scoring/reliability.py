"""How answers spread, and whether a method knows when it is wrong: its confidence against what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.scoring.sample_scores import SampleScores

__all__ = ["Answer", "auroc", "iou_histogram", "reliability"]

RELIABILITY_BINS = 8


@dataclass(frozen=True, eq=False, slots=True)
class Answer:
    """One method's answer to one sample, measured.

    Attributes:
        scores: what was measured.
        confidence: the score of the best query; None where nothing was asked.
    """

    scores: SampleScores
    confidence: float | None = None


def iou_histogram(of_method: Sequence[Answer]) -> dict[str, Any]:
    """IoU at the fixed threshold of the samples with something to find, in twenty bins."""
    ious = [one.scores.iou_fixed for one in of_method if not one.scores.gt_empty]
    counts, edges = np.histogram(ious, bins=20, range=(0, 1))
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": counts.tolist()}


def reliability(of_method: Sequence[Answer]) -> dict[str, Any] | None:
    """How often an answer is right, by the confidence it was given with; None where all have the same.

    An answer is right with IoU >= 0.5, or where nothing is found and nothing is to be found. Samples for which nothing
    was asked have no confidence and are left out. Bins hold about as many answers each; equal confidences share one.
    """
    asked = [one for one in of_method if one.confidence is not None]
    values, counts = np.unique([one.confidence for one in asked], return_counts=True)
    if len(values) < 2:
        return None
    middle_ranks = np.cumsum(counts) - counts / 2
    bin_of = dict(zip(values.tolist(), (middle_ranks * RELIABILITY_BINS // len(asked)).tolist(), strict=True))
    members: dict[float, list[Answer]] = {}
    for one in asked:
        members.setdefault(bin_of[one.confidence], []).append(one)
    bins = [
        {
            "low": min(one.confidence for one in own),
            "high": max(one.confidence for one in own),
            "samples": len(own),
            "right": sum(map(_right, own)) / len(own),
        }
        for _, own in sorted(members.items())
    ]
    return {
        "asked": len(asked),
        "samples": len(of_method),
        "bins": bins,
        "auroc_right": auroc([one.confidence for one in asked], [_right(one) for one in asked]),
        "auroc_in_view": auroc([one.confidence for one in asked], [not one.scores.gt_empty for one in asked]),
    }


def _right(one: Answer) -> bool:
    return one.scores.prediction_empty if one.scores.gt_empty else one.scores.iou_fixed >= 0.5


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Probability that a positive scores above a negative, ties half; None where there are no two kinds."""
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return None
    positives, negatives = scores[positive], np.sort(scores[~positive])
    below, up_to = (np.searchsorted(negatives, positives, side) for side in ("left", "right"))
    return float((below.sum() + up_to.sum()) / (2 * len(positives) * len(negatives)))
