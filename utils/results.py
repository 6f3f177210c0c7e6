"""What an evaluation leaves behind: results.json, per_sample.csv and the table that is printed.

Files appear whole or not at all: they are written under another name first. The records of a run that was stopped stay
in `per_sample.csv.partial`.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from utils.files import write_text_atomic
from utils.scores import SetScores

__all__ = ["EvalResults", "RecordFile", "SampleRecord", "format_table", "write_results"]


@dataclass(frozen=True)
class SampleRecord:
    """One row of per_sample.csv: one method's answer to one sample.

    Attributes:
        id, method: names.
        iou_fixed, f_fixed, iou_adaptive, f_adaptive, avsbench_iou: see `utils.scores.SampleScores`.
        gt_empty, prediction_empty: see `utils.scores.SampleScores`.
        query: what the segmenter was asked, several joined by "; ".
        reason: why nothing was asked; empty otherwise.
    """

    id: str
    method: str
    iou_fixed: float
    f_fixed: float
    iou_adaptive: float
    f_adaptive: float
    avsbench_iou: float
    gt_empty: bool
    prediction_empty: bool
    query: str
    reason: str


@dataclass(frozen=True)
class EvalResults:
    """Everything results.json says.

    Attributes:
        command: as typed, pasteable.
        date: UTC, ISO 8601.
        commit, uncommitted_changes: of this code; None outside a repository.
        versions: package -> version.
        config: the roles as configured and all settings of the methods, defaults included.
        models: role -> what the loaded model says of its origin (hub id and revision, or file hashes).
        warning: why these numbers mean nothing (random weights); None in every run that means something.
        device: where the networks ran.
        data: path; counts of the samples, of the empty ground truths and of those with ignored pixels among them; what
            the folder's manifest says (benchmark, options, published counts, differences, how many samples were left
            out, its sha256), None without one.
        protocol: how the numbers were taken.
        seed: as given; the seeds that were used stand among the settings of the methods.
        threshold: the fixed threshold.
        seconds: wall clock from the first sample to the last.
        scores: method -> scores.
        baselines: trivial answer -> scores.
    """

    command: str
    date: str
    commit: str | None
    uncommitted_changes: bool | None
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    models: Mapping[str, Any]
    warning: str | None
    device: str
    data: Mapping[str, Any]
    protocol: Mapping[str, Any]
    seed: int | None
    threshold: float
    seconds: float
    scores: Mapping[str, SetScores]
    baselines: Mapping[str, SetScores]


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
        os.fsync(self._file.fileno())
        self._file.close()
        if error is None:
            os.replace(self.partial_path, self.path)
        else:
            print(f"stopped early: the records so far are in {self.partial_path}", file=sys.stderr)


def write_results(results: EvalResults, path: Path) -> None:
    """Writes results.json whole; fractions, not percent."""
    write_text_atomic(path, json.dumps(asdict(results), indent=2, allow_nan=False, default=str) + "\n")


def format_table(results: EvalResults) -> str:
    """The table that is printed, in percent: what the oracle's threshold flatters stands apart from what is honest."""
    group = results.protocol["avsbench_f_group"]
    columns = {
        "oracle (adaptive threshold)": {"cIoU": "ciou", "AUC": "auc", "mIoU": "miou", "Fscore": "fscore"},
        f"honest ({results.threshold:g})": {"J": "j", "F": "f"},
        "AVSBench": {f"IoU ({results.threshold:g})": "avsbench_iou", f"F max (group = {group})": "avsbench_f_max"},
    }
    rows = {**results.scores, **{f"({name})": scores for name, scores in results.baselines.items()}}
    first = max(len(name) for name in [*rows, "method"])
    top, head, body = [" " * first], ["method".ljust(first)], {name: [name.ljust(first)] for name in rows}
    for title, names in columns.items():
        widths = {name: max(len(name), 6) for name in names}
        missing = len(title) - sum(widths.values()) - 2 * (len(names) - 1)
        widths[next(iter(names))] += max(missing, 0)
        total = sum(widths.values()) + 2 * (len(names) - 1)
        top.append(title.center(total))
        head.append("  ".join(name.rjust(widths[name]) for name in names))
        for row, scores in rows.items():
            values = (100 * getattr(scores, attribute) for attribute in names.values())
            cells = (f"{value:.1f}".rjust(width) for value, width in zip(values, widths.values(), strict=True))
            body[row].append("  ".join(cells))
    lines = [results.warning] if results.warning else []
    lines += [" | ".join(parts).rstrip() for parts in (top, head)]
    lines.append("-" * len(" | ".join(head)))
    lines += [" | ".join(parts) for parts in body.values()]
    return "\n".join([*lines, "", *_notes(results)])


def _notes(results: EvalResults) -> list[str]:
    samples, gt_empty = results.data["samples"], results.data["gt_empty"]
    empty = ", ".join(f"{name} {scores.empty_predictions}" for name, scores in results.scores.items())
    group = results.protocol["avsbench_f_group"]
    per_group = "all samples at once (depends on nothing)" if group == "all" else f"each {group} samples in order of id"
    return [
        f"Percent. {samples} samples, {gt_empty} of them with empty ground truth; empty predictions: {empty}.",
        "Oracle: the threshold is chosen from the ground truth's area, so these four are no answer a user would get.",
        f"AVSBench F: the best of 255 thresholds for {per_group}.",
        "Rows in brackets look at nothing: the whole image, and a blob in its centre.",
    ]
