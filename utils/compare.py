"""Compares two evaluations: what differs between the runs, and whether their scores differ beyond chance.

python -m utils.compare RUN_A RUN_B
python -m utils.compare RUN_A RUN_B --methods classify cross_modal
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path

from utils.cli import Parser
from utils.errors import UserError, run_script
from utils.files import write_text_atomic
from utils.report.elements import listed, points
from utils.runs.comparison import ColumnComparison, MethodComparison, RunComparison, compare
from utils.runs.provenance import ABSENT, Change

LONGEST = 60  # characters of a setting
NAMED = 3  # columns in the verdict
OVERLAP = {True: "intervals apart", False: "intervals overlap", None: "no interval"}


def main(argv: Sequence[str] | None = None) -> RunComparison:
    """Prints a comparison, and writes it where asked to.

    Raises:
        UserError: a file cannot be read or written, or a run has no such method.
    """
    parser = Parser(prog="python -m utils.compare", description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path, metavar="A", help="results.json of a run, or its folder")
    parser.add_argument("second", type=Path, metavar="B", help="those of another; A once more to compare within a run")
    parser.add_argument("--methods", nargs=2, metavar=("X", "Y"), help="compare method X of A with method Y of B")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the comparison there")
    arguments = parser.parse_args(argv)
    found = compare(arguments.first, arguments.second, arguments.methods)
    if arguments.json:
        text = json.dumps({"verdict": verdict(found), **asdict(found)}, indent=2, allow_nan=False)
        try:
            write_text_atomic(arguments.json, text + "\n")
        except OSError as error:
            raise UserError(f"cannot write {arguments.json}: {error.strerror}; choose another path") from error
    print(describe(found))
    return found


def verdict(found: RunComparison) -> str:
    """One sentence on the headline (mean IoU) of each method that listens."""
    if found.incomparable:
        return f"The scores are not comparable: {'; '.join(found.incomparable)}."
    if not found.methods:
        return "The runs have no method in common; compare one of each with --methods X Y."
    where = _where(found)
    if not any(map(_telling, found.methods)):
        return f"The scores are identical: {listed([_name(one) for one in found.methods])}, {where}."
    told = [one for one in found.methods if one.first in found.told]
    certain = [one for one in told if one.headline.differs]
    alike = [one for one in told if one.headline.differs is False]
    unknown = [one for one in told if one.headline.differs is None]
    parts = []
    if certain:
        parts.append(f"{', '.join(f'{_better(one, found)} by {_amount(one.headline)}' for one in certain)} {where}")
        if alike:
            does = "does" if len(alike) == 1 else "do"
            parts.append(f"{listed([_name(one) for one in alike])} {does} not differ beyond chance")
    elif alike:
        most = max(alike, key=lambda one: abs(one.headline.change))
        parts.append(
            f"The scores do not differ beyond chance: {_signed(most)}"
            f"{', the largest of ' + str(len(alike)) + ' differences,' if len(alike) > 1 else ''} {where}"
        )
    if unknown:
        said = ", ".join(map(_signed, unknown))
        parts.append(
            f"{'it' if parts else 'It'} cannot be told whether this is chance: {said}{'' if parts else ' ' + where}"
        )
    further = [f"{one.first} {_title(row)}" for one in told for row in _telling(one) if row.differs and row.protocol]
    if further and not certain:
        more = f" and {len(further) - NAMED} more" if len(further) > NAMED else ""
        parts.append(f"other columns do: {', '.join(further[:NAMED])}{more}")
    return "; ".join(parts) + "."


def describe(found: RunComparison) -> str:
    """All of it for a terminal."""
    parts = [verdict(found)]
    if found.first == found.second:
        parts.append(f"A, B  {found.first}")
    else:
        parts += [f"A  {found.first}\nB  {found.second}", _settings(found)]
    parts += [_scores(one, found) for one in found.methods if _telling(one)]
    if same := [_name(one) for one in found.methods if not _telling(one)]:
        parts.append(f"The same in every column: {', '.join(same)}")
    return "\n\n".join(part for part in (*parts, _notes(found)) if part)


def _settings(found: RunComparison) -> str:
    width = max((len(one.part) for one in found.changes), default=0)
    lines = [f"  {one.part:<{width}}  {_setting(one)}" for one in found.changes]
    lines += [f"  remark: {one}" for one in found.remarks]
    return "\n".join([f"What differs between A and B{'' if found.changes else ': nothing'}", *lines])


def _setting(one: Change) -> str:
    first, second = (value if isinstance(value, str) else json.dumps(value) for value in (one.first, one.second))
    start = 0
    if max(len(first), len(second)) > LONGEST and ABSENT not in (first, second):
        shared = next(index for index, pair in enumerate(zip_longest(first, second)) if pair[0] != pair[1])
        start = max(shared - LONGEST // 4, 0)
    first, second = (_cut(text, start) for text in (first, second))
    return f"{one.key + ': ' if one.key else ''}{first} -> {second}"


def _cut(text: str, start: int) -> str:
    """A text that may be long, from about where it differs; of a hash the beginning."""
    if len(text) >= 32 and all(letter in "0123456789abcdef" for letter in text):
        return f"{text[:12]}..."
    shown = text[start : start + LONGEST]
    return f"{'...' if start else ''}{shown}{'...' if start + LONGEST < len(text) else ''}"


def _telling(one: MethodComparison) -> list[ColumnComparison]:
    """The rows that are not the same in both; AVSBench's IoU is the headline once more."""
    rows = (one.headline, *(row for row in one.columns if (row.protocol, row.column) != ("avsbench", "IoU")))
    return [row for row in rows if not row.same]


