"""Whether the scores of two runs differ beyond chance: paired on the same samples where it can be, else by intervals.

Paired: both runs have records of the same samples in the same groups. Groups are drawn with replacement, the same for
both, and each column's difference is computed on every draw; a difference is certain when its interval excludes 0.
Otherwise, and for columns that records do not hold (maxima over thresholds, sums of pixels), all that is asked is
whether the two intervals overlap, which calls fewer differences certain than there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from utils.errors import UserError
from utils.runs.provenance import Change, changes, remarks
from utils.runs.results import SampleRecord, read_records, read_results
from utils.scoring.bootstrap import Estimate, by_group, difference, draw_weights
from utils.scoring.columns import Column
from utils.scoring.protocols import PROTOCOLS, Setting
from utils.scoring.summary import HEADLINE

IN_RECORDS = ("paper", "ssl", "pairs", "negatives")  # whose columns are functions of records, but for audio controls
ROUNDING = 1e-9


class _Run:
    """One evaluation: its folder, and what its files hold."""

    def __init__(self, path: Path) -> None:
        self.folder, self.results = path if path.is_dir() else path.parent, read_results(path)
        self.headlines = {name: one["IoU"] for name, one in self.results["controls"]["original"].items()}

    @cached_property
    def records(self) -> Mapping[str, Sequence[SampleRecord]]:
        """Method -> its records with the original sound, by sample; raises as `read_records` does."""
        records = sorted(read_records(self.folder), key=attrgetter("id"))
        return {own[0].method: own for own in by_group(records, attrgetter("method"))}


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


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side; A is the first, B the second.

    Attributes:
        first, second: where they lie; the same where methods of one run are compared.
        samples: number of samples in each.
        incomparable: why the scores cannot be compared at all; empty where they can.
        other_data: whether the samples are not known to be the same.
        changes, remarks: see `utils.runs.provenance`.
        methods: one comparison for each method in both, or of the two that were asked for.
        told: the methods of A whose headline the verdict tells: those that listen, or all where none does.
    """

    first: str
    second: str
    samples: tuple[int, int]
    incomparable: tuple[str, ...]
    other_data: bool
    changes: tuple[Change, ...]
    remarks: tuple[str, ...]
    methods: tuple[MethodComparison, ...]
    told: tuple[str, ...]


def compare(first_path: Path, second_path: Path, methods: Sequence[str] | None = None) -> RunComparison:
    """Compares two runs, given results.json of each or its folder.

    Two methods are one of the first run and one of the second; without them each method that both have is compared.

    Raises:
        UserError: a results.json cannot be read, or a run has no such method.
    """
    first, second = _Run(first_path), _Run(second_path)
    if methods is None:
        pairs = [(name, name) for name in first.results["methods"] if name in second.results["methods"]]
        told = [name for name, _ in pairs if first.results["methods"][name]["listens"]]
    else:
        pairs, told = [tuple(methods)], []
        for letter, run, name in zip("AB", (first, second), methods, strict=True):
            if name not in run.results["methods"]:
                known = ", ".join(run.results["methods"])
                raise UserError(f'there is no method "{name}" in {letter} ({run.folder}); choose from: {known}')
    different = changes(first.results, second.results)
    measured = tuple(one for one in different if one.part == "measurement")
    return RunComparison(
        first=str(first.folder / "results.json"),
        second=str(second.folder / "results.json"),
        samples=(first.results["data"]["samples"], second.results["data"]["samples"]),
        incomparable=tuple(f"{one.key} is {one.first} in A and {one.second} in B" for one in measured),
        other_data=any(one.part == "data" for one in different),
        changes=tuple(different),
        remarks=tuple(remarks(first.results, second.results)),
        methods=tuple(_compare_methods(first, second, pair, comparable=not measured) for pair in pairs),
        told=tuple(told or (name for name, _ in pairs)),
    )


def _compare_methods(first: _Run, second: _Run, names: tuple[str, str], comparable: bool) -> MethodComparison:
    """Compares a method of the first run with one of the second; without differences where not `comparable`."""
    paired, reason = _pair(first, second, names) if comparable else (None, "not measured in the same way")
    found = [("", vars(HEADLINE), first.headlines[names[0]], second.headlines[names[1]])]
    tables = first.results["scores"][names[0]], second.results["scores"][names[1]]
    for protocol, columns in tables[0].items():
        for known in first.results["protocols"][protocol]["columns"]:
            numbers = columns.get(known["title"]), tables[1].get(protocol, {}).get(known["title"])
            if None not in numbers:
                found.append((protocol, known, *numbers))
    rows = []
    for protocol, known, *numbers in found:
        values = (number.get("value") for number in numbers)
        row = ColumnComparison(protocol, known["title"], known["kind"], known["better"], *values)
        rows.append(_compare(row, numbers, paired) if comparable else row)
    return MethodComparison(*names, rows[0], tuple(rows[1:]), reason)


class _Paired:
    """Two methods' records by group, drawn together."""

    def __init__(self, records: Sequence[Sequence[SampleRecord]], setting: Setting) -> None:
        self._groups = [by_group(own, attrgetter("group")) for own in records]
        self._weights = draw_weights(len(self._groups[0]))
        columns = {(name, one.title): one for name in IN_RECORDS for one in PROTOCOLS[name].columns(setting)}
        self.columns = {**columns, ("avsbench", "IoU"): HEADLINE, ("", HEADLINE.title): HEADLINE}

    def difference(self, column: Column) -> Estimate:
        """Second minus first."""
        first, second = (np.array([column.totals(group) for group in own]) for own in self._groups)
        return difference(column, second, first, self._weights)


def _pair(first: _Run, second: _Run, names: tuple[str, str]) -> tuple[_Paired | None, str | None]:
    """The records of both, or why there is no pairing them."""
    records = []
    for run, name in zip((first, second), names, strict=True):
        try:
            own = run.records.get(name, ())
        except UserError as error:
            return None, str(error)
        recorded = np.mean([record.avsbench_iou for record in own]) if own else np.nan
        if not abs(recorded - run.headlines[name]["value"]) <= ROUNDING:
            return None, f"{run.folder / 'per_sample.csv'} does not belong to the results.json beside it"
        records.append(own)
    if [one.id for one in records[0]] != [one.id for one in records[1]]:
        return None, "the runs have other samples"
    if [(one.group, one.gt_empty) for one in records[0]] != [(one.group, one.gt_empty) for one in records[1]]:
        return None, "the runs have the same names of samples, but other groups or other ground truth"
    setting = Setting(first.results["measurement"]["threshold"], first.results["intervals"]["unit"])
    return _Paired(records, setting), None


def _compare(row: ColumnComparison, numbers: Sequence[Mapping[str, Any]], paired: _Paired | None) -> ColumnComparison:
    """The row with its difference, where both have a number."""
    one, other = numbers
    if row.first is None or row.second is None:
        return row
    row = replace(row, change=row.second - row.first)
    if paired and (row.protocol, row.column) in paired.columns:
        found = paired.difference(paired.columns[row.protocol, row.column])
        if found.value is not None and abs(found.value - row.change) <= ROUNDING:  # else made by other code, or of more
            known = row.same or found.low is not None
            low, high, differs = found.low, found.high, found.certain if known else None
            return replace(row, low=low, high=high, how="paired" if known else None, differs=differs)
    if row.same:
        return replace(row, how="intervals", differs=False)
    if one["low"] is None or other["low"] is None:
        return row
    return replace(row, how="intervals", differs=max(other["low"] - one["high"], one["low"] - other["high"]) > ROUNDING)
