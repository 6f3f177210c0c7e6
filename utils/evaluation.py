"""The evaluation protocol: predictions made without the ground truth, then scored against it at 224 x 224."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from utils.baselines import trivial_score_maps
from utils.masks import resize_mask, resize_score_map
from utils.results import SampleRecord
from utils.scores import SampleScores, SetScores, score_sample, score_set
from utils.types import Prediction, Sample

__all__ = ["EVAL_SIZE", "ScoreBook", "describe_protocol", "predict_blind"]

EVAL_SIZE = (224, 224)  # (H, W)


class Predicts(Protocol):
    """What is needed of a method."""

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Returns one Prediction per sample, in order."""


def predict_blind(method: Predicts, samples: Sequence[Sample]) -> list[Prediction]:
    """A method's predictions for samples whose ground truth it is not given, nor their names: IS3's say what sounds.

    Raises:
        ValueError: not one score map per sample, or not of its image's size.
    """
    blind = [replace(sample, id=str(index), gt_mask=None, gt_ignore=None) for index, sample in enumerate(samples)]
    predictions = method.predict(blind)
    if len(predictions) != len(samples):
        raise ValueError(f"expected {len(samples)} predictions of {method}, found {len(predictions)}")
    for sample, prediction in zip(samples, predictions, strict=True):
        if prediction.score_map.shape != sample.image.shape[:2]:
            found = f"{prediction.score_map.shape} of {method}"
            raise ValueError(f"expected a score map of {sample.image.shape[:2]} for sample {sample.id}, found {found}")
    return predictions


class ScoreBook:
    """Collects the scores of several methods on the same samples; keeps numbers, no maps.

    Attributes:
        counts: number of samples, of those with empty ground truth, and of those with pixels that do not count.
    """

    def __init__(self, methods: Sequence[str], threshold: float) -> None:
        self.threshold = threshold
        self.counts = {"samples": 0, "gt_empty": 0, "gt_ignore": 0}
        self._scores: dict[str, list[SampleScores]] = {name: [] for name in methods}
        self._trivial_maps = trivial_score_maps(EVAL_SIZE)
        self._trivial_scores: dict[str, list[SampleScores]] = {name: [] for name in self._trivial_maps}

    def add(self, samples: Sequence[Sample], predictions: Mapping[str, Sequence[Prediction]]) -> list[SampleRecord]:
        """Scores a batch.

        Args:
            samples: with `gt_mask`.
            predictions: method -> one Prediction per sample.

        Returns:
            Records by sample, then by method: the order does not depend on the batch size.
        """
        records = []
        for index, sample in enumerate(samples):
            gt_mask = resize_mask(sample.gt_mask, EVAL_SIZE)
            gt_ignore = None if sample.gt_ignore is None else resize_mask(sample.gt_ignore, EVAL_SIZE)
            for name, of_method in predictions.items():
                score_map = resize_score_map(of_method[index].score_map, EVAL_SIZE)
                scores = score_sample(score_map, gt_mask, self.threshold, gt_ignore)
                self._scores[name].append(scores)
                records.append(_record(sample.id, name, scores, of_method[index]))
            for name, score_map in self._trivial_maps.items():
                self._trivial_scores[name].append(score_sample(score_map, gt_mask, self.threshold, gt_ignore))
            self.counts["samples"] += 1
            self.counts["gt_empty"] += not (gt_mask if gt_ignore is None else gt_mask & ~gt_ignore).any()
            self.counts["gt_ignore"] += gt_ignore is not None and bool(gt_ignore.any())
        return records

    def method_scores(self, avsbench_group: int | None) -> dict[str, SetScores]:
        """Method -> scores of all samples added so far, at least one."""
        return {name: score_set(scores, avsbench_group) for name, scores in self._scores.items()}

    def baseline_scores(self, avsbench_group: int | None) -> dict[str, SetScores]:
        """Trivial answer -> scores of all samples added so far, at least one."""
        return {name: score_set(scores, avsbench_group) for name, scores in self._trivial_scores.items()}


def describe_protocol(threshold: float, avsbench_group: int | None) -> dict[str, object]:
    """How the numbers are taken, for results.json."""
    return {
        "resolution": list(EVAL_SIZE),
        "score_map_resize": "bilinear, pixel centres at half-integers, no antialiasing",
        "mask_resize": "nearest, pixel centres at half-integers",
        "foreground": "score > threshold",
        "j_f": f"fixed threshold {threshold:g}",
        "ciou_auc_miou_fscore": "adaptive threshold from the area of the ground truth (oracle)",
        "f_beta_squared": 0.3,
        "empty_gt": "IoU and F are 0; AVSBench IoU is the share of pixels rightly left empty",
        "avsbench_f_group": "all" if avsbench_group is None else avsbench_group,
        "ignored_pixels": "left out of every count, of the threshold's rank and of the area",
        "average": "plain mean over samples",
    }


def _record(sample_id: str, method: str, scores: SampleScores, prediction: Prediction) -> SampleRecord:
    return SampleRecord(
        id=sample_id,
        method=method,
        iou_fixed=scores.iou_fixed,
        f_fixed=scores.f_fixed,
        iou_adaptive=scores.iou_adaptive,
        f_adaptive=scores.f_adaptive,
        avsbench_iou=scores.avsbench_iou,
        gt_empty=scores.gt_empty,
        prediction_empty=scores.prediction_empty,
        query="; ".join(query.text for query in prediction.queries),
        reason=prediction.trail.get("reason") or "",
    )
