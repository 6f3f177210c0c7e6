"""What an evaluation leaves behind: results.json and per_sample.csv.

Files appear whole or not at all: they are written under another name first.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import atomic_path, write_text_atomic
from utils.scoring.summary import Summary

SCHEMA = 2
PLAIN = r"[+\-＋－][\w.+-]*\Z"  # -SxV944iB48: no word of it can do anything
FORMULA = re.compile(rf"'*(?!{PLAIN})(?:\s*[=+\-@＝＋－＠]|[\t\r\n])")


@dataclass(frozen=True)
class SampleRecord:
    """One row of per_sample.csv: one method's answer to one sample under one audio control.

    A text that a spreadsheet would take for a formula (it begins with = + - @, blanks or not before it, or with a tab
    or a line's end) stands in the file with an apostrophe before it, as OWASP advises; `read_records` takes that away.
    Names such as -SxV944iB48, of letters, digits and _ . + - alone, stay as they are: they can be joined by, and a
    spreadsheet can at most fail to show them.

    Attributes:
        id, group, control, method: names; samples of one group are not independent.
        iou_fixed, f_fixed, iou_adaptive, f_adaptive, iou_median, iou_relative, avsbench_iou, area, gt_empty,
            prediction_empty: see `utils.scoring.sample_scores.SampleScores`.
        confidence: the best query's score; empty where nothing was asked.
        query: what the segmenter was asked, several joined by "; ".
        reason: why nothing was asked; empty otherwise.
        lost_to: the kind of error that takes most of the IoU, see `utils.scoring.extent`; empty where none does, and in
            files of older runs.
        category, scenario: what the data set says of the sample; several categories joined by "; ". Files of older
            versions lack these two.
    """

    id: str
    group: str
    control: str
    method: str
    iou_fixed: float
    f_fixed: float
    iou_adaptive: float
    f_adaptive: float
    iou_median: float
    iou_relative: float
    avsbench_iou: float
    area: float
    gt_empty: bool
    prediction_empty: bool
    confidence: float | None
    query: str
    reason: str
    lost_to: str = ""
    category: str = ""
    scenario: str = ""


@dataclass(frozen=True)
class Origin:
    """Where the numbers of a run come from.

    Attributes:
        schema: version of the layout of results.json.
        command: as typed, pasteable.
        date: UTC, ISO 8601.
        commit, uncommitted_changes: of this code; None outside a repository.
        versions: package -> version.
        config: the roles as configured and all settings of the methods, defaults included.
        models: role -> what the loaded model says of its origin (hub id and revision, or file hashes) and precision.
        device: where the networks ran.
        data: path; a hash of the files' names and contents; counts of the samples, of the empty ground truths and of
            those with ignored pixels among them; what the folder's manifest says (benchmark, options, published counts,
            differences, how many samples were left out, its sha256), None without one; `skipped`, sample -> why it was
            left out by --skip_faults, which no count includes.
        measurement: how the numbers were taken: resolution, threshold, rules.
        seeds: of methods, controls and the bootstrap.
        seconds: wall clock from the first sample to the last, and seconds by method and stage.
        methods: name -> {"listens": whether the sound can change its answer}; those that do not are baselines.
    """

    schema: int
    command: str
    date: str
    commit: str | None
    uncommitted_changes: bool | None
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    models: Mapping[str, Any]
    device: str
    data: Mapping[str, Any]
    measurement: Mapping[str, Any]
    seeds: Mapping[str, Any]
    seconds: Mapping[str, Any]
    methods: Mapping[str, Any]


@dataclass(frozen=True)
class EvalResults(Summary, Origin):
    """Everything results.json says, in its order: where the numbers come from, the numbers, and pictures.

    Attributes:
        gallery: [{"id", "image", "truth", "sound", "group", "categories", "scenario", "blank", "methods": method ->
            {"map", "iou", "area", "trail": [[label, text]]}}]; files relative to results.json; no sound in older runs.
        refused_controls: audio control -> why this data set cannot have it; absent from older runs.
        identity: part of what decides the numbers -> a digest of it, by which another run is told; absent likewise.
    """

    gallery: Sequence[Mapping[str, Any]]
    refused_controls: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)


def write_records(records: Iterable[SampleRecord], path: Path) -> None:
    """Writes per_sample.csv, row by row as the records come."""
    with atomic_path(path) as partial_path, partial_path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(SampleRecord)])
        writer.writeheader()
        writer.writerows({name: inert(value) for name, value in vars(record).items()} for record in records)


def inert(value: Any) -> Any:
    """A value for a CSV file: a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def write_results(results: EvalResults, path: Path) -> None:
    """Writes results.json whole; fractions, not percent; a setting that is not finite, such as -.inf, as a text."""
    values, yaml = asdict(results), {"Infinity": ".inf", "-Infinity": "-.inf"}
    values["config"] = json.loads(json.dumps(values["config"], default=_plain), parse_constant=yaml.get)
    write_text_atomic(path, json.dumps(values, indent=2, allow_nan=False, default=_plain) + "\n")


def _plain(value: object) -> object:
    """What JSON takes: numpy's numbers as numbers, anything else (a path, a date) as text."""
    return value.item() if isinstance(value, np.generic) else str(value)


READ_AS = {
    "str": lambda text: text[1:] if text.startswith("'") and FORMULA.match(text) else text,
    "float": float,
    "float | None": lambda text: float(text) if text else None,
    "bool": {"True": True, "False": False}.__getitem__,
}


def read_records(path: Path, control: str = "original") -> list[SampleRecord]:
    """Reads the records of one audio control from per_sample.csv, or the folder that holds it.

    Raises:
        UserError: it is missing, broken, or of an older layout.
    """
    path = path / "per_sample.csv" if path.is_dir() else path
    known = {one.name: READ_AS[one.type] for one in fields(SampleRecord)}
    needed = [one.name for one in fields(SampleRecord) if one.default is MISSING]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or ()
            if missing := [name for name in needed if name not in names]:
                raise UserError(
                    f"expected {path} to have the column {missing[0]}, found none; run eval.py again to make it anew"
                )
            readers = {name: read for name, read in known.items() if name in names}
            wanted = (row for row in rows if row["control"] == control)
            return [SampleRecord(**{name: read(row[name]) for name, read in readers.items()}) for row in wanted]
    except OSError as error:
        raise _unread("per_sample.csv", path, error) from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"expected {path} to be a per_sample.csv of eval.py, found a broken row ({error})") from error


def _unread(name: str, path: Path, error: OSError) -> UserError:
    found = "none; check the path"
    if not isinstance(error, FileNotFoundError):
        found = f"one that cannot be read ({error.strerror}); give permission, or name another one"
    return UserError(f"expected a {name} of eval.py at {path}, found {found}")


def read_results(path: Path) -> dict[str, Any]:
    """Reads results.json, given it or the folder that holds it.

    Raises:
        UserError: it is missing, broken, incomplete, or of another schema.
    """
    path = path / "results.json" if path.is_dir() else path
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unread("results.json", path, error) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"expected {path} to be a results.json of eval.py, found something else ({error})") from error
    found = results.get("schema") if isinstance(results, dict) else None
    if found != SCHEMA:
        raise UserError(f"expected {path} to have schema {SCHEMA}, found {found}; run eval.py again to make it anew")
    needed = [one.name for one in fields(EvalResults) if one.default_factory is MISSING]
    if missing := [name for name in needed if name not in results]:
        raise UserError(
            f"expected {path} to be complete, found no {', '.join(missing)}; run eval.py again to make it anew"
        )
    return results
