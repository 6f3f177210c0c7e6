"""Scores made up by hand, and the score maps whose numbers the released evaluators have given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from utils.scoring.sample_scores import SampleScores, score_sample

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def parity() -> tuple[list[SampleScores], dict]:
    """Our scores of each map of metric_parity.npz, and the published evaluators' numbers."""
    maps = np.load(HERE / "metric_parity.npz")
    pairs = zip(maps["score_maps"], maps["gt_masks"], strict=True)
    expected = json.loads((HERE / "metric_parity.json").read_text())
    return [score_sample(score_map, gt_mask) for score_map, gt_mask in pairs], expected


@pytest.fixture(scope="session")
def make_scores() -> Callable[..., SampleScores]:
    """Scores with one IoU everywhere, unless said otherwise."""

    def make(iou: float = 0.5, **values) -> SampleScores:
        names = ("iou_fixed", "f_fixed", "avsbench_iou", "iou_adaptive", "f_adaptive", "iou_median", "iou_relative")
        plain = dict.fromkeys(names, iou)
        curves = {"f_curve": np.full(255, iou, np.float32), "iou_curve": np.full(20, iou, np.float32)}
        pixels = {"intersection": 1, "union": 2, "predicted": 2, "foreground": 1, "pixels": 10, "levels": 3}
        return SampleScores(**{**plain, **curves, **pixels, **values})

    return make
