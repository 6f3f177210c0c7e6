"""Files: those that have to be there, a folder for results, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from utils.errors import UserError

LONGEST_NAME = 230  # bytes; file systems take 255, and `atomic_path` adds to it


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
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"the folder {path} cannot be written to; choose another for the results")


def make_own_folder(path: Path) -> None:
    """Makes a folder within the one for results; what a link leads to is not written into.

    Raises:
        UserError: a link or a file is there, or the folder cannot be made or not be written to.
    """
    if path.is_symlink():
        raise UserError(f"expected a folder at {path}, found a link; remove it, or choose another for the results")
    make_folder(path)


def file_name(stem: str, ending: str) -> str:
    """Stem and ending; a stem too long for a file system and for `atomic_path` is cut and has a digest then."""
    name, room = os.fsencode(stem), LONGEST_NAME - len(ending.encode())
    if len(name) > room:
        stem = f"{name[: room - 17].decode(errors='ignore')}-{hashlib.sha256(name).hexdigest()[:16]}"
    return stem + ending


def digest(*values: Any) -> str:
    """Eight digits that differ where a value does: arrays, frozen dataclasses with them, and what JSON takes."""
    parts = [list(vars(value).values()) if is_dataclass(value) else [value] for value in values]
    whole = hashlib.sha256()
    for value in [one for part in parts for one in part]:
        array = isinstance(value, np.ndarray)
        about = [value.shape, value.dtype.str] if array else value
        whole.update(json.dumps(about, sort_keys=True, default=str).encode() + b"\0")
        whole.update(np.ascontiguousarray(value).data if array else b"")
    return whole.hexdigest()[:8]


def lock_bytes(path: Path, first: int, count: int) -> IO[bytes]:
    """Locks a range of a file's bytes, which need not be there, until it is closed or this process ends.

    Processes that share a range exclude each other, on one machine and on those that see one file. Closing any other
    handle of this process to the file ends the lock too.

    Raises:
        BlockingIOError: another process has a part of it.
        OSError: the system or the file system knows no such locks, as Windows.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError(errno.ENOLCK, "this system has none") from error
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW), "r+b")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
        if not os.fstat(file.fileno()).st_nlink:  # who had it has just removed it
            raise BlockingIOError(errno.EAGAIN, "removed meanwhile")
    except OSError as error:
        file.close()
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise BlockingIOError(error.errno, error.strerror, str(path)) from error
        raise
    return file


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
    """Writes a text file so that a reader finds the old content or the new, never a part, whatever fails.

    What is not UTF-8, in a path for instance, is written as its code, as JSON does.
    """
    with atomic_path(path) as partial_path, partial_path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def remove_partials(*folders: Path) -> None:
    """Removes what killed processes left behind half-written; called when no other process writes there."""
    for folder in folders:
        for path in folder.glob(".*.partial"):
            path.unlink(missing_ok=True)
