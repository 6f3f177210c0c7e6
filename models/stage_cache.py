"""A cache of stages on disk: what networks said about sounds, images and sentences, for later runs.

An answer is a file, `ab/abcdef....npz`, named by a digest of the question and of all that decides the answer: weights,
settings, kind of device, versions of the libraries and of the family's own code. It ends in a digest of its name and of
all before: what was damaged, changed or renamed counts as none. Any number of processes may share a folder. It stays
within its size on disk: what was not asked for longest goes first. An answer comes from the batch that asked first, so
a run with a cache differs in last digits.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import atomic_path
from utils.runs import provenance

MARK = "CACHE.txt"
ARRAY, TUPLE = "__array__", "__tuple__"  # in JSON, what stands for them
SEAL = hashlib.sha256().digest_size
SLACK = 0.05  # of the size: what a process writes before it looks again how much is there
FOLDERS, FILES = "[0-9a-f]" * 2, "[0-9a-f]" * 64 + ".npz"  # patterns of our names
NO_LINK = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))  # nor anything to wait for


class StageCache:
    """Answers in a folder that is empty, or a cache already; `max_gb` is its size at most, in 10^9 bytes.

    Raises:
        UserError: it holds something else or a link, or cannot be written to.
    """

    def __init__(self, folder: Path, max_gb: float) -> None:
        self.folder, self._max_bytes = folder, max_gb * 1e9
        self._libraries = {name: version for name, version in provenance.versions().items() if name != "platform"}
        with self._one_sentence():
            folder.mkdir(parents=True, exist_ok=True)
            _refuse_links(folder / MARK)
            if any(folder.iterdir()) and not (folder / MARK).is_file():
                raise UserError(f"expected an empty folder or a cache in {folder}, found other files; name another one")
            with suppress(FileExistsError), (folder / MARK).open("x") as file:
                file.write("Kept by eval.py --cache. Any of it may be deleted.\n")
            if not os.access(folder, os.W_OK):
                raise PermissionError("it cannot be written to")
            self._shrink()

    def read(self, identity: str, stage: str, questions: Iterable[Hashable]) -> dict[Hashable, Any]:
        """The answers that are here, see `models.remembering.Memory.recall`."""
        with self._one_sentence():
            found = {question: _load(self._path(identity, stage, question)) for question in set(questions)}
        return {question: answer for question, loaded in found.items() for answer in loaded}

    def write(self, identity: str, stage: str, answers: Mapping[Hashable, Any]) -> None:
        """Keeps answers: arrays, texts, numbers, None, and lists, tuples and mappings by text of these."""
        with self._one_sentence():
            for question, answer in answers.items():
                path, arrays = self._path(identity, stage, question), {}
                text = json.dumps(_packed(answer, arrays))
                np.savez(content := BytesIO(), text=np.frombuffer(text.encode(), np.uint8), **arrays)
                path.parent.mkdir(exist_ok=True)
                with suppress(FileNotFoundError, IsADirectoryError), atomic_path(path) as unfinished:
                    unfinished.write_bytes(content.getvalue() + _seal(path, content.getvalue()))
                    self._unseen += _bytes_on_disk(unfinished.lstat())
            if self._unseen > SLACK * self._max_bytes:
                self._shrink()

    def _path(self, identity: str, stage: str, question: Hashable) -> Path:
        asked = json.dumps([identity, stage, repr(question), self._libraries], sort_keys=True)
        name = hashlib.sha256(asked.encode()).hexdigest()
        _refuse_links(self.folder / name[:2])
        return self.folder / name[:2] / f"{name}.npz"

    def _shrink(self) -> None:
        """Makes room for what will be written until the next look; half-written files are left alone for an hour."""
        self._unseen, aged = 0, []
        _refuse_links(*self.folder.glob(FOLDERS))
        for path in (*self.folder.glob(f"{FOLDERS}/{FILES}"), *self.folder.glob(f"{FOLDERS}/.{FILES}.*.partial")):
            with suppress(FileNotFoundError):  # another process makes room at this moment
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and (path.suffix == ".npz" or found.st_mtime < time.time() - 3600):
                    aged.append((found.st_mtime_ns, _bytes_on_disk(found), path))
        excess = sum(size for _, size, _ in aged) - (1 - SLACK) * self._max_bytes
        for _, size, path in sorted(aged):
            if excess > 0:
                path.unlink(missing_ok=True)
                excess -= size

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = f"expected a cache that can be read and written in {self.folder}, found: {error}"
            raise UserError(f"{problem}; name another folder with --cache, or leave it out") from error


def _refuse_links(*paths: Path) -> None:
    for path in filter(Path.is_symlink, paths):
        raise UserError(f"expected a cache without links, found one at {path}; remove it, or name another folder")


def _bytes_on_disk(found: os.stat_result) -> int:
    return max(found.st_size, 512 * getattr(found, "st_blocks", 0))


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A value as JSON holds it; its arrays are put aside under the names that stand for them."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays[f"array{len(arrays)}"] = value
        return {ARRAY: f"array{len(arrays) - 1}"}
    if isinstance(value, (list, tuple)):
        items = [_packed(item, arrays) for item in value]
        return {TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping) and all(isinstance(name, str) and name not in (ARRAY, TUPLE) for name in value):
        return {name: _packed(item, arrays) for name, item in value.items()}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"expected an answer of arrays, texts, numbers, lists, tuples, mappings by text, found {value!r}")


def _seal(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + content).digest()


def _load(path: Path) -> list[Any]:
    """The one answer in a file; none where no file is, or one that was not written under this name as it is."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return []
        with open(os.open(path, os.O_RDONLY | NO_LINK), "rb") as file:
            whole = file.read()
            content = whole[:-SEAL]
            if whole[-SEAL:] != _seal(path, content):
                return []
            os.utime(file.fileno() if os.utime in os.supports_fd else path)
        with np.load(BytesIO(content), allow_pickle=False) as arrays:

            def put_back(one: dict[str, Any]) -> Any:
                return arrays[one[ARRAY]] if ARRAY in one else tuple(one[TUPLE]) if TUPLE in one else one

            return [json.loads(arrays["text"].tobytes(), object_hook=put_back)]
    except FileNotFoundError:
        return []
