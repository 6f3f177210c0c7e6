"""The tables that a terminal shows: each protocol with its columns, oracle and honest told apart, in percent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils.report.elements import ReportedRun, counted, listed, percent, points, zero
from utils.scoring.bootstrap import LEAST_DRAWS


def format_tables(results: Mapping[str, Any]) -> str:
    """All tables of what a results.json holds, and what they say at a glance."""
    run, parts = ReportedRun(results), []
    for name, protocol in results["protocols"].items():
        if protocol["refused"]:
            parts.append(f"{name}: not shown, {protocol['refused']}")
        else:
            parts.append(_table(name, protocol["columns"], run))
    parts += [_controls(run), "\n".join([*_ranking(run), *_listening(run)]), _notes(run)]
    return "\n\n".join(part for part in parts if part)


def _table(name: str, columns: list[Mapping[str, Any]], run: ReportedRun) -> str:
    titles = [column["title"] for column in columns]
    marks = ["oracle" if column["kind"] == "oracle" else "" for column in columns]
    rows = [("", marks), (name, titles)]
    for method in run.results["methods"]:
        rows.append((run.label(method), [_cell(run.results["scores"][method][name][title]) for title in titles]))
    return "\n".join(_lines(rows)[0 if any(marks) else 1 :])


def _lines(rows: list[tuple[str, list[str]]], least: int = 0) -> list[str]:
    """A table of labels and cells, these at least so wide; two rows of headers, a rule, and the others."""
    first = max(len(label) for label, _ in rows)
    widths = [max(least, *map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
    lines = ["  ".join([label.ljust(first), *map(str.rjust, cells, widths)]).rstrip() for label, cells in rows]
    return [*lines[:2], "-" * len(lines[1]), *lines[2:]]


def _cell(number: Mapping[str, Any]) -> str:
    if "refused" in number:
        return "hard"
    if number["value"] is None:
        return "-"
    half = "" if number["low"] is None else f" ±{50 * (number['high'] - number['low']):.1f}"
    return f"{percent(number['value'])}{half:>6}"


def _controls(run: ReportedRun) -> str:
    controls = run.results["controls"]
    if len(controls) < 2 or not run.methods:
        return ""
    rows = [("audio", list(controls)), ("", ["IoU   area  empty"] * len(controls))]
    for name in run.methods:
        numbers = ([one[name][title] for title in ("IoU", "area", "empty")] for one in controls.values())
        rows.append((name, ["  ".join(percent(one["value"]).rjust(5) for one in own) for own in numbers]))
    return "\n".join(_lines(rows, least=24))


def _ranking(run: ReportedRun) -> list[str]:
    """Which method is best, and how certainly it is ahead of each other one."""
    best = run.best
    if best is None:
        return []
    title = run.results["intervals"]["headline"]["title"]
    names = f"a tie: {listed(run.tied)}" if len(run.tied) > 1 else f"best: {best}" if run.methods[1:] else best
    lines = [f"{names}, {title} {percent(run.score(best)['value'])}{run.nothing}"]
    for other in run.ranked:
        found = run.difference(best, other)
        if found is not None:
            against = f"{points(found['value'])} against {other}"
            lines.append(f"      {against}{_interval(found)}: {zero(found)}")
        elif other != best:
            lines.append(f"      no difference to {other} was computed")
    return lines


def _listening(run: ReportedRun) -> list[str]:
    """Which methods listen, where a control tells."""
    return [
        f"{found.verdict}: IoU {percent(found.before)} -> "
        f"{percent(found.after)} under {found.control}, {points(found.change['value'])}{_interval(found.change)}"
        for name in run.methods
        if (found := run.control_effect(name))
    ]


def _interval(difference: Mapping[str, Any]) -> str:
    return "" if difference["low"] is None else f" [{points(difference['low'])}, {points(difference['high'])}]"


def _notes(run: ReportedRun) -> str:
    data, intervals = run.results["data"], run.results["intervals"]
    size = run.results["measurement"]["resolution"]
    lines = [
        f"Percent. {counted(data['samples'], 'sample')} in {counted(intervals['units'], 'group')} "
        f"({intervals['unit']}), {data['gt_empty']} with nothing to find; "
        f"resolution {size if isinstance(size, str) else ' x '.join(map(str, size))}.",
        f"No intervals: {intervals['draws']} draws were asked for, they need {LEAST_DRAWS}."
        if not run.has_intervals
        else f"±: half of the {100 * intervals['confidence']:.0f} % bootstrap interval, {intervals['draws']} draws of "
        f"whole groups, seed {intervals['seed']}; not shown where groups are too few or all agree.",
        "oracle: the threshold is chosen with the ground truth; no answer a user would get.",
    ]
    if run.baselines:
        lines.append(
            "In brackets: baselines, which do not listen. Of twenty differences that are none, one looks certain."
        )
    tables = [table for of_method in run.results["scores"].values() for table in of_method.values()]
    if any("refused" in number for table in tables for number in table.values()):
        lines.append("hard: most maps have two values at most, so a threshold taken from a soft map says nothing.")
    return "\n".join([*lines, "What each column means: python eval.py --explain"])
