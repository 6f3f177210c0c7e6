"""How far a confidence can be trusted: how often answers are right by it, and how well it tells right from wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.scoring.bootstrap import by_group
from utils.scoring.sample_scores import SampleScores

RELIABILITY_BINS = 8


def reliability(of_method: Sequence[SampleScores]) -> dict[str, Any] | None:
    """How often an answer is right, by the confidence it was given with; None where all have the same.

    An answer is right with IoU >= 0.5, or where nothing is found and nothing is to be found. Samples for which nothing
    was asked have no confidence and are left out. Bins hold about as many answers each; equal confidences share one.
    """
    asked = [one for one in of_method if one.confidence is not None]
    confidences = [one.confidence for one in asked]
    values, counts = np.unique(confidences, return_counts=True)
    if len(values) < 2:
        return None
    middle_ranks = np.cumsum(counts) - counts / 2
    bin_of = dict(zip(values.tolist(), (middle_ranks * RELIABILITY_BINS // len(asked)).tolist(), strict=True))
    bins = []
    for own in by_group(asked, lambda one: bin_of[one.confidence]):
        low, high = (choose(one.confidence for one in own) for choose in (min, max))
        bins.append({"low": low, "high": high, "samples": len(own), "right": sum(map(_right, own)) / len(own)})
    return {
        "asked": len(asked),
        "samples": len(of_method),
        "bins": bins,
        "auroc_right": auroc(confidences, list(map(_right, asked))),
        "auroc_in_view": auroc(confidences, [not one.gt_empty for one in asked]),
    }


def _right(one: SampleScores) -> bool:
    return one.prediction_empty if one.gt_empty else one.iou_fixed >= 0.5


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """Probability that a positive scores above a negative, ties half; None where there are no two kinds."""
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return None
    positives, negatives = scores[positive], np.sort(scores[~positive])
    below, up_to = (np.searchsorted(negatives, positives, side) for side in ("left", "right"))
    return float((below.sum() + up_to.sum()) / (2 * len(positives) * len(negatives)))
