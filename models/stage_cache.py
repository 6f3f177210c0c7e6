"""A cache of stages on disk: what networks said about sounds, images and sentences, for later runs.

An answer is a file, `ab/abcdef....npz`, named by a digest of the question and of all that decides the answer: weights,
settings, kind of device, versions of the libraries and of the family's own code. The file says itself what it answers;
one that is broken, cut short or of something else counts as none. Any number of processes may share a folder. It stays
within its size: what was not asked for longest goes first. An answer comes from the batch that asked first, so a run
with a cache differs from one without it in the last digits.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import atomic_path
from utils.runs import provenance

MARK = "CACHE.txt"
ARRAY, TUPLE = "__array__", "__tuple__"  # in JSON, what stands for them
SLACK = 0.05  # of the size: what a process writes before it looks again how much is there


class StageCache:
    """Answers in a folder that is empty, or a cache already; `max_gb` is its size at most, in 10^9 bytes.

    Raises:
        UserError: it holds something else, or cannot be written to.
    """

    def __init__(self, folder: Path, max_gb: float) -> None:
        self.folder, self._max_bytes = folder, max_gb * 1e9
        self._libraries = {name: version for name, version in provenance.versions().items() if name != "platform"}
        with self._one_sentence():
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()) and not (folder / MARK).is_file():
                raise UserError(f"expected an empty folder or a cache in {folder}, found other files; name another one")
            (folder / MARK).write_text("Kept by eval.py --cache. Any of it may be deleted.\n")
            self._shrink()

    def read(self, identity: str, stage: str, questions: Iterable[Hashable]) -> dict[Hashable, Any]:
        """The answers that are here, see `models.remembering.Memory.recall`."""
        with self._one_sentence():
            found = {question: _load(self._path(identity, stage, question)) for question in set(questions)}
        return {question: answer for question, answer in found.items() if answer is not None}

    def write(self, identity: str, stage: str, answers: Mapping[Hashable, Any]) -> None:
        """Keeps answers: arrays, texts, numbers, and lists, tuples and mappings of these."""
        with self._one_sentence():
            for question, answer in answers.items():
                path, arrays = self._path(identity, stage, question), {}
                text = json.dumps({"name": path.name, "answer": _packed(answer, arrays)})
                path.parent.mkdir(exist_ok=True)
                with suppress(FileNotFoundError), atomic_path(path) as unfinished, unfinished.open("wb") as file:
                    np.savez(file, text=np.frombuffer(text.encode(), np.uint8), **arrays)
                    self._unseen += file.tell()
            if self._unseen > SLACK * self._max_bytes:
                self._shrink()

    def _path(self, identity: str, stage: str, question: Hashable) -> Path:
        asked = json.dumps([identity, stage, repr(question), self._libraries], sort_keys=True)
        name = hashlib.sha256(asked.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.npz"

    def _shrink(self) -> None:
        """Makes room for what will be written until the next look."""
        self._unseen = 0
        files = [path for path in self.folder.glob("[0-9a-f][0-9a-f]/*") if path.suffix in (".npz", ".partial")]
        with suppress(FileNotFoundError):  # another process makes room at this moment
            aged = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in files)
            excess = sum(size for _, size, _ in aged) - (1 - SLACK) * self._max_bytes
            for _, size, path in aged:
                if excess > 0:
                    path.unlink()
                    excess -= size

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"expected a cache that can be read and written in {self.folder}, found: {error}; name another folder "
                "with --cache, or leave it out"
            ) from error


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A value as JSON holds it; its arrays are put aside under the names that stand for them."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays[f"array{len(arrays)}"] = value
        return {ARRAY: f"array{len(arrays) - 1}"}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        items = [_packed(item, arrays) for item in value]
        return {TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        return {name: _packed(item, arrays) for name, item in value.items()}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"expected an answer of arrays, texts, numbers, lists, tuples and mappings, found {value!r}")


def _load(path: Path) -> Any:
    """The answer in a file; None where there is none, or the file is broken, not ours, or answers something else."""
    try:
        os.utime(path)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:

            def put_back(one: dict[str, Any]) -> Any:
                return arrays[one[ARRAY]] if ARRAY in one else tuple(one[TUPLE]) if TUPLE in one else one

            said = json.loads(arrays["text"].tobytes(), object_hook=put_back)
        return said["answer"] if said["name"] == path.name else None
    except Exception as error:  # what another program wrote may fail in any way
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise
        return None
