"""Ignored pixels count for nothing, and methods never learn of them."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from utils.runs.engine import Evaluation, predict_blind
from utils.runs.journal import Batch
from utils.scoring.metrics import without_ignored
from utils.scoring.sample_scores import score_sample
from utils.types import Prediction, Sample

MASK = np.array([[1, 1, 0, 0]], bool)
SCORES = np.array([[0.9, 0.1, 0.9, 0.1]], np.float32)  # one hit, one miss, one false alarm

MAPS = arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32))
MASKS = arrays(bool, (4, 5))


def numbers(scores):
    return {name: np.asarray(value).tolist() for name, value in asdict(scores).items()}


def test_a_false_alarm_on_an_ignored_pixel_costs_nothing():
    counted = score_sample(SCORES, MASK)
    ignored = score_sample(SCORES, MASK, gt_ignore=np.array([[0, 0, 1, 0]], bool))
    assert (counted.iou_fixed, ignored.iou_fixed) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    # precision 1/2 -> 1, recall 1/2: 1.3 p r / (0.3 p + r)
    assert (counted.f_fixed, ignored.f_fixed) == (pytest.approx(0.5), pytest.approx(1.3 * 0.5 / 0.8))
    assert (ignored.pixels, ignored.union, ignored.predicted, ignored.area) == (3, 2, 1, 1 / 3)


def test_a_hit_on_an_ignored_pixel_gains_nothing():
    assert score_sample(SCORES, MASK, gt_ignore=np.array([[1, 0, 0, 0]], bool)).iou_fixed == 0


@given(MAPS, MASKS, MASKS, MAPS)
def test_what_stands_on_ignored_pixels_changes_no_number(score_map, gt_mask, gt_ignore, other_map):
    gt_ignore[0, 0] = False
    changed_map = np.where(gt_ignore, other_map, score_map)
    changed_mask = np.where(gt_ignore, ~gt_mask, gt_mask)
    one, other = (
        score_sample(maps, masks, gt_ignore=gt_ignore)
        for maps, masks in ((score_map, gt_mask), (changed_map, changed_mask))
    )
    assert numbers(one) == numbers(other)


@given(MAPS, MASKS)
def test_ignoring_nothing_changes_no_number(score_map, gt_mask):
    nothing = np.zeros(gt_mask.shape, bool)
    assert numbers(score_sample(score_map, gt_mask, gt_ignore=nothing)) == numbers(score_sample(score_map, gt_mask))


def test_ignoring_everything_or_another_shape_is_refused():
    with pytest.raises(ValueError, match="found every pixel ignored"):
        without_ignored(MASK, np.ones_like(MASK))
    with pytest.raises(ValueError, match=r"expected ignore of shape \(1, 4\), found \(2, 2\)"):
        without_ignored(MASK, np.zeros((2, 2), bool))


class Whole:
    """Answers with the whole image, and remembers what it was given."""

    def predict(self, samples):
        self.given = samples
        return [Prediction(np.ones(sample.image.shape[:2], np.float32)) for sample in samples]


@pytest.mark.parametrize("resolution", ["224", "native"])
def test_the_evaluation_leaves_ignored_pixels_out_and_hides_them_from_methods(resolution):
    gt_mask, gt_ignore = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    gt_mask[:, :2], gt_ignore[:, 4:] = True, True
    sample = Sample("a", np.zeros((8, 8, 3), np.uint8), np.zeros(8, np.float32), 8, gt_mask, gt_ignore)
    method, book = Whole(), Batch()
    predictions = predict_blind(method, [sample])
    assert (method.given[0].gt_mask, method.given[0].gt_ignore) == (None, None)
    evaluation = Evaluation({"whole": method}, {}, lambda: None, {"a": "a"}, 0.5, resolution)
    batch = evaluation.measure([sample], {"original": {"whole": predictions}})
    book.add(batch)
    (record,) = batch.records
    assert record.iou_fixed == pytest.approx(0.5)  # 2 of the 4 columns that count
    assert book.counts == {"samples": 1, "gt_empty": 0, "gt_ignore": 1}


def test_methods_are_not_told_the_samples_names_which_may_say_what_sounds():
    image = np.zeros((8, 8, 3), np.uint8)
    samples = [Sample(name, image, np.zeros(8, np.float32), 8) for name in ("dog_cat_1_dog", "dog_cat_1_cat")]
    method = Whole()
    predict_blind(method, samples)
    assert [sample.id for sample in method.given] == ["0", "1"]
