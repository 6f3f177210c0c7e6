"""Whether the scores of two runs differ beyond chance: paired on the same samples where it can be, else by intervals.

Paired: both runs have records of the same samples in the same groups. Groups are drawn with replacement, the same for
both, and each column's difference is computed on every draw; a difference is certain when its interval leaves out 0.
Otherwise, and for columns that records do not hold (maxima over thresholds, sums of pixels), all that is asked is
whether the two intervals overlap, which calls fewer differences certain than there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from utils.errors import UserError
from utils.runs.results import SampleRecord, read_records
from utils.scoring.bootstrap import Estimate, difference, draw_weights
from utils.scoring.columns import Column
from utils.scoring.protocols import PROTOCOLS, Setting
from utils.scoring.summary import HEADLINE

__all__ = ["ColumnComparison", "MethodComparison", "Run", "compare_methods"]

IN_RECORDS = ("paper", "ssl", "pairs", "negatives")  # protocols all of whose columns are functions of a record
ROUNDING = 1e-9


@dataclass(frozen=True)
class Run:
    """One evaluation.

    Attributes:
        folder: where its files are.
        results: what its results.json holds.
    """

    folder: Path
    results: Mapping[str, Any]

    @cached_property
    def records(self) -> Mapping[str, Sequence[SampleRecord]]:
        """Method -> its records with the original sound, by sample.

        Raises:
            UserError: per_sample.csv is missing or broken.
        """
        found: dict[str, list[SampleRecord]] = {}
        for record in sorted(read_records(self.folder), key=lambda record: record.id):
            found.setdefault(record.method, []).append(record)
        return found

    def headline(self, method: str) -> Mapping[str, Any]:
        """A method's headline number, which is there whichever protocols were asked for."""
        return self.results["controls"]["original"][method]["IoU"]


@dataclass(frozen=True)
class ColumnComparison:
    """One column of two methods; numbers are fractions.

    Attributes:
        protocol, column: names; `protocol` is "" for the headline.
        kind, better: "oracle" or "honest", and which way is good.
        first, second: values; None where undefined or refused.
        change, low, high: second minus first, with its interval where it was paired.
        how: what `differs` rests on; None where nothing could be told.
        differs: whether the two differ beyond chance; None where that cannot be told.
    """

    protocol: str
    column: str
    kind: str
    better: str
    first: float | None
    second: float | None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    how: Literal["paired", "intervals"] | None = None
    differs: bool | None = None

    @property
    def same(self) -> bool:
        """Whether there is no difference at all."""
        if self.first is None or self.second is None:
            return self.first is self.second
        return abs(self.first - self.second) <= ROUNDING


@dataclass(frozen=True)
class MethodComparison:
    """Two methods, or one method in two runs.

    Attributes:
        first, second: names of the methods.
        headline: mean IoU, an empty answer to empty ground truth counting 1.
        columns: all that both runs have.
        unpaired: why the samples could not be paired; None where they were.
    """

    first: str
    second: str
    headline: ColumnComparison
    columns: tuple[ColumnComparison, ...]
    unpaired: str | None


def compare_methods(first: Run, second: Run, names: tuple[str, str], comparable: bool = True) -> MethodComparison:
    """Compares a method of the first run with one of the second.

    Args:
        first, second: the runs.
        names: the method's name in each.
        comparable: whether both were measured in the same way; otherwise no difference is computed.
    """
    paired, reason = _pair(first, second, names) if comparable else (None, "not measured in the same way")
    tables = first.results["scores"][names[0]], second.results["scores"][names[1]]
    rows = []
    for protocol, columns in tables[0].items():
        described = {one["title"]: one for one in first.results["protocols"][protocol]["columns"]}
        for title, number in columns.items():
            other, known = tables[1].get(protocol, {}).get(title), described[title]
            if other is not None:
                row = ColumnComparison(
                    protocol, title, known["kind"], known["better"], number.get("value"), other.get("value")
                )
                rows.append(_compare(row, (number, other), paired) if comparable else row)
    numbers = first.headline(names[0]), second.headline(names[1])
    headline = ColumnComparison("", HEADLINE.title, HEADLINE.kind, HEADLINE.better, *(one["value"] for one in numbers))
    headline = _compare(headline, numbers, paired) if comparable else headline
    return MethodComparison(*names, headline, tuple(rows), reason)


class _Paired:
    """Two methods' records by group, drawn together."""

    def __init__(
        self, first: Sequence[SampleRecord], second: Sequence[SampleRecord], columns: Mapping[tuple[str, str], Column]
    ) -> None:
        members: dict[str, list[int]] = {}
        for index, record in enumerate(first):
            members.setdefault(record.group, []).append(index)
        self._records, self._groups = (first, second), [members[name] for name in sorted(members)]
        self._weights = draw_weights(len(self._groups))
        self.columns = columns

    def difference(self, column: Column) -> Estimate:
        """Second minus first."""
        totals = [np.array([column.totals([own[i] for i in group]) for group in self._groups]) for own in self._records]
        return difference(column, totals[1], totals[0], self._weights)


def _pair(first: Run, second: Run, names: tuple[str, str]) -> tuple[_Paired | None, str | None]:
    """The records of both, or why there is no pairing them."""
    records = []
    for run, name in zip((first, second), names, strict=True):
        try:
            own = run.records.get(name, ())
        except UserError as error:
            return None, str(error)
        recorded = np.mean([record.avsbench_iou for record in own]) if own else np.nan
        if not abs(recorded - run.headline(name)["value"]) <= ROUNDING:
            return None, f"{run.folder / 'per_sample.csv'} does not belong to the results.json beside it"
        records.append(own)
    facts = [[(record.id, record.group, record.gt_empty) for record in own] for own in records]
    if [one[0] for one in facts[0]] != [one[0] for one in facts[1]]:
        return None, "the runs have other samples"
    if facts[0] != facts[1]:
        return None, "the runs have the same names of samples, but other groups or other ground truth"
    setting = Setting(first.results["measurement"]["threshold"], first.results["intervals"]["unit"])
    columns = {(name, one.title): one for name in IN_RECORDS for one in PROTOCOLS[name].columns(setting)}
    return _Paired(*records, {**columns, ("avsbench", "IoU"): HEADLINE, ("", HEADLINE.title): HEADLINE}), None


def _compare(row: ColumnComparison, numbers: Sequence[Mapping[str, Any]], paired: _Paired | None) -> ColumnComparison:
    """The row with its difference, where both have a number."""
    one, other = numbers
    if row.first is None or row.second is None:
        return row
    row = replace(row, change=row.second - row.first)
    if paired and (row.protocol, row.column) in paired.columns:
        found = paired.difference(paired.columns[row.protocol, row.column])
        if found.value is not None and abs(found.value - row.change) <= ROUNDING:  # else made by other code
            known = row.same or found.low is not None
            low, high, differs = found.low, found.high, found.certain if known else None
            return replace(row, low=low, high=high, how="paired" if known else None, differs=differs)
    if row.same:
        return replace(row, how="intervals", differs=False)
    if one["low"] is None or other["low"] is None:
        return row
    return replace(row, how="intervals", differs=one["high"] < other["low"] or other["high"] < one["low"])
