"""Metrics against hand-computed masks, against their formulas, and against what the published evaluators return."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from utils.scoring.metrics import (
    adaptive_threshold,
    avsbench_f_curve,
    avsbench_iou,
    avsbench_iou_curve,
    f_score,
    intersection_and_union,
    iou,
    median_threshold,
    relative_threshold,
)
from utils.scoring.sample_scores import CURVE_THRESHOLDS, count_levels, score_sample

EMPTY = np.zeros((2, 4), bool)
FULL = np.ones((2, 4), bool)
LEFT = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)  # 4 of 8 pixels
MIDDLE = np.array([[0, 1, 1, 0], [0, 1, 1, 0]], bool)  # overlaps LEFT in 2
CORNER = np.array([[1, 0, 0, 0], [0, 0, 0, 0]], bool)  # 1 of LEFT's pixels
RAMP = np.arange(8, dtype=np.float32).reshape(2, 4) / 8

MAPS = arrays(np.float32, (3, 5), elements=st.floats(0, 1, width=32))
TIED_MAPS = arrays(np.float32, (3, 5), elements=st.sampled_from([np.float32(k / 20) for k in range(21)]))
MASKS = arrays(bool, (3, 5))


def test_paper_numbers_are_reproduced_sample_by_sample(parity):
    scores, expected = parity
    assert [one.iou_fixed for one in scores] == pytest.approx(expected["per_sample_iou_at_0.5"], abs=1e-6)
    assert [one.iou_adaptive for one in scores] == pytest.approx(expected["per_sample_iou_adaptive"], abs=1e-6)


def test_avsbench_iou_is_reproduced(parity):
    scores, expected = parity
    found = np.mean([one.avsbench_iou for one in scores])
    for name in ("1", "5", "all"):  # a mean does not depend on the groups
        assert found == pytest.approx(expected[f"avsbench_miou_group_{name}"], abs=1e-6)


@pytest.mark.parametrize(
    ("mask", "gt_mask", "expected_iou", "expected_f", "pixels"),
    [
        (LEFT, LEFT, 1, 1, (4, 4)),
        (LEFT, ~LEFT, 0, 0, (0, 8)),
        (MIDDLE, LEFT, 2 / 6, 0.5, (2, 6)),  # p = r = 1/2
        (CORNER, LEFT, 1 / 4, 1.3 * 0.25 / (0.3 + 0.25), (1, 4)),  # p = 1, r = 1/4
        (FULL, LEFT, 1 / 2, 1.3 * 0.5 / (0.15 + 1), (4, 8)),  # p = 1/2, r = 1
        (EMPTY, LEFT, 0, 0, (0, 4)),
        (LEFT, EMPTY, 0, 0, (0, 4)),
        (EMPTY, EMPTY, 0, 0, (0, 0)),
    ],
)
def test_iou_and_f_of_hand_computed_masks(mask, gt_mask, expected_iou, expected_f, pixels):
    assert iou(mask, gt_mask) == pytest.approx(expected_iou)
    assert f_score(mask, gt_mask) == pytest.approx(expected_f)
    assert intersection_and_union(mask, gt_mask) == pixels


@given(MASKS, MASKS)
def test_iou_is_symmetric_in_range_and_perfect_only_for_the_same_mask(mask, gt_mask):
    found = iou(mask, gt_mask)
    assert found == iou(gt_mask, mask)
    assert 0 <= found <= 1
    assert (found == 1) == (mask.any() and np.array_equal(mask, gt_mask))
    assert (found == 0) == (not (mask & gt_mask).any())
    assert 0 <= f_score(mask, gt_mask) <= 1 + 1e-12
    assert 0 <= avsbench_iou(mask, gt_mask) <= 1


@pytest.mark.parametrize(("mask", "expected"), [(EMPTY, 1), (CORNER, 7 / 8), (FULL, 0)])
def test_avsbench_iou_of_an_empty_ground_truth_is_the_share_left_empty(mask, expected):
    assert avsbench_iou(mask, EMPTY) == expected
    assert avsbench_iou(mask, LEFT) == iou(mask, LEFT)


def test_adaptive_threshold_is_the_value_at_the_rank_of_the_area():
    assert adaptive_threshold(RAMP, LEFT) == 4 / 8  # sorted[8 - 4]
    assert adaptive_threshold(RAMP, CORNER) == 7 / 8  # sorted[8 - 1]: nothing exceeds it
    assert adaptive_threshold(RAMP, FULL) == 0
    assert adaptive_threshold(RAMP, EMPTY) == 4 / 8  # half of the pixels


def test_median_and_relative_threshold_of_hand_computed_maps():
    assert median_threshold(RAMP) == 4 / 8  # sorted[8 // 2]: three pixels exceed it
    assert median_threshold(np.array([[0.1, 0.2, 0.9]], np.float32)) == np.float32(0.2)
    assert relative_threshold(RAMP) == 7 / 16
    assert relative_threshold(0.5 + RAMP / 2) == 0.5 + 7 / 32
    assert relative_threshold(RAMP, share=0.25) == 7 / 32
    scores = score_sample(RAMP, np.array([[0, 0, 0, 0], [0, 1, 1, 1]], bool))
    assert (scores.iou_median, scores.iou_relative) == (1, 3 / 4)  # above 4/8: 3 pixels; above 7/16: 4


@given(TIED_MAPS)
def test_the_median_keeps_less_than_half_and_the_relative_threshold_something(score_map):
    assert np.count_nonzero(score_map > median_threshold(score_map)) < score_map.size / 2
    assert (score_map > relative_threshold(score_map)).any() == (count_levels(score_map) > 1)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gt_mask", [LEFT, EMPTY])
def test_a_constant_map_is_empty_at_every_threshold_that_comes_from_it(value, gt_mask):
    scores = score_sample(np.full((2, 4), value, np.float32), gt_mask)
    assert (scores.iou_adaptive, scores.f_adaptive, scores.iou_median, scores.iou_relative) == (0, 0, 0, 0)
    assert scores.levels == 1


def test_levels_are_counted_up_to_three():
    assert count_levels(np.full((2, 2), 0.25)) == 1
    assert count_levels(LEFT.astype(np.float32)) == 2
    assert (count_levels(RAMP), count_levels(RAMP[:, :2])) == (3, 3)


def test_thresholds_are_strict():
    scores = score_sample(np.where(LEFT, 0.5, 0.25).astype(np.float32), LEFT)
    assert scores.prediction_empty
    assert (scores.iou_fixed, scores.iou_adaptive) == (0, 0)  # 0.5 > 0.5 is false
    assert score_sample(np.where(LEFT, 0.5, 0.25).astype(np.float32), LEFT, threshold=0.25).iou_fixed == 1


def test_a_soft_right_map_is_perfect_at_the_fixed_threshold_and_one_pixel_short_at_the_adaptive():
    score_map = np.where(LEFT, np.linspace(0.6, 0.9, 8).reshape(2, 4), 0.1).astype(np.float32)
    scores = score_sample(score_map, LEFT)
    assert (scores.iou_fixed, scores.f_fixed, scores.iou_relative) == (1, 1, 1)
    assert scores.iou_adaptive == 3 / 4
    assert (scores.intersection, scores.union, scores.predicted, scores.foreground, scores.pixels) == (4, 4, 4, 4, 8)
    assert (scores.area, scores.gt_empty, scores.prediction_empty) == (0.5, False, False)


@given(TIED_MAPS, MASKS)
def test_the_iou_curve_is_avsbench_s_iou_at_each_threshold_ties_included(score_map, gt_mask):
    expected = [avsbench_iou(score_map > float(threshold), gt_mask) for threshold in CURVE_THRESHOLDS]
    assert avsbench_iou_curve(score_map, gt_mask, CURVE_THRESHOLDS) == pytest.approx(expected)
    assert score_sample(score_map, gt_mask).iou_curve == pytest.approx(expected, abs=1e-7)


@settings(max_examples=50, deadline=None)
@given(MAPS, MASKS, st.integers(0, 254))
def test_avsbench_curve_is_f_with_greater_or_equal(score_map, gt_mask, k):
    threshold = np.float32(np.linspace(0, 1 - 1e-10, 255)[k])
    assert avsbench_f_curve(score_map, gt_mask)[k] == pytest.approx(f_score(score_map >= threshold, gt_mask))


@pytest.mark.parametrize(
    ("score_map", "gt_mask", "message"),
    [
        (np.zeros((2, 3), np.float32), EMPTY, r"of the mask's shape \(2, 4\), found float32 of shape \(2, 3\)"),
        (np.zeros((2, 4), np.uint8), EMPTY, "float of the mask's shape .* found uint8"),
        (np.full((2, 4), 1.5), EMPTY, r"in \[0, 1\], found 1.5"),
        (np.full((2, 4), -0.1), EMPTY, r"in \[0, 1\], found -0.1"),
        (np.full((2, 4), np.nan), EMPTY, r"in \[0, 1\], found nan"),
        (np.zeros((2, 4), np.float32), EMPTY.astype(np.uint8), r"gt_mask to be \(H, W\) bool, found uint8"),
        (np.zeros((0, 4), np.float32), np.zeros((0, 4), bool), r"found bool of shape \(0, 4\)"),
    ],
)
def test_malformed_input_is_refused(score_map, gt_mask, message):
    with pytest.raises(ValueError, match=message):
        score_sample(score_map, gt_mask)


def test_malformed_masks_are_refused():
    with pytest.raises(ValueError, match=r"two masks of one shape, found \(2, 4\) and \(4, 2\)"):
        iou(LEFT, LEFT.T)
    with pytest.raises(ValueError, match=r"score_map to be \(H, W\) float, found bool"):
        median_threshold(LEFT)
