r"""The tables of a run in LaTeX, to \input: booktabs, the best in bold, intervals, oracle columns marked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from utils.report.elements import ReportedRun, counted, percent, top
from utils.report.sections_run import name_of_data, resolution

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "{}$&#%_"},
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "–": "--",
    "×": r"$\times$",
}
ORACLE, LOWER = r"$^{\dagger}$", r"$\downarrow$"
NAMES = re.compile(r"[^a-z0-9]+")


def tables(run: ReportedRun) -> str:
    """The whole file: a comment with the command, and one table for each protocol that says something."""
    results = run.results
    command = " ".join(results["command"].split())
    code = f"commit {results['commit'] or 'not known'}"
    code += " with uncommitted changes" if results["uncommitted_changes"] else ""
    head = [
        f"% {command}",
        f"% {code}; {results['date']}; config {results['config'].get('name')}",
        "% Made anew by python -m utils.report FOLDER",
        r"% In the preamble: \usepackage{booktabs}. In the text: \input{results}. In two columns: table* for table.",
    ]
    known = {name: one for name, one in results["protocols"].items() if not one["refused"]}
    return "\n".join([*(_printable(line) for line in head), *(_table(name, one, run) for name, one in known.items())])


def escaped(text: str) -> str:
    """A text as LaTeX prints it, on one line."""
    return "".join(SPECIAL.get(letter, letter) for letter in _printable(text))


def _printable(text: str) -> str:
    """On one line, without characters that no font has: a line's end would end a comment."""
    return "".join(one if one.isprintable() else " " for one in str(text))


def _table(name: str, protocol: Mapping[str, Any], run: ReportedRun) -> str:
    columns = protocol["columns"]
    scores = {method: run.results["scores"][method][name] for method in run.ranked}
    best = {
        one["title"]: top(one["better"], [scores[method][one["title"]] for method in run.methods]) for one in columns
    }
    listening = [line for method in run.listening for line in _row(method, scores[method], best, run)]
    baselines = [line for method in run.baselines for line in _row(method, scores[method], {}, run)]
    rule = [r"\midrule"] if listening and baselines else []
    label = NAMES.sub("-", f"{name_of_data(run)} {name}".lower()).strip("-")
    return "\n".join(
        [
            "",
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{_caption(name, protocol, scores, run)}}}",
            rf"\label{{tab:{label}}}",
            r"\setlength{\tabcolsep}{4pt}",
            rf"\begin{{tabular}}{{l{'c' * len(columns)}}}",
            r"\toprule",
            " & ".join(["Method", *map(_head, columns)]) + r" \\",
            r"\midrule",
            *listening,
            *rule,
            *baselines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _head(column: Mapping[str, Any]) -> str:
    """A column's head, in two lines where what is in brackets would make it wide."""
    title, _, remark = column["title"].partition(" (")
    marks = (LOWER if column["better"] == "lower" else "") + (ORACLE if column["kind"] == "oracle" else "")
    if not remark:
        return escaped(title) + marks
    lines = rf"{escaped(title)}{marks}\\{{\scriptsize {escaped('(' + remark)}}}"
    return rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{lines}\end{{tabular}}"


def _row(method: str, scores: Mapping[str, Any], best: Mapping[str, Any], run: ReportedRun) -> list[str]:
    """A method's numbers, and where there are any, their intervals in a line below."""
    values, intervals = [], []
    for title, number in scores.items():
        if "refused" in number:
            values.append("hard")
            intervals.append("")
            continue
        text = escaped(percent(number["value"]))
        is_best = number["value"] is not None and number["value"] == best.get(title)
        values.append(rf"\textbf{{{text}}}" if is_best else text)
        between = "" if number["low"] is None else f"[{percent(number['low'])}, {percent(number['high'])}]"
        intervals.append(rf"{{\scriptsize {between}}}" if between else "")
    name = f"{{{escaped(run.label(method))}}}"  # in braces: a bracket after \\ would be its argument
    lines = [" & ".join([name, *values]) + r" \\"]
    if any(intervals):
        lines = [lines[0] + "[-0.5ex]", " & ".join(["", *intervals]) + r" \\"]
    return lines


def _caption(name: str, protocol: Mapping[str, Any], scores: Mapping[str, Any], run: ReportedRun) -> str:
    data, unit = run.results["data"], run.results["intervals"]["unit"]
    groups = "" if unit == "sample" else f" in {run.units}"
    columns, numbers = protocol["columns"], [one for row in scores.values() for one in row.values()]
    said = [
        f"{escaped(name_of_data(run))}, protocol {escaped(name)}: percent, {counted(data['samples'], 'sample')}"
        f"{escaped(groups)}, compared at {escaped(resolution(run))}."
    ]
    if any(one.get("low") is not None for one in numbers):
        said.append(f"In brackets {escaped(run.confidence)} bootstrap intervals.")
    if any(one["kind"] == "oracle" for one in columns):
        said.append(f"{ORACLE}~oracle: the threshold is chosen with the ground truth.")
    if any(one["better"] == "lower" for one in columns):
        said.append(f"{LOWER}~lower is better.")
    if len(run.methods) > 1:
        said.append("Bold: the best of the methods that listen.")
    if run.baselines:
        said.append("Names in brackets: baselines, which do not listen.")
    if any("refused" in one for one in numbers):
        said.append("hard: most maps have two values at most, and the column takes its threshold from a soft one.")
    return " ".join(said)
