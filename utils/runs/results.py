"""What an evaluation leaves behind: results.json and per_sample.csv.

Files appear whole or not at all: they are written under another name first. The records of a run that was stopped stay
in `per_sample.csv.partial`.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import write_text_atomic

__all__ = ["SCHEMA", "EvalResults", "RecordFile", "SampleRecord", "read_records", "read_results", "write_results"]

SCHEMA = 2


@dataclass(frozen=True)
class SampleRecord:
    """One row of per_sample.csv: one method's answer to one sample under one audio control.

    Attributes:
        id, group, control, method: names; samples of one group are not independent.
        iou_fixed, f_fixed, iou_adaptive, f_adaptive, iou_median, iou_relative, avsbench_iou, area, gt_empty,
            prediction_empty: see `utils.scoring.sample_scores.SampleScores`.
        confidence: the best query's score; empty where nothing was asked.
        query: what the segmenter was asked, several joined by "; ".
        reason: why nothing was asked; empty otherwise.
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


@dataclass(frozen=True)
class EvalResults:
    """Everything results.json says; numbers are fractions, {"value", "low", "high"} with their interval.

    Attributes:
        schema: version of this layout.
        command: as typed, pasteable.
        date: UTC, ISO 8601.
        commit, uncommitted_changes: of this code; None outside a repository.
        versions: package -> version.
        config: the roles as configured and all settings of the methods, defaults included.
        models: role -> what the loaded model says of its origin (hub id and revision, or file hashes) and precision.
        device: where the networks ran.
        data: path; a hash of the files' names and sizes; counts of the samples, of the empty ground truths and of those
            with ignored pixels among them; what the folder's manifest says (benchmark, options, published counts,
            differences, how many samples were left out, its sha256), None without one.
        measurement: how the numbers were taken: resolution, threshold, rules.
        seeds: of methods, controls and the bootstrap.
        seconds: wall clock from the first sample to the last, and seconds by method and stage.
        methods: name -> {"listens": whether the sound can change its answer}; those that do not are baselines.
        protocols: name -> {"summary", "refused", "columns": [{"title", "kind", "better", "definition"}]}.
        scores: method -> protocol -> column -> number, or {"refused": why}.
        differences: [{"first", "second", "column", "value", "low", "high", "certain"}], first minus second.
        categories, scenarios: name -> {"samples", "groups", "scores": method -> column -> number}.
        controls: control -> method -> {"IoU", "area", "empty", "change"}: change is against the original sound.
        curves: method -> {"thresholds", "iou"}.
        histograms: method -> {"edges", "counts"} of the IoU.
        reliability: method -> {"asked", "samples", "bins", "auroc_right", "auroc_in_view"}.
        samples: method -> {"best", "worst"}: [{"id", "iou"}].
        intervals: confidence, draws, seed, unit of the bootstrap, and the headline column.
        gallery: [{"id", "image", "truth", "group", "categories", "scenario", "blank", "methods": method -> {"map",
            "iou", "area", "trail": [[label, text]]}}]; files relative to results.json.
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
    protocols: Mapping[str, Any]
    scores: Mapping[str, Any]
    differences: Sequence[Mapping[str, Any]]
    categories: Mapping[str, Any]
    scenarios: Mapping[str, Any]
    controls: Mapping[str, Any]
    curves: Mapping[str, Any]
    histograms: Mapping[str, Any]
    reliability: Mapping[str, Any]
    samples: Mapping[str, Any]
    intervals: Mapping[str, Any]
    gallery: Sequence[Mapping[str, Any]]


class RecordFile:
    """A CSV file that grows row by row under a provisional name and takes its own name when it is complete.

    Used as a context manager. On an exception the rows so far stay under `partial_path`, and an older complete file is
    left as it was.

    Attributes:
        partial_path: where the rows are until the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial_path = path.with_name(path.name + ".partial")

    def __enter__(self) -> RecordFile:
        self._file = self.partial_path.open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, [field.name for field in fields(SampleRecord)])
        self._writer.writeheader()
        return self

    def write(self, records: Iterable[SampleRecord]) -> None:
        """Appends rows; they are on disk when this returns."""
        self._writer.writerows(asdict(record) for record in records)
        self._file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if error is None:
            os.replace(self.partial_path, self.path)
        else:
            print(f"stopped early: the records so far are in {self.partial_path}", file=sys.stderr)


def write_results(results: EvalResults, path: Path) -> None:
    """Writes results.json whole; fractions, not percent."""
    write_text_atomic(path, json.dumps(asdict(results), indent=2, allow_nan=False, default=_plain) + "\n")


def _plain(value: object) -> object:
    """What JSON takes: numpy's numbers as numbers, anything else (a path, a date) as text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def read_records(path: Path, control: str = "original") -> list[SampleRecord]:
    """Reads the records of one audio control.

    Args:
        path: per_sample.csv, or the folder that holds it.
        control: which.

    Raises:
        UserError: it is missing, broken, or of an older layout.
    """
    path = path / "per_sample.csv" if path.is_dir() else path
    wanted = [field.name for field in fields(SampleRecord)]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            missing = [name for name in wanted if name not in (rows.fieldnames or ())]
            if missing:
                raise UserError(
                    f"expected {path} to have the column {missing[0]}, found none; run eval.py again to make it anew"
                )
            return [
                SampleRecord(**{name: _READERS[name](row[name]) for name in wanted})
                for row in rows
                if row["control"] == control
            ]
    except OSError as error:
        raise UserError(f"expected a per_sample.csv of eval.py at {path}, found none; check the path") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"expected {path} to be a per_sample.csv of eval.py, found a broken row ({error})") from error


_OF_TYPE = {
    "str": str,
    "float": float,
    "float | None": lambda text: float(text) if text else None,
    "bool": {"True": True, "False": False}.__getitem__,
}
_READERS = {field.name: _OF_TYPE[field.type] for field in fields(SampleRecord)}


def read_results(path: Path) -> dict[str, Any]:
    """Reads results.json.

    Args:
        path: the file, or the folder that holds it.

    Raises:
        UserError: it is missing, broken, incomplete, or of another schema.
    """
    path = path / "results.json" if path.is_dir() else path
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"expected a results.json of eval.py at {path}, found none; check the path") from error
    except ValueError as error:
        raise UserError(f"expected {path} to be a results.json of eval.py, found something else ({error})") from error
    found = results.get("schema") if isinstance(results, dict) else None
    if found != SCHEMA:
        raise UserError(f"expected {path} to have schema {SCHEMA}, found {found}; run eval.py again to make it anew")
    missing = [field.name for field in fields(EvalResults) if field.name not in results]
    if missing:
        raise UserError(
            f"expected {path} to be complete, found no {', '.join(missing)}; run eval.py again to make it anew"
        )
    return results
