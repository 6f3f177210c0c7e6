"""What is kept of the demo's answers beside pictures: JSON for a pair, and a table with a row for each pair and method.

predictions.csv is for people and spreadsheets; predictions.jsonl has the whole trail and what the page shows. Rows of
earlier runs into the same folder stay, as their pictures do.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.files import write_text_atomic
from utils.types import Answer, Demo, Pair

TABLE, LINES, PAGE = "predictions.csv", "predictions.jsonl", "index.html"
COLUMNS = ("stem", "method", "heard", "seen", "asked", "reason", "confidence", "share", "mask", "image", "sound")
COLUMNS += ("config", "threshold")
MARKS = {TABLE: ",".join(COLUMNS), LINES: '{"stem": ', PAGE: '<meta name="generator" content="sounding-object">'}


def as_json(found: Any) -> str:
    """What `plain` gives, of one pair or of several, as --json prints it."""
    return json.dumps(found, indent=2, allow_nan=False)


def plain(demo: Demo, config: Any, threshold: float) -> dict[str, Any]:
    """All that is known of one pair but pixels, as JSON takes it; the config is a `models.config.Config`."""
    return {
        "config": {"name": config.name, "path": str(config.path), "summary": config.summary},
        "img_path": str(demo.paths[0]),
        "wav_path": str(demo.paths[1]),
        "threshold": threshold,
        "methods": {
            name: {
                "queries": [{"text": query.text, "score": float(query.score)} for query in answer.queries],
                "trail": answer.trail,
                "mask_share": float(answer.mask.mean()),
                "files": {kind: str(path) for kind, path in answer.files.items()},
                "near_miss": dict(answer.near_miss),
            }
            for name, answer in demo.answers.items()
        },
        "comparison": str(demo.comparison) if demo.comparison else None,
    }


def row_of(answer: Answer, paths: Pair, config: str, threshold: float, **further: Any) -> dict[str, Any]:
    """What one method made of one pair: a value for each of COLUMNS, None for what there is not, and what is further.

    `confidence` is the score of the method's first query, `share` the mask's of the picture, from 0 to 1.
    """
    trail = answer.trail
    return {
        "stem": answer.sample.id,
        "method": answer.method,
        "heard": trail.get("heard"),
        "seen": trail.get("seen"),
        "asked": trail.get("query"),
        "reason": trail.get("reason"),
        "confidence": round(float(answer.queries[0].score), 4) if answer.queries else None,
        "share": round(float(answer.mask.mean()), 6),
        "mask": answer.files["mask"].name,
        "image": str(paths[0]),
        "sound": str(paths[1]),
        "config": config,
        "threshold": threshold,
        **further,
    }


def refuse_others(folder: Path) -> None:
    """Refuses (UserError) a folder in which a file that will be written is there already and is none of ours."""
    for name, mark in MARKS.items():
        path = folder / name
        if path.is_symlink() or path.is_dir() or (path.exists() and not _is_ours(path, mark)):
            raise UserError(
                f"{path} was not written by this program and would be lost; name another folder by --output"
            )


def _is_ours(path: Path, mark: str) -> bool:
    """Whether the mark is at its beginning; an empty file, as predictions.jsonl without a row, is nobody's loss."""
    with path.open(encoding="utf-8", errors="replace") as file:
        start = file.read(1000)
    return not start or mark in start


def merged(folder: Path, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of earlier runs whose masks are still there and not of these rows, and these."""
    path, new = folder / LINES, {row["mask"] for row in rows}
    earlier = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [row for row in map(json.loads, earlier) if row["mask"] not in new and (folder / row["mask"]).is_file()]
    return [*kept, *rows]


def write_records(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes predictions.csv and predictions.jsonl."""
    table = StringIO()
    writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(folder / TABLE, table.getvalue())
    write_text_atomic(folder / LINES, "".join(f"{json.dumps(row, allow_nan=False)}\n" for row in rows))
