"""What goes from an evaluation into a paper: summary.csv for plots, results.tex to \\input, a figure of the gallery."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import make_folder, write_text_atomic
from utils.report.elements import ReportedRun
from utils.report.figure import write_figure
from utils.report.latex import tables
from utils.runs.comparison import recorded_columns
from utils.runs.results import SampleRecord, inert, read_records, read_results
from utils.scoring.bootstrap import by_group, draw_weights, estimate
from utils.scoring.protocols import Setting

HEADS = (
    "method",  # its name on the command line
    "listens",  # yes or no; one that does not is a baseline
    "control",  # what was heard: original, silence, noise, swap, offscreen
    "protocol",  # of --protocols, or CONTROLS
    "column",  # its title; python eval.py --explain has the definitions
    "oracle",  # yes where the threshold is chosen with the ground truth
    "better",  # higher or lower
    "value",  # a fraction; empty where undefined, and where `note` says why there is none
    "low",  # the interval's bounds; empty where there is none
    "high",
    "samples",  # of the run
    "groups",  # independent ones among them, which the interval draws
    "note",
)
CONTROLS = "controls"  # not a protocol: IoU (the headline), area and empty answers, and the change from the own sound


def write_paper_files(folder: Path, results: Mapping[str, Any] | None = None) -> list[str]:
    """Writes summary.csv, results.tex and, where the run drew pictures, figure.pdf and figure.png.

    Args:
        folder: what eval.py wrote; per_sample.csv and gallery/ may be missing.
        results: what results.json holds; read from the folder if None.

    Returns:
        The names of the files.

    Raises:
        UserError: there is no results.json, or the folder cannot be written to.
    """
    results = read_results(folder / "results.json") if results is None else results
    make_folder(folder)
    run, text = ReportedRun(results), StringIO()
    writer = csv.DictWriter(text, HEADS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({name: inert(value) for name, value in row.items()} for row in summary(folder, run))
    write_text_atomic(folder / "summary.csv", text.getvalue())
    write_text_atomic(folder / "results.tex", tables(run))
    return ["summary.csv", "results.tex", *write_figure(folder, run)]


def summary(folder: Path, run: ReportedRun) -> Iterator[dict[str, Any]]:
    """The rows of summary.csv: one for each method, sound that was heard, protocol and column.

    With another sound than a sample's own, the protocols have those columns alone that per_sample.csv can tell.
    """
    results = run.results
    size = {"samples": results["data"]["samples"], "groups": results["intervals"]["units"]}
    for control, of_control in results["controls"].items():
        records = {} if control == "original" else _records(folder, control)
        for method in of_control:
            about = {"method": method, "listens": "yes" if method in run.methods else "no", "control": control, **size}
            for title in ("IoU", "area", "empty", *(["change"] if control != "original" else [])):
                better = "higher" if title == "IoU" else ""  # of the others it depends on what is to be found
                row = {"protocol": CONTROLS, "column": title, "oracle": "no", "better": better}
                yield {**about, **row, **_number(of_control[method][title])}
            own = results["scores"][method]
            numbers = own if control == "original" else _again(own, records.get(method, ()), results)
            for protocol, columns in numbers.items():
                for one in results["protocols"][protocol]["columns"]:
                    if (number := columns.get(one["title"])) is not None:
                        oracle = "yes" if one["kind"] == "oracle" else "no"
                        row = {"protocol": protocol, "column": one["title"], "oracle": oracle, "better": one["better"]}
                        yield {**about, **row, **_number(number)}


def _number(number: Mapping[str, Any]) -> dict[str, Any]:
    if "refused" in number:
        return {"note": number["refused"]}
    return {name: "" if number[name] is None else number[name] for name in ("value", "low", "high")}


def _records(folder: Path, control: str) -> dict[str, list[SampleRecord]]:
    """Method -> its records under an audio control; none where there is no file that can be read."""
    try:
        return {own[0].method: own for own in by_group(read_records(folder, control), attrgetter("method"))}
    except UserError:
        return {}


def _again(own: Mapping[str, Any], records: list[SampleRecord], results: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a method's tables with another sound; what its maps cannot answer, they cannot there either."""
    if len(records) != results["data"]["samples"]:  # of another run
        return {}
    intervals = results["intervals"]
    groups = by_group(records, attrgetter("group"))
    weights = draw_weights(len(groups), intervals["draws"])
    found: dict[str, Any] = {}
    setting = Setting(results["measurement"]["threshold"], intervals["unit"])
    for (protocol, title), column in recorded_columns(setting).items():
        if (number := own.get(protocol, {}).get(title)) is not None:
            if "refused" not in number:
                number = vars(estimate(column, np.array([column.totals(group) for group in groups]), weights))
            found.setdefault(protocol, {})[title] = number
    return found
