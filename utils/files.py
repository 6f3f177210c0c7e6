"""Files: those that have to be there, a folder for results, and files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import UserError


def require_file(path: str | os.PathLike, kind: str) -> None:
    """Checks that there is a file that holds something.

    Args:
        path: where.
        kind: "an image", "a sound": what it should be.

    Raises:
        UserError: there is none, or an empty one.
    """
    if not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "nothing"
        raise UserError(f"expected {kind} file at {path}, found {found}; check the path")
    if Path(path).stat().st_size == 0:
        raise UserError(f"expected {kind} file at {path}, found an empty file (0 bytes); copy or download it again")


def make_folder(path: Path) -> None:
    """Makes a folder for results and its parents; called before the long work, not after it.

    Raises:
        UserError: it cannot be made or not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}; choose another for the results") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"the folder {path} cannot be written to; choose another for the results")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A hidden path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    What a killed process leaves behind is hidden and has another suffix, so no reader takes it for the file.

    Yields:
        The path to write to; nothing is there yet.
    """
    partial_path = path.with_name(f".{path.name}.{os.getpid()}.partial")  # of this process alone
    partial_path.unlink(missing_ok=True)
    try:
        yield partial_path
        os.replace(partial_path, path)
    finally:
        partial_path.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    """Writes a text file so that a reader finds the old content or the new, never a part, whatever fails."""
    with atomic_path(path) as partial_path, partial_path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def remove_partials(*folders: Path) -> None:
    """Removes what killed processes left behind half-written; called when no other process writes there."""
    for folder in folders:
        for path in folder.glob(".*.partial"):
            path.unlink(missing_ok=True)
