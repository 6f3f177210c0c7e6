"""Columns equal the formulas they are made of, naive loops over samples, and the published evaluators' numbers."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.scoring.columns import (
    Column,
    area_under_success,
    best_f,
    best_f_of_group,
    best_iou,
    every_member,
    mean_over_samples,
    ratio,
    set_f,
    share_of_samples,
)
from utils.scoring.metrics import avsbench_f_curve, f_score, iou
from utils.scoring.sample_scores import score_sample

STATISTICS = {
    "mean": mean_over_samples(lambda one: one.iou_fixed),
    "mean of some": mean_over_samples(lambda one: one.area, lambda one: one.gt_empty),
    "share": share_of_samples(lambda one: one.iou_fixed >= 0.5),
    "area": area_under_success(lambda one: one.iou_fixed),
    "ratio": ratio(lambda one: one.intersection, lambda one: one.union),
    "set F": set_f(),
    "best F": best_f(),
    "best F of groups": best_f_of_group(),
    "best IoU": best_iou(),
    "worst": every_member(lambda get: share_of_samples(lambda one: get(one) >= 0.5), lambda one: one.iou_fixed),
    "area of worst": every_member(area_under_success, lambda one: one.iou_fixed),
}
IOUS = st.one_of(st.floats(0, 1), st.sampled_from([0.05 * k for k in range(21)]))


def number(statistic, groups):
    totals, value = statistic
    return float(value(np.sum([totals(group) for group in groups], axis=0)))


def success_rate(ious, at_least=0.5):
    return sum(one >= at_least for one in ious) / len(ious)


def area_under_success_curve(ious):
    """The trapezoid over k = 0..20 of the share of samples with IoU >= 0.05 k, one at a time."""
    rates = [success_rate(ious, 0.05 * k) for k in range(21)]
    return sum(0.05 * (low + high) / 2 for low, high in itertools.pairwise(rates))


def in_groups(scores, size):
    return [scores[start : start + size] for start in range(0, len(scores), size)]


@pytest.fixture
def scores(make_scores):
    """Forty samples that differ in everything; every eighth has nothing to find."""
    rng = np.random.default_rng(3)
    return [
        make_scores(
            rng.random(),
            f_curve=rng.random(255).astype(np.float32),
            iou_curve=rng.random(20).astype(np.float32),
            intersection=int(rng.integers(0, 5)),
            union=int(rng.integers(5, 9)),
            predicted=int(rng.integers(0, 9)),
            foreground=int(rng.integers(1, 9)) if index % 8 else 0,
        )
        for index in range(40)
    ]


@pytest.mark.parametrize(("size", "name"), [(1, "1"), (5, "5"), (20, "all")])
def test_best_f_of_groups_is_what_avsbench_released(parity, size, name):
    scores, expected = parity
    found = number(STATISTICS["best F of groups"], in_groups(scores, size))
    assert found == pytest.approx(expected[f"avsbench_fscore_group_{name}"], abs=1e-6)


@pytest.mark.parametrize("size", [1, 5, 20])
def test_best_f_of_the_whole_set_depends_on_no_group(parity, size):
    scores, expected = parity
    found = number(STATISTICS["best F"], in_groups(scores, size))
    assert found == pytest.approx(expected["avsbench_fscore_group_all"], abs=1e-6)


def test_paper_columns_are_what_the_paper_s_evaluator_gives(parity):
    scores, expected = parity
    groups = in_groups(scores, 3)
    adaptive = {
        "ciou": share_of_samples(lambda one: one.iou_adaptive >= 0.5),
        "auc": area_under_success(lambda one: one.iou_adaptive),
        "miou": mean_over_samples(lambda one: one.iou_adaptive),
        "fscore": mean_over_samples(lambda one: one.f_adaptive),
        "j": mean_over_samples(lambda one: one.iou_fixed),
        "f": mean_over_samples(lambda one: one.f_fixed),
    }
    for name, statistic in adaptive.items():
        assert number(statistic, groups) == pytest.approx(expected[f"paper_{name}"], abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(ious=st.lists(IOUS, min_size=1, max_size=20), size=st.integers(1, 5))
def test_success_and_its_area_are_the_metrics_of_all_samples(make_scores, ious, size):
    groups = in_groups([make_scores(one) for one in ious], size)
    assert number(STATISTICS["share"], groups) == pytest.approx(success_rate(ious), abs=1e-12)
    assert number(STATISTICS["area"], groups) == pytest.approx(area_under_success_curve(ious), abs=1e-12)
    assert number(STATISTICS["mean"], groups) == pytest.approx(np.mean(ious), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.tuples(IOUS, st.booleans()), min_size=1, max_size=4), min_size=1, max_size=8))
def test_pairs_are_the_worst_thing_of_each_image_with_several(make_scores, images):
    groups = [[make_scores(one, foreground=0 if blank else 1) for one, blank in image] for image in images]
    things = [[one for one, blank in image if not blank] for image in images]
    worst = [min(image) for image in things if len(image) > 1]
    right = [all(one >= 0.5 for one in image) for image in things if len(image) > 1]
    if worst:
        assert number(STATISTICS["worst"], groups) == pytest.approx(np.mean(right), abs=1e-12)
        assert number(STATISTICS["area of worst"], groups) == pytest.approx(area_under_success_curve(worst), abs=1e-12)
    else:
        assert np.isnan(number(STATISTICS["worst"], groups))
        assert np.isnan(number(STATISTICS["area of worst"], groups))


def test_whole_set_numbers_are_those_of_all_pixels_at_once():
    rng = np.random.default_rng(0)
    maps, masks = rng.random((7, 6, 9), np.float32), rng.random((7, 6, 9)) > 0.7
    masks[2] = False
    scores = [score_sample(score_map, gt_mask) for score_map, gt_mask in zip(maps, masks, strict=True)]
    mask, gt_mask = (maps > 0.5).reshape(7, -1), masks.reshape(7, -1)
    for size in (1, 3):
        assert number(STATISTICS["ratio"], in_groups(scores, size)) == pytest.approx(iou(mask, gt_mask), abs=1e-12)
        assert number(STATISTICS["set F"], in_groups(scores, size)) == pytest.approx(f_score(mask, gt_mask), abs=1e-12)


def test_best_f_equals_naive_loops(scores):
    for size in (1, 4, 7, len(scores)):
        naive = []
        for group in in_groups(scores, size):
            seen = [one.f_curve for one in group if not one.gt_empty]
            naive.append(max(sum(float(curve[k]) for curve in seen) / len(seen) for k in range(255)) if seen else 0)
        assert number(STATISTICS["best F of groups"], in_groups(scores, size)) == pytest.approx(np.mean(naive))
    assert number(STATISTICS["best F"], [scores]) == pytest.approx(naive[0])  # of all at once


def test_success_and_its_area_of_hand_computed_ious(make_scores):
    for ious, rate, area in (
        ([0.49, 0.5, 0.51, 1.0], 0.75, None),
        ([1.0, 1.0], 1, 1),
        ([0.0], 0, 0.025),  # only k = 0 is reached: half a step
        ([0.52], 1, 0.525),  # k = 0..10, the last half counted once
    ):
        group = [make_scores(one) for one in ious]
        assert number(STATISTICS["share"], [group]) == rate
        assert area is None or number(STATISTICS["area"], [group]) == pytest.approx(area)


@settings(max_examples=50, deadline=None)
@given(ious=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_area_stays_within_half_a_step_of_the_mean(make_scores, ious):
    area = number(STATISTICS["area"], [[make_scores(one) for one in ious]])
    assert abs(area - np.mean(ious)) <= 0.025 + 1e-9


def test_best_f_of_an_empty_map_has_the_floor_of_the_whole_image(make_scores):
    corner = np.arange(8).reshape(2, 4) == 0
    group = [make_scores(f_curve=avsbench_f_curve(np.zeros((2, 4), np.float32), corner))]
    assert number(STATISTICS["best F of groups"], [group]) == pytest.approx(1.3 / 8 / (1 + 0.3 / 8))


def test_best_f_depends_on_the_group_and_counts_empty_groups_as_zero(make_scores):
    curves = np.zeros((3, 255), np.float32)
    curves[0, 10], curves[1, 20] = 1.0, 0.5
    first, second, empty = (make_scores(f_curve=one, foreground=int(one.any())) for one in curves)
    best = STATISTICS["best F of groups"]
    assert number(best, [[first], [second]]) == 0.75  # (1 + 0.5) / 2
    assert number(best, [[first, second]]) == 0.5  # max of the mean curve
    assert number(best, [[first, empty]]) == 1.0  # empty ground truth is left out of its group
    assert number(best, [[first], [empty]]) == 0.5
    assert number(best, [[first, second], [first]]) == 0.75  # (0.5 + 1) / 2


@pytest.mark.parametrize("name", STATISTICS)
def test_the_order_within_and_across_groups_changes_nothing(scores, name):
    groups = in_groups(scores, 4)
    rng = np.random.default_rng(1)
    shuffled = [[group[i] for i in rng.permutation(len(group))] for group in (groups[g] for g in rng.permutation(10))]
    assert number(STATISTICS[name], shuffled) == pytest.approx(number(STATISTICS[name], groups), abs=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
def test_values_of_many_choices_at_once_are_those_one_by_one(scores, name):
    totals, value = STATISTICS[name]
    rows = np.array([totals(group) for group in in_groups(scores, 4)])
    choices = np.random.default_rng(0).integers(0, 3, (6, len(rows))).astype(float)
    choices[0] = 0
    found = value(choices @ rows)
    assert found.shape == (6,)
    assert np.isnan(found[0])  # of nothing
    assert found[1:] == pytest.approx([float(value(choice @ rows)) for choice in choices[1:]], abs=1e-12)
    assert ((found[1:] >= 0) & (found[1:] <= 1 + 1e-12)).all()


def test_undefined_columns_are_nan(make_scores):
    group = [make_scores(0.5, intersection=0, union=0, predicted=0, foreground=0)]
    for name in ("ratio", "set F", "best F", "worst", "area of worst"):
        assert np.isnan(number(STATISTICS[name], [group]))
    assert number(STATISTICS["best F of groups"], [group]) == 0  # as published
    assert np.isnan(number(STATISTICS["mean of some"], [[make_scores()]]))


def test_a_column_is_the_same_object_of_a_table_and_a_dictionary():
    column = Column("J", "honest", "Mean IoU.", *STATISTICS["mean"])
    assert (column.better, column.soft) == ("higher", False)
    assert replace(column) == column
