"""What a run may write to its output folder: no link is followed, and nothing of others is replaced unasked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from utils.errors import UserError
from utils.runs import gallery
from utils.runs.journal import FOLDER, refuse_foreign
from utils.runs.results import read_results

PAPER = ("summary.csv", "results.tex", "figure.pdf", "figure.png")
FILES = ("results.json", "per_sample.csv", "report.html", "report.md", *PAPER)
FOLDERS = (gallery.FOLDER, gallery.OVERLAYS)


def refuse_unfit(output_dir: Path, methods: Iterable[str]) -> None:
    """Refuses an output folder that a run of these methods cannot write to as it should; called before the long work.

    Raises:
        UserError: a folder of it is a link, a file or not ours, or a file of it is a folder.
    """
    refuse_foreign(output_dir)
    for path in (output_dir / name for name in (*FOLDERS, *(f"{gallery.OVERLAYS}/{name}" for name in methods))):
        if path.is_symlink() or path.is_file():
            found = "a link" if path.is_symlink() else "a file"
            raise UserError(f"expected a folder at {path}, found {found}; remove it, or choose another --output_dir")
    for path in (output_dir / name for name in FILES):
        if path.is_dir() and not path.is_symlink():
            raise UserError(f"expected a file at {path}, found a folder; move it, or choose another --output_dir")


def refuse_other_results(output_dir: Path, identity: Mapping[str, str]) -> None:
    """Refuses an output folder with results that are not of this run.

    Parts of results without a results.json beside a journal are those of a run that was killed while writing them.

    Args:
        output_dir: of the run.
        identity: what results.json says of this run's.

    Raises:
        UserError: there are.
    """
    there = [name for name in (*FILES, *FOLDERS) if os.path.lexists(output_dir / name)]
    if not there:
        return
    try:
        results = read_results(output_dir)
    except UserError:
        results = {}
    found = results.get("identity") or {}
    if found == identity or (not found and (output_dir / FOLDER / "run.json").exists()):
        return
    what = f"{there[0]} of something else"
    if found:
        parts = [part for part in identity if found.get(part) != identity[part]]
        what = f"those of a run with other {', '.join(parts)} ({results['command']})"
    raise UserError(
        f"expected no results in {output_dir} but those of this command, found {what}; choose another --output_dir, "
        "or have them replaced with --overwrite"
    )
