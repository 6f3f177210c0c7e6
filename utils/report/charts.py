"""The charts of a report: what is drawn, and on which scale.

Positions on a scale are percent of its length, 0 to 100, so that a chart has any width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["PERCENT", "Curves", "DotChart", "DotRow", "Histogram", "Line", "Panels", "Scale"]


@dataclass(frozen=True)
class Scale:
    """The axis of a chart: from `low` to `high`, both multiples of `step`."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float], step: float) -> Scale:
        """The scale that holds 0 and all values; coarser where there would be more than eight steps."""
        least, most = min([0.0, *values]), max([0.0, *values])
        while (most - least) / step > 8:
            step *= 2
        low, high = math.floor(least / step) * step, math.ceil(most / step) * step
        return cls(low, high if high > low else low + step, step)

    def at(self, value: float) -> float:
        """Where a value stands, in percent of the length."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0), 1), 2)

    @property
    def tick(self) -> float:
        """Length of a step in percent."""
        return round(100 * self.step / (self.high - self.low), 4)

    @property
    def ticks(self) -> list[float]:
        """Values that are written at the axis."""
        return [self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)]


PERCENT = Scale(0, 1, 0.25)


@dataclass(frozen=True)
class DotRow:
    """One row of a dot chart: a number with its interval, also in words.

    `look`: a method, a "baseline" (hollow diamond), "few" samples (hollow dot), or a "bar" from 0.
    """

    label: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    note: str = ""
    tag: str = ""
    look: Literal["method", "baseline", "few", "bar"] = "method"


@dataclass(frozen=True)
class DotChart:
    """Numbers with their intervals, one below the other; `mark` is a line through all rows and what it means."""

    caption: str
    rows: Sequence[DotRow]
    scale: Scale = PERCENT
    mark: tuple[float, str] | None = None
    dense: bool = False


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, and what they say."""

    caption: str
    edges: Sequence[float]
    counts: Sequence[int]
    said: str


@dataclass(frozen=True)
class Line:
    """A line of a plot; `number` chooses its colour and dashes, baselines have their own."""

    label: str
    points: Sequence[tuple[float, float]]
    number: int
    baseline: bool


@dataclass(frozen=True)
class Curves:
    """Lines over one pair of axes; `mark` is a position on the horizontal one, and its meaning."""

    caption: str
    horizontal: tuple[str, Scale]
    vertical: tuple[str, Scale]
    lines: Sequence[Line]
    mark: tuple[float, str]


@dataclass(frozen=True)
class Panels:
    """Small charts side by side, as many as the width allows; `caption` says how to read them."""

    caption: str
    charts: Sequence[DotChart | Histogram]
