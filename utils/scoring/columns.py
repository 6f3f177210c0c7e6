"""The columns of a table: each a statistic of groups of samples that can be resampled, with its definition in words.

A column turns the scores of one group (a clip, an image) into a vector of totals, and the sum of such vectors over any
choice of groups into its number. So the same few lines give the number, its bootstrap interval and the interval of the
difference between two methods (`utils.scoring.bootstrap`).

Conventions:
    totals: (K,) float64 of one group; a choice of groups has the sum of theirs.
    value: (..., K) summed totals -> (...) float64, a fraction in [0, 1]; NaN where the column is undefined (0 / 0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

import numpy as np

from utils.scoring.metrics import BETA_SQUARED
from utils.scoring.sample_scores import SampleScores

Get = Callable[[SampleScores], float]
Which = Callable[[SampleScores], bool]
Group = Sequence[SampleScores]
Statistic = tuple[Callable[[Group], np.ndarray], Callable[[np.ndarray], np.ndarray]]  # a column's totals and value
SUCCESS_LEVELS = 0.05 * np.arange(21)


@dataclass(frozen=True)
class Column:
    """One number of a table.

    Attributes:
        title: its name in print, e.g. "mIoU".
        kind: "oracle" where the threshold knows the ground truth, else "honest".
        definition: what it is, a sentence or two.
        totals: the scores of one group -> (K,).
        value: (..., K) -> (...).
        better: which way is good.
        soft: whether it takes its threshold from the map, which a hard mask cannot answer.
    """

    title: str
    kind: Literal["oracle", "honest"]
    definition: str
    totals: Callable[[Group], np.ndarray]
    value: Callable[[np.ndarray], np.ndarray]
    better: Literal["higher", "lower"] = "higher"
    soft: bool = False


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN for 0 / 0; no total is negative."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _first_over_second(totals: np.ndarray) -> np.ndarray:
    return _divide(totals[..., 0], totals[..., 1])


def _sums(*getters: Get) -> Callable[[Group], np.ndarray]:
    return lambda group: np.array([sum(map(get, group)) for get in getters], float)


def ratio(numerator: Get, denominator: Get) -> Statistic:
    """Sum of one over the sum of the other."""
    return _sums(numerator, denominator), _first_over_second


def mean_over_samples(get: Get, where: Which = lambda one: True) -> Statistic:
    """Plain mean over the samples that `where` chooses."""
    return ratio(lambda one: get(one) if where(one) else 0, where)


def share_of_samples(holds: Which, where: Which = lambda one: True) -> Statistic:
    """Share of the samples that `where` chooses for which `holds` does."""
    return mean_over_samples(holds, where)


def area_under_success(get: Get) -> Statistic:
    """Trapezoid over k = 0..20 of the share of samples with get >= 0.05 k."""

    def totals(group: Group) -> np.ndarray:
        values = np.array([get(one) for one in group])
        return np.append((values[:, None] >= SUCCESS_LEVELS).sum(0), len(values)).astype(float)

    return totals, _trapezoid


def _trapezoid(totals: np.ndarray) -> np.ndarray:
    rates = _divide(totals[..., :-1], totals[..., -1:])
    return 0.05 * (rates.sum(-1) - (rates[..., 0] + rates[..., -1]) / 2)


def set_f() -> Statistic:
    """F (beta squared 0.3) of all pixels of the set at once."""

    def value(totals: np.ndarray) -> np.ndarray:
        hits, predicted, foreground = np.moveaxis(totals, -1, 0)
        return _divide((1 + BETA_SQUARED) * hits, predicted + BETA_SQUARED * foreground)

    return _sums(*map(attrgetter, ("intersection", "predicted", "foreground"))), value


def best_f() -> Statistic:
    """The best of 255 thresholds for the mean F of all samples with foreground."""
    return _best_of_mean(_f_curves)


def best_iou() -> Statistic:
    """The best of the 19 thresholds 0.05, 0.1, ..., 0.95 for the mean of AVSBench's IoU over all samples."""
    return _best_of_mean(lambda group: np.array([one.iou_curve[1:] for one in group], float))


def _best_of_mean(curves_of: Callable[[Group], np.ndarray]) -> Statistic:
    """curves_of: the samples of a group that count -> (samples, thresholds); one threshold for all groups."""

    def totals(group: Group) -> np.ndarray:
        curves = curves_of(group)
        return np.append(curves.sum(0), len(curves))

    return totals, lambda totals: _divide(totals[..., :-1].max(-1), totals[..., -1])


def best_f_of_group() -> Statistic:
    """Mean over groups of the best of 255 thresholds for each; a group without any foreground counts 0."""

    def totals(group: Group) -> np.ndarray:
        curves = _f_curves(group)
        return np.array([curves.mean(0).max() if len(curves) else 0.0, 1.0])

    return totals, _first_over_second


def _f_curves(group: Group) -> np.ndarray:
    """(samples with foreground, 255) float64."""
    curves = [one.f_curve for one in group if not one.gt_empty]
    return np.array(curves, float).reshape(-1, 255)


def every_member(statistic: Callable[[Get], Statistic], get: Get) -> Statistic:
    """A statistic of the worst sample of each group of several: the group is right only when all of it is.

    Samples with empty ground truth have nothing to be found and do not count as members.
    """
    totals_of, value = statistic(lambda worst: worst)  # of plain numbers

    def totals(group: Group) -> np.ndarray:
        members = [get(one) for one in group if not one.gt_empty]
        return totals_of([min(members)] if len(members) > 1 else [])

    return totals, value
