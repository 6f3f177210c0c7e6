"""Intervals are as wide as they should be: against Student's, by coverage, and where nothing is known."""

import numpy as np
import pytest

from utils.scoring.bootstrap import CONFIDENCE, LEAST_DRAWS, LEAST_GROUPS, Estimate, difference, draw_weights, estimate
from utils.scoring.columns import Column, area_under_success, best_f, mean_over_samples, ratio, share_of_samples

MEAN = Column("J", "honest", "Mean IoU.", *mean_over_samples(lambda one: one.iou_fixed))
STUDENT = {12: 2.2010, 40: 2.0227}  # 97.5 % quantile with n - 1 degrees of freedom


def totals_of(values, counts=None):
    """Group means as (sum, count) rows."""
    values = np.asarray(values, float)
    counts = np.ones_like(values) if counts is None else np.asarray(counts, float)
    return np.column_stack([values * counts, counts])


@pytest.mark.parametrize("n", STUDENT)
def test_the_interval_of_a_mean_is_student_s(n):
    rng, weights, below, above = np.random.default_rng(n), draw_weights(n, 2000), [], []
    for _ in range(60):
        values = rng.normal(0.5, 0.1, n)
        found = estimate(MEAN, totals_of(values), weights)
        half = STUDENT[n] * values.std(ddof=1) / np.sqrt(n)
        assert found.value == pytest.approx(values.mean(), abs=1e-12)
        below.append((found.value - found.low) / half)
        above.append((found.high - found.value) / half)
    assert (np.mean(below), np.mean(above)) == (pytest.approx(1, abs=0.05), pytest.approx(1, abs=0.05))


def coverage(groups_of, clips, repetitions=400):
    """Share of simulated sets of clips of five frames, alike within a clip, whose interval has the true mean 0.5."""
    rng, hits = np.random.default_rng(0), 0
    weights = {}
    for _ in range(repetitions):
        frames = 0.5 + 0.15 * rng.standard_normal((clips, 1)) + 0.03 * rng.standard_normal((clips, 5))
        totals = groups_of(frames)
        drawn = weights.setdefault(len(totals), draw_weights(len(totals), 400))
        found = estimate(MEAN, totals, drawn)
        hits += found.low <= 0.5 <= found.high
    return hits / repetitions


@pytest.mark.parametrize("clips", [8, 30])
def test_coverage_is_as_promised_when_groups_are_drawn_and_poor_when_they_are_ignored(clips):
    by_clip = coverage(lambda frames: totals_of(frames.mean(1), np.full(len(frames), 5)), clips)
    by_frame = coverage(lambda frames: totals_of(frames.ravel()), clips)
    assert by_clip == pytest.approx(CONFIDENCE, abs=0.03)
    assert by_frame < 0.75


def test_groups_of_different_sizes_count_by_their_samples():
    totals = totals_of([0.2, 0.8, 0.5, 0.1, 0.9, 0.4], [1, 9, 2, 5, 3, 4])
    found = estimate(MEAN, totals, draw_weights(6))
    assert found.value == pytest.approx(totals[:, 0].sum() / 24)
    assert found.low < found.value < found.high


def test_draws_are_whole_sets_and_the_same_for_the_same_seed():
    weights = draw_weights(7, 50, seed=3)
    assert weights.shape == (50, 7)
    assert (weights.sum(1) == 7).all()
    assert np.array_equal(weights, draw_weights(7, 50, seed=3))
    assert not np.array_equal(weights, draw_weights(7, 50, seed=4))
    totals = totals_of(np.random.default_rng(0).random(7))
    assert estimate(MEAN, totals, weights) == estimate(MEAN, totals, draw_weights(7, 50, seed=3))


def test_a_method_against_itself_differs_by_exactly_nothing():
    totals = totals_of(np.random.default_rng(0).random(50))
    found = difference(MEAN, totals, totals.copy(), draw_weights(50))
    assert (found.value, found.low, found.high, found.certain) == (0, 0, 0, False)


def test_a_shifted_copy_is_certainly_different_and_the_sign_says_which_is_better():
    values = np.random.default_rng(0).random(50)
    first, second = totals_of(values + 0.01), totals_of(values)
    found, turned = (difference(MEAN, *pair, draw_weights(50)) for pair in ((first, second), (second, first)))
    assert (found.value, found.low) == (pytest.approx(0.01), pytest.approx(0.01))
    assert (found.certain, turned.certain) == (True, True)
    assert turned.high == pytest.approx(-0.01)


@pytest.mark.parametrize(
    ("low", "high", "certain"),
    [(0.0, 0.019, False), (-0.019, 0.0, False), (1e-16, 0.019, False), (3e-4, 0.019, True), (-0.019, -3e-4, True)],
)
def test_an_interval_that_touches_0_does_not_exclude_it(low, high, certain):
    assert Estimate((low + high) / 2, low, high).certain is certain