def _scores(one: MethodComparison, found: RunComparison) -> str:
    rows = _telling(one)
    second = "B" if one.first == one.second else f"B {one.second}"
    width, wide = max(len(text) for text in (one.first, *map(_title, rows))), max(7, len(second))
    lines = [f"{one.first:<{width}}  {'A':>7}  {second:>{wide}}{'' if found.incomparable else '   B - A'}"]
    for row in rows:
        first, other = ("-" if value is None else f"{100 * value:.1f}" for value in (row.first, row.second))
        lines.append(f"{_title(row):<{width}}  {first:>7}  {other:>{wide}}  {_change(row)}".rstrip())
    return "\n".join(lines)


def _title(row: ColumnComparison) -> str:
    marks = [row.kind] * (row.kind == "oracle") + [f"{row.better} is better"] * (row.better == "lower")
    return f"{row.protocol or 'headline'} {row.column}{', '.join(['', *marks])}"


def _change(row: ColumnComparison) -> str:
    if row.change is None:
        return ""
    return f"{points(row.change):>6} {_interval(row):<19} {'*' if row.differs else ''}"


def _signed(one: MethodComparison) -> str:
    """The headline's difference, B minus A."""
    where = " in B" if one.first == one.second else ""
    return f"{_name(one)} {points(one.headline.change)} points{where} {_interval(one.headline)}"


def _amount(row: ColumnComparison) -> str:
    """How much better the better one is; which one that is has been said."""
    if row.change < 0:
        low, high = (None, None) if row.low is None else (-row.high, -row.low)
        row = replace(row, change=-row.change, low=low, high=high)
    return f"{points(row.change)} points {_interval(row)}".replace("+", "")


def _interval(row: ColumnComparison) -> str:
    return f"({OVERLAP[row.differs]})" if row.low is None else f"[{points(row.low)}, {points(row.high)}]"


def _notes(found: RunComparison) -> str:
    rows = [row for one in found.methods for row in _telling(one)]
    notes = []
    if any(row.how for row in rows):
        notes.append("Percent. * differs beyond chance: each at 95 % by itself, so one in twenty does by chance alone.")
    if any(row.how == "paired" for row in rows):
        notes.append("[ ] of the difference: paired bootstrap on the same samples, whole groups at a time.")
    if any(row.how == "intervals" for row in rows):
        notes.append("Intervals apart or overlapping: not paired; a difference may be real although they overlap.")
    notes += [f"Not paired: {reason}." for reason in dict.fromkeys(one.unpaired for one in found.methods) if reason]
    return "\n".join(notes)


def _better(one: MethodComparison, found: RunComparison) -> str:
    if one.first == one.second:
        return f"{one.first} is better in {'B' if one.headline.change > 0 else 'A'}"
    names = [one.first, one.second]
    if found.first != found.second:
        names = [f"{one.first} of A", f"{one.second} of B"]
    return "{} is better than {}".format(*(names if one.headline.change < 0 else reversed(names)))


def _name(one: MethodComparison) -> str:
    return one.first if one.first == one.second else f"{one.second} against {one.first}"


def _where(found: RunComparison) -> str:
    if found.other_data:
        return f"on data that are not the same ({found.samples[0]} samples in A, {found.samples[1]} in B)"
    return f"on {found.samples[0]} samples{' in both' if found.first != found.second else ''}"


if __name__ == "__main__":
    sys.exit(run_script(main))
