"""The tables that a terminal shows: each protocol with its columns, oracle and honest told apart, in percent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils.report.verdicts import methods_that_listen, verdicts

__all__ = ["format_tables"]


def format_tables(results: Mapping[str, Any]) -> str:
    """All tables of a run and what they say at a glance.

    Args:
        results: what results.json holds, see `utils.runs.results.EvalResults`.
    """
    parts = []
    for name, protocol in results["protocols"].items():
        if protocol["refused"]:
            parts.append(f"{name}: not shown, {protocol['refused']}")
        else:
            parts.append(_table(name, protocol["columns"], results))
    parts.append(_controls(results))
    parts.append("\n".join(verdicts(results)))
    parts.append(_notes(results))
    return "\n\n".join(part for part in parts if part)


def _table(name: str, columns: list[Mapping[str, Any]], results: Mapping[str, Any]) -> str:
    titles = [column["title"] for column in columns]
    marks = ["oracle" if column["kind"] == "oracle" else "" for column in columns]
    rows = {_row(method, results): results["scores"][method][name] for method in results["methods"]}
    first = max(len(row) for row in [*rows, name])
    cells = {row: [_cell(numbers[title]) for title in titles] for row, numbers in rows.items()}
    widths = [max(map(len, column)) for column in zip(marks, titles, *cells.values(), strict=True)]
    lines = [
        " " * first + "  " + "  ".join(mark.rjust(w) for mark, w in zip(marks, widths, strict=True)),
        name.ljust(first) + "  " + "  ".join(title.rjust(w) for title, w in zip(titles, widths, strict=True)),
    ]
    lines.append("-" * len(lines[1]))
    for row, own in cells.items():
        lines.append(row.ljust(first) + "  " + "  ".join(cell.rjust(w) for cell, w in zip(own, widths, strict=True)))
    return "\n".join(line.rstrip() for line in lines[0 if any(marks) else 1 :])


def _controls(results: Mapping[str, Any]) -> str:
    if len(results["controls"]) < 2:
        return ""
    own = methods_that_listen(results)
    if not own:
        return ""
    first = max(len(name) for name in [*own, "audio"])
    lines = ["audio".ljust(first) + "".join(f"  {control:>24}" for control in results["controls"])]
    lines.append(" " * first + "  " + "  ".join(["IoU   area  empty".rjust(24)] * len(results["controls"])))
    lines.append("-" * len(lines[0]))
    for name in own:
        cells = []
        for of_control in results["controls"].values():
            numbers = (100 * of_control[name][title]["value"] for title in ("IoU", "area", "empty"))
            cells.append("  ".join(f"{number:5.1f}" for number in numbers).rjust(24))
        lines.append(name.ljust(first) + "  " + "  ".join(cells))
    return "\n".join(lines)


def _row(method: str, results: Mapping[str, Any]) -> str:
    return method if results["methods"][method]["listens"] else f"({method})"


def _cell(number: Mapping[str, Any]) -> str:
    if "refused" in number:
        return "hard"
    if number["value"] is None:
        return "-"
    half = "" if number["low"] is None else f" ±{50 * (number['high'] - number['low']):.1f}"
    return f"{100 * number['value']:.1f}{half:>6}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _notes(results: Mapping[str, Any]) -> str:
    data, intervals = results["data"], results["intervals"]
    size = results["measurement"]["resolution"]
    lines = [
        f"Percent. {_counted(data['samples'], 'sample')} in {_counted(intervals['units'], 'group')} "
        f"({intervals['unit']}), {data['gt_empty']} "
        f"with nothing to find; resolution {size if isinstance(size, str) else ' x '.join(map(str, size))}.",
        "No intervals: none were asked for."
        if not intervals["draws"]
        else f"±: half of the {100 * intervals['confidence']:.0f} % bootstrap interval, {intervals['draws']} draws of "
        f"whole groups, seed {intervals['seed']}; not shown where groups are too few or all agree.",
        "oracle: the threshold is chosen with the ground truth; no answer a user would get.",
    ]
    if len(methods_that_listen(results)) < len(results["methods"]):
        lines.append(
            "In brackets: baselines, which do not listen. Of twenty differences that are none, one looks certain."
        )
    if any("refused" in one for of in results["scores"].values() for table in of.values() for one in table.values()):
        lines.append(
            "hard: the method's maps have two values at most, so a threshold taken from a soft map says nothing."
        )
    return "\n".join([*lines, "What each column means: python eval.py --explain"])
