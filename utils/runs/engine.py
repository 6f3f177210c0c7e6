"""The evaluation: predictions made without the ground truth, measured against it, collected by control and method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from utils.media.masks import resize_mask, resize_score_map
from utils.runs.results import SampleRecord
from utils.scoring.reliability import Answer
from utils.scoring.sample_scores import count_levels, score_sample
from utils.types import Prediction, Sample

__all__ = [
    "EVAL_SIZE",
    "Batch",
    "Resolution",
    "ScoreBook",
    "describe_measurement",
    "measure",
    "measure_batch",
    "predict_blind",
]

EVAL_SIZE = (224, 224)  # (H, W)
Resolution = Literal["224", "native"]
NO_CURVE = np.zeros(0, np.float32)
COUNTED = ("samples", "gt_empty", "gt_ignore")


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


def measure(sample: Sample, prediction: Prediction, threshold: float, resolution: Resolution = "224") -> Answer:
    """Measures one prediction.

    Args:
        sample: with `gt_mask`.
        prediction: for it.
        threshold: the fixed threshold.
        resolution: "224" brings maps and masks to 224 x 224 as published; "native" keeps the image's pixels.
    """
    score_map, gt_mask, gt_ignore = prediction.score_map, sample.gt_mask, sample.gt_ignore
    if resolution == "224":
        score_map, gt_mask = resize_score_map(score_map, EVAL_SIZE), resize_mask(gt_mask, EVAL_SIZE)
        gt_ignore = None if gt_ignore is None else resize_mask(gt_ignore, EVAL_SIZE)
    scores = score_sample(np.asarray(score_map, np.float32), gt_mask, threshold, gt_ignore)
    scores = replace(scores, levels=count_levels(prediction.score_map))  # edges of a hard mask are soft once resized
    confidence = max((query.score for query in prediction.queries), default=None)
    return Answer(scores, None if confidence is None else float(confidence))


@dataclass(frozen=True, eq=False)
class Batch:
    """What was measured on a batch of samples.

    Attributes:
        ids: of the samples.
        counts: of the batch, see `ScoreBook`.
        answers: control -> method -> one Answer per sample.
        records: the rows of per_sample.csv.
        seconds: method -> stage -> seconds.
    """

    ids: list[str]
    counts: dict[str, int]
    answers: dict[str, dict[str, list[Answer]]]
    records: list[SampleRecord]
    seconds: dict[str, dict[str, float]]


def measure_batch(
    samples: Sequence[Sample],
    predictions: Mapping[str, Mapping[str, Sequence[Prediction]]],
    threshold: float,
    resolution: Resolution = "224",
    groups: Mapping[str, str] | None = None,
) -> Batch:
    """Measures all predictions for a batch.

    Args:
        samples: with `gt_mask`.
        predictions: control -> method -> one Prediction per sample.
        threshold, resolution: see `measure`.
        groups: sample -> its group, for the records; None for each sample by itself.

    Returns:
        The batch, its records by sample, then by control, then by method: their order does not depend on its size.
    """
    batch = Batch([], dict.fromkeys(COUNTED, 0), {}, [], {})
    for index, sample in enumerate(samples):
        group = sample.id if groups is None else groups[sample.id]
        for control, of_control in predictions.items():
            for method, of_method in of_control.items():
                prediction = of_method[index]
                answer = measure(sample, prediction, threshold, resolution)
                batch.answers.setdefault(control, {}).setdefault(method, []).append(answer)
                _add_seconds(batch.seconds, {method: prediction.trail.get("seconds", {})})
                batch.records.append(_record(sample.id, group, control, method, answer, prediction))
        batch.ids.append(sample.id)
        batch.counts["samples"] += 1
        batch.counts["gt_empty"] += batch.records[-1].gt_empty
        batch.counts["gt_ignore"] += sample.gt_ignore is not None and bool(sample.gt_ignore.any())
    return batch


class ScoreBook:
    """Collects what was measured; keeps numbers, no maps.

    Attributes:
        ids: of the samples added so far.
        answers: control -> method -> one Answer per sample; without curves under other sounds than the original, where
            they would take most of the room and are not read.
        counts: number of samples, of those with empty ground truth, and of those with pixels that do not count.
        seconds: method -> stage -> seconds, summed over samples and controls.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.answers: dict[str, dict[str, list[Answer]]] = {}
        self.counts = dict.fromkeys(COUNTED, 0)
        self.seconds: dict[str, dict[str, float]] = {}

    def add(self, batch: Batch) -> None:
        """Adds a batch to what was collected so far."""
        self.ids += batch.ids
        for name, count in batch.counts.items():
            self.counts[name] += count
        for control, of_control in batch.answers.items():
            for method, answers in of_control.items():
                kept = answers if control == "original" else map(_without_curves, answers)
                self.answers.setdefault(control, {}).setdefault(method, []).extend(kept)
        _add_seconds(self.seconds, batch.seconds)


def _without_curves(answer: Answer) -> Answer:
    return replace(answer, scores=replace(answer.scores, f_curve=NO_CURVE, iou_curve=NO_CURVE))


def _add_seconds(total: dict[str, dict[str, float]], further: Mapping[str, Mapping[str, float]]) -> None:
    for method, stages in further.items():
        spent = total.setdefault(method, {})
        for stage, seconds in stages.items():
            spent[stage] = spent.get(stage, 0.0) + seconds


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
        "f_beta_squared": 0.3,
        "empty_gt": "IoU and F are 0; AVSBench IoU is the share of pixels rightly left empty",
        "ignored_pixels": "left out of every count, of the threshold's rank and of the area",
        "average": "plain mean over samples",
    }


def _record(
    sample_id: str, group: str, control: str, method: str, answer: Answer, prediction: Prediction
) -> SampleRecord:
    scores = answer.scores
    return SampleRecord(
        id=sample_id,
        group=group,
        control=control,
        method=method,
        iou_fixed=scores.iou_fixed,
        f_fixed=scores.f_fixed,
        iou_adaptive=scores.iou_adaptive,
        f_adaptive=scores.f_adaptive,
        iou_median=scores.iou_median,
        iou_relative=scores.iou_relative,
        avsbench_iou=scores.avsbench_iou,
        area=scores.area,
        gt_empty=scores.gt_empty,
        prediction_empty=scores.prediction_empty,
        confidence=answer.confidence,
        query="; ".join(query.text for query in prediction.queries),
        reason=prediction.trail.get("reason") or "",
    )
