"""Predictions are measured against their own ground truth and collected by control and method, whatever the batch."""

import numpy as np
import pytest

from utils.runs.engine import EVAL_SIZE, ScoreBook, describe_measurement, measure, measure_batch, predict_blind
from utils.types import Prediction, Query, Sample


def sample_of(name, gt_mask):
    return Sample(name, np.zeros((*gt_mask.shape, 3), np.uint8), np.zeros(4, np.float32), 4, gt_mask)


def half(size=(8, 12)):
    mask = np.zeros(size, bool)
    mask[: size[0] // 2] = True
    return mask


class Fixed:
    """Answers with given score maps."""

    def __init__(self, *maps):
        self.maps = maps

    def predict(self, samples):
        return [Prediction(score_map) for score_map in self.maps]


def test_methods_are_asked_without_the_ground_truth_and_must_answer_in_the_image_s_size():
    sample = sample_of("a", half())
    with pytest.raises(ValueError, match="expected 1 predictions of .*, found 2"):
        predict_blind(Fixed(np.zeros((8, 12), np.float32), np.zeros((8, 12), np.float32)), [sample])
    with pytest.raises(ValueError, match=r"score map of \(8, 12\) for sample a, found \(12, 8\)"):
        predict_blind(Fixed(np.zeros((12, 8), np.float32)), [sample])


def test_resolution_decides_which_pixels_are_compared():
    sample = sample_of("a", half())
    prediction = Prediction(half().astype(np.float32))
    native, published = (measure(sample, prediction, 0.5, name).scores for name in ("native", "224"))
    assert (native.pixels, published.pixels) == (96, EVAL_SIZE[0] * EVAL_SIZE[1])
    assert (native.iou_fixed, published.iou_fixed) == (1, 1)
    assert describe_measurement(0.3, "native")["resolution"] == "native"
    assert describe_measurement(0.3, "224")["resolution"] == [224, 224]
    assert describe_measurement(0.3, "224")["threshold"] == 0.3


@pytest.mark.parametrize("resolution", ["224", "native"])
def test_a_hard_mask_stays_hard_although_resizing_softens_its_edges(resolution):
    sample = sample_of("a", half())
    assert measure(sample, Prediction(half().astype(np.float32)), 0.5, resolution).scores.levels == 2
    assert measure(sample, Prediction(np.ones((8, 12), np.float32)), 0.5, resolution).scores.levels == 1
    soft = np.linspace(0, 1, 96, dtype=np.float32).reshape(8, 12)
    assert measure(sample, Prediction(soft), 0.5, resolution).scores.levels == 3


def test_confidence_is_the_best_query_s_score():
    sample, empty = sample_of("a", half()), np.zeros((8, 12), np.float32)
    queries = (Query("dog", 0.2), Query("cat", np.float32(0.75)))
    assert measure(sample, Prediction(empty, queries), 0.5).confidence == 0.75
    assert measure(sample, Prediction(empty), 0.5).confidence is None


def book_of(samples, predictions, size):
    book, records, groups = ScoreBook(), [], {"a": "g", "b": "g", "c": "h"}
    for start in range(0, len(samples), size):
        part = slice(start, start + size)
        batch = measure_batch(
            samples[part],
            {
                control: {name: of_method[part] for name, of_method in of_control.items()}
                for control, of_control in predictions.items()
            },
            0.5,
            "native",
            groups,
        )
        book.add(batch)
        records += batch.records
    return book, records


def test_the_book_is_the_same_for_any_batch_size():
    samples = [sample_of("a", half()), sample_of("b", ~half()), sample_of("c", np.zeros((8, 12), bool))]
    right = [
        Prediction(one.gt_mask.astype(np.float32), (Query("dog"), Query("cat")), {"seconds": {"segment": 0.5}})
        for one in samples
    ]
    nothing = [Prediction(np.zeros((8, 12), np.float32), trail={"reason": "silent"})] * 3
    predictions = {"original": {"right": right, "nothing": nothing}, "silence": {"right": nothing}}
    book, records = book_of(samples, predictions, 3)
    assert [(one.id, one.group, one.control, one.method) for one in records[:4]] == [
        ("a", "g", "original", "right"),
        ("a", "g", "original", "nothing"),
        ("a", "g", "silence", "right"),
        ("b", "g", "original", "right"),
    ]
    assert [one.avsbench_iou for one in records] == [1, 0, 0] * 2 + [1, 1, 1]
    assert (records[0].query, records[0].reason, records[1].reason) == ("dog; cat", "", "silent")
    assert book.counts == {"samples": 3, "gt_empty": 1, "gt_ignore": 0}
    assert book.seconds["right"] == {"segment": 1.5}
    assert [one.scores.iou_fixed for one in book.answers["original"]["right"]] == [1, 1, 0]
    curves = {control: of["right"][0].scores.f_curve.shape for control, of in book.answers.items()}
    assert curves == {"original": (255,), "silence": (0,)}
    for size in (1, 2):
        other, again = book_of(samples, predictions, size)
        assert (again, other.ids, other.counts, other.seconds) == (records, book.ids, book.counts, book.seconds)


def test_without_groups_each_sample_is_by_itself():
    predictions = {"original": {"m": [Prediction(np.ones((8, 12), np.float32))]}}
    (record,) = measure_batch([sample_of("a", half())], predictions, 0.5).records
    assert (record.group, record.iou_fixed) == ("a", 0.5)
