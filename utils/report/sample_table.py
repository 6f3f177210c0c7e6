"""All samples with what each method scored, from per_sample.csv, as a table that a browser can sort and filter."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.language.phrases import thing_of
from utils.report.elements import NOTHING, Part, ReportedRun, percent
from utils.runs.results import SampleRecord, read_records
from utils.scoring.bootstrap import ROUNDING, by_group

MOST = 4000  # rows; of more samples so many are drawn
LONGEST = 40  # characters of a query
BLANK = "nothing to find"
RIGHT = 0.5  # IoU from which an answer is called right


def sample_table(folder: Path, run: ReportedRun) -> Part:
    """Rows and what they can be filtered by; without rows where the folder has no per_sample.csv of this run.

    Each row has the sample's name, the id of its place in the gallery or "", what sounds, its scenario, and a cell for
    each method: (headline in percent, whether the answer is right, what was asked).
    """
    records = _records(folder, run)
    methods = [name for name in run.ranked if name in records]
    if not methods:
        return {"rows": []}
    places = {one["id"]: f"sample-{i}" for i, one in enumerate(run.results["gallery"])}
    own = records[methods[0]]
    shown = range(len(own))
    if len(own) > MOST:
        lots = sorted(shown, key=lambda i: hashlib.sha256(own[i].id.encode()).hexdigest())
        shown = sorted(lots[:MOST])
    rows = []
    for i in shown:
        one = own[i]
        what = BLANK if one.gt_empty and not one.category else one.category
        cells = [_cell(records[name][i], name in run.methods) for name in methods]
        rows.append((one.id, places.get(one.id, ""), what or NOTHING, one.scenario or NOTHING, cells))
    kinds = {kind for one in own for kind in one.category.split("; ") if kind}
    return {
        "rows": rows,
        "all": len(own),
        "methods": [(name, run.label(name)) for name in methods],
        "categories": sorted(kinds | ({BLANK} if any(row[2] == BLANK for row in rows) else set())),
        "scenarios": list(dict.fromkeys(one.scenario for one in own if one.scenario)),
    }


def _cell(record: SampleRecord, listens: bool) -> tuple[str, bool, str]:
    asked = "; ".join(map(thing_of, record.query.split("; ")))
    if not asked and record.reason and listens:
        asked = f"nothing: {record.reason}"
    right = record.prediction_empty if record.gt_empty else record.iou_fixed >= RIGHT
    return percent(record.avsbench_iou), right, asked if len(asked) <= LONGEST else f"{asked[: LONGEST - 3]}..."


def _records(folder: Path, run: ReportedRun) -> Mapping[str, Sequence[SampleRecord]]:
    """Method -> its records with the own sound by sample; none where they are not those of this run."""
    try:
        records = by_group(sorted(read_records(folder), key=attrgetter("id")), attrgetter("method"))
    except UserError:
        return {}
    known: dict[str, Any] = {own[0].method: own for own in records}
    for name, own in known.items():
        if name not in run.results["methods"] or len(own) != run.results["data"]["samples"]:
            return {}
        headline = run.score(name)["value"]
        if headline is None or abs(np.mean([one.avsbench_iou for one in own]) - headline) > ROUNDING:
            return {}
    return known
