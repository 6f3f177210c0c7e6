"""How certain a number is: bootstrap intervals over groups of samples, and paired differences between methods.

The samples of one group (the frames of a clip, the sounds of an image) are not independent, so groups are drawn, with
replacement, and every method is scored on the same draws: the interval of a difference between two methods is then that
of their difference on the same data, which is much narrower than the two intervals apart.

Conventions:
    totals: (G, K) float64, one row a group, from `utils.scoring.columns`.
    weights: (B, G) float64, how often each group is in each of B draws.

The percentile interval of few groups is too narrow. It is widened as Hesterberg does, after which the interval of a
mean is close to Student's. Where the bootstrap knows nothing there is no interval: see `Estimate`. The interval of a
maximum (F max) repeats the search on each draw; the search's own optimism, which shrinks as groups are added, stays.

References:
    B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993, chapters 8 (groups) and 13 (percentile interval).
    T. Hesterberg: What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015 (expanded
        percentile interval).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from utils.scoring.columns import Column

Item = TypeVar("Item")
CONFIDENCE = 0.95
LEAST_GROUPS = 6  # five groups that all say the same do so by chance in 2 of 32 cases, which is more than 5 %
LEAST_DRAWS = 40  # of fewer, the outermost would be the bound
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Attributes:
        value: of all groups, each once; None where it is undefined.
        low, high: bounds of the interval at CONFIDENCE. None where fewer than LEAST_GROUPS groups have a say in the
            column, where fewer than LEAST_DRAWS draws define it, and, for a number that is no difference, where every
            draw is the same: "12 of 12" does not mean that a 13th is certain.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """For a difference: whether it has an interval that excludes 0; one that touches 0 includes it."""
        return self.low is not None and self.high is not None and (self.low > ROUNDING or self.high < -ROUNDING)


def by_group(items: Iterable[Item], group: Callable[[Item], str | float]) -> list[list[Item]]:
    """What belongs together, in its order; groups in order of name."""
    return [list(members) for _, members in groupby(sorted(items, key=group), group)]


def draw_weights(groups: int, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """(draws, groups) float64: how often each of the groups is in each draw of as many as there are, at least one."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(float)


def estimate(column: Column, totals: np.ndarray, weights: np.ndarray) -> Estimate:
    """A column's number with its interval."""
    drawn = column.value(weights @ totals)
    found = _estimate(float(column.value(totals.sum(0))), drawn, _having_a_say(totals))
    same = found.low is not None and found.high - found.low < ROUNDING
    return Estimate(found.value) if same else found


def difference(column: Column, first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> Estimate:
    """A column's number of the first minus that of the second, on the same draws of the same groups in the same order.

    Raises:
        ValueError: their shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected totals of the same groups, found shapes {first.shape} and {second.shape}")
    value = float(column.value(first.sum(0)) - column.value(second.sum(0)))
    drawn = column.value(weights @ first) - column.value(weights @ second)
    return _estimate(value, drawn, min(_having_a_say(first), _having_a_say(second)))


def _having_a_say(totals: np.ndarray) -> int:
    """Number of groups that add anything to a column: all of them, or only those with something it looks at."""
    return np.count_nonzero(totals.any(axis=1))


def _estimate(value: float, drawn: np.ndarray, groups: int) -> Estimate:
    if np.isnan(value):
        return Estimate(None)
    drawn = drawn[~np.isnan(drawn)]
    if groups < LEAST_GROUPS or len(drawn) < LEAST_DRAWS:
        return Estimate(value)
    tail = _tail(groups)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _tail(groups: int) -> float:
    """Share of the draws beyond each bound: what a normal distribution has beyond sqrt(n / (n - 1)) Student's t."""
    normal, degrees = NormalDist(), groups - 1
    z = normal.inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    student = z + sum(term / degrees**power for power, term in enumerate(terms, 1))  # Cornish and Fisher
    return normal.cdf(-student * (groups / degrees) ** 0.5)