def test_a_paired_difference_is_certain_where_two_intervals_overlap():
    rng = np.random.default_rng(0)
    values = rng.random(60)
    first, second = totals_of(values + rng.normal(0.05, 0.05, 60)), totals_of(values)
    weights = draw_weights(60)
    apart = [estimate(MEAN, totals, weights) for totals in (first, second)]
    assert apart[1].high > apart[0].low
    assert difference(MEAN, first, second, weights).certain


def test_methods_alike_are_seldom_called_different():
    rng = np.random.default_rng(1)
    weights = draw_weights(12, 400)
    certain = [
        difference(MEAN, totals_of(rng.random(12)), totals_of(rng.random(12)), weights).certain for _ in range(300)
    ]
    assert np.mean(certain) == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("groups", [1, 2, LEAST_GROUPS - 1])
def test_too_few_groups_give_a_number_without_an_interval(groups):
    first, second = totals_of([0.5] * groups), totals_of(np.linspace(0.1, 0.3, groups))
    weights = draw_weights(groups)
    assert estimate(MEAN, second, weights) == Estimate(pytest.approx(second[:, 0].mean()))
    found = difference(MEAN, first, second, weights)
    assert (found.low, found.high, found.certain) == (None, None, False)


def test_only_groups_with_a_say_are_counted(make_scores):
    blank_area = Column("a", "honest", "", *mean_over_samples(lambda one: one.area, lambda one: one.gt_empty))
    for blank, known in ((LEAST_GROUPS - 1, False), (LEAST_GROUPS, True)):
        groups = [[make_scores(predicted=i % 10, foreground=int(i >= blank))] for i in range(50)]
        totals = np.array([blank_area.totals(group) for group in groups])
        assert (estimate(blank_area, totals, draw_weights(50)).low is not None) == known


@pytest.mark.parametrize(("draws", "known"), [(0, False), (LEAST_DRAWS - 1, False), (LEAST_DRAWS, True)])
def test_without_draws_there_is_a_number_and_no_interval(draws, known):
    totals = totals_of(np.random.default_rng(0).random(20))
    found = estimate(MEAN, totals, draw_weights(20, draws))
    assert found.value == pytest.approx(totals[:, 0].mean())
    assert (found.low is not None) == (found.high is not None) == known
    assert (difference(MEAN, totals, totals, draw_weights(20, draws)).low is not None) == known


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_a_number_that_every_group_agrees_on_has_no_interval(value):
    assert estimate(MEAN, totals_of([value] * 12), draw_weights(12)) == Estimate(pytest.approx(value))


@pytest.mark.parametrize("statistic", [ratio(lambda one: 0, lambda one: 0), best_f(), share_of_samples(bool, bool)])
def test_undefined_numbers_and_differences_are_none(statistic):
    column = Column("u", "honest", "", *statistic)
    totals = np.zeros((10, 256 if statistic[0]([]).size > 2 else 2))
    assert estimate(column, totals, draw_weights(10)) == Estimate(None)
    found = difference(column, totals, totals, draw_weights(10))
    assert (found, found.certain) == (Estimate(None), False)


def test_intervals_stay_within_what_is_possible(make_scores):
    rng = np.random.default_rng(0)
    column = Column("AUC", "honest", "", *area_under_success(lambda one: one.iou_fixed))
    totals = np.array([column.totals([make_scores(one)]) for one in rng.random(10) ** 0.1])
    found = estimate(column, totals, draw_weights(10))
    assert 0 <= found.low < found.value < found.high <= 1


def test_the_interval_of_the_best_threshold_covers_the_number_of_many_samples(make_scores):
    rng, thresholds, hits = np.random.default_rng(0), np.linspace(0, 1, 255), 0
    column = Column("F max", "oracle", "", *best_f())

    def curves(count):
        best, peak = rng.beta(6, 6, (count, 1)), rng.beta(2, 1, (count, 1))
        return peak * np.exp(-(((thresholds - best) / 0.3) ** 2))

    truth, weights = curves(20_000).mean(0).max(), draw_weights(30, 300)
    for _ in range(150):
        found = estimate(column, np.column_stack([curves(30), np.ones(30)]), weights)
        hits += found.low <= truth <= found.high
    assert hits / 150 == pytest.approx(CONFIDENCE, abs=0.05)


def test_totals_of_other_groups_are_refused():
    with pytest.raises(ValueError, match=r"totals of the same groups, found shapes \(3, 2\) and \(4, 2\)"):
        difference(MEAN, totals_of([1, 2, 3]), totals_of([1, 2, 3, 4]), draw_weights(3))
