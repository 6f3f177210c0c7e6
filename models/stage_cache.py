"""A cache of stages on disk: what networks said about sounds, images and sentences, for later runs.

An answer is known by the content of the question and by everything that decides it: the stage, the network's origin
and settings, the kind of device, the code of `models/` and `utils/` and the versions of the libraries; for a stage of a
strategy, that strategy's file and the settings and roles it depends on. Whatever changes among these, nothing old is
taken for it.

Several processes of a machine may share a cache, and it stays within its size: the oldest answers go first. An answer
comes from the batch that asked first, so a run with a cache differs from one without it in the last digits.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from models.remembering import Key, Store
from utils.errors import UserError
from utils.runs import provenance

__all__ = ["DiskCache"]

ROOT = Path(__file__).resolve().parents[1]
FURTHER_LIBRARIES = ("tokenizers", "soxr", "msclap")  # beside those of `utils.runs.provenance`


class DiskCache:
    """Answers in a folder.

    Attributes:
        folder: where.
    """

    def __init__(self, folder: Path, max_gb: float) -> None:
        """Opens the folder, or begins it.

        Args:
            folder: empty or a cache, local to this machine: it holds a database, which network drives do not lock
                reliably.
            max_gb: size at most, in 10^9 bytes.

        Raises:
            UserError: it holds something else, or cannot be written to.
        """
        import diskcache  # only where a cache is asked for

        class PlainDisk(diskcache.Disk):
            """Texts only: what lies in a folder that others may write to is never unpickled."""

            def fetch(self, mode: int, *args: Any) -> Any:
                if mode == diskcache.core.MODE_PICKLE:
                    raise OSError("not written here")  # which the library takes for an answer that is not there
                return super().fetch(mode, *args)

        self.folder = folder
        self._roles: dict[str, str] = {}
        with self._one_sentence():
            if folder.exists() and any(folder.iterdir()) and not (folder / "cache.db").is_file():
                raise UserError(f"expected an empty folder or a cache in {folder}, found other files; name another one")
            size_limit = min(int(max_gb * 1e9), 2**63 - 1)
            self._cache = diskcache.Cache(str(folder), size_limit=size_limit, disk=PlainDisk)
            self._cache.cull()  # where it was larger

    def of_role(self, role: str, entry: Mapping[str, Any], origin: Mapping[str, Any], device: str) -> Store:
        """The part of a network.

        Args:
            role: that it plays.
            entry: of the role in the config: family, weights, settings.
            origin: what the loaded model says of its origin: revision, or the hashes of its files.
            device: where it runs; another kind of device computes otherwise.
        """
        identity = {"entry": entry, "provenance": origin, "device": device.split(":")[0]}
        self._roles[role] = _digest({**identity, "code": code_digest(), "versions": library_versions()})
        return _Part(self, lambda stage: self._roles[role])

    def of_method(self, name: str, settings: Mapping[str, Any], remembered: Mapping[str, Sequence[str]]) -> Store:
        """The part of a connection strategy, once its roles have theirs.

        Args:
            name: of the module in `methods/`.
            settings: all of them; of a file that one names, the content counts.
            remembered: see `methods.base.Method`.
        """
        code = code_digest((ROOT / "methods" / "base.py", ROOT / "methods" / f"{name}.py"))
        digests = {}
        for stage, names in remembered.items():
            used = {key: [settings[key], _file_digest(settings[key])] for key in names if key in settings}
            roles = {key: self._roles[key] for key in names if key not in settings}
            digests[stage] = _digest({"method": name, "settings": used, "roles": roles, "code": code})
        return _Part(self, digests.__getitem__)

    def read(self, names: Iterable[str]) -> list[str | None]:
        """What is kept under names; None where nothing is."""
        with self._one_sentence():
            return [self._cache.get(name) for name in names]

    def write(self, texts: Mapping[str, str]) -> None:
        """Keeps texts under names, all or none."""
        with self._one_sentence(), self._cache.transact():
            for name, text in texts.items():
                self._cache.set(name, text)

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        import diskcache

        try:
            yield
        except (OSError, sqlite3.Error, diskcache.Timeout) as error:
            said = "another process that does not let go of it" if isinstance(error, diskcache.Timeout) else error
            raise UserError(
                f"expected a cache that can be read and written in {self.folder}, found: {said}; name another folder "
                "on this machine with --cache, or leave it out"
            ) from error


class _Part:
    """A `models.remembering.Store`."""

    def __init__(self, cache: DiskCache, identity_of: Callable[[str], str]) -> None:
        self._cache, self._identity_of = cache, identity_of

    def read(self, stage: str, keys: Iterable[Key]) -> dict[Key, Any]:
        """See `models.remembering.Store`."""
        keys = list(keys)
        texts = self._cache.read(self._name(stage, key) for key in keys)
        return {
            key: json.loads(text, object_hook=_unpacked)
            for key, text in zip(keys, texts, strict=True)
            if text is not None
        }

    def write(self, stage: str, answers: Mapping[Key, Any]) -> None:
        """See `models.remembering.Store`."""
        self._cache.write({self._name(stage, key): json.dumps(_packed(answer)) for key, answer in answers.items()})

    def _name(self, stage: str, key: Key) -> str:
        question = hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest()
        return f"{stage}/{self._identity_of(stage)}/{question}"


@functools.cache
def code_digest(further: tuple[Path, ...] = ()) -> str:
    """Of the code and tables of `models/` and `utils/`, and of further files."""
    files = [path for folder in ("models", "utils") for path in (ROOT / folder).rglob("*")]
    digest = hashlib.sha256()
    for path in [*sorted(path for path in files if path.suffix in (".py", ".csv")), *sorted(further)]:
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def library_versions() -> dict[str, str]:
    """Of Python and of the installed libraries that decide an answer."""
    found = {name: version for name, version in provenance.versions().items() if name != "platform"}
    for name in FURTHER_LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _digest(identity: Mapping[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _file_digest(setting: Any) -> str | None:
    """Of the file that a setting names; None where it names none."""
    if not isinstance(setting, (str, os.PathLike)):
        return None
    named = [path for path in (setting, ROOT / setting) if os.path.isfile(path)]  # False for what is too long for one
    return hashlib.sha256(Path(named[0]).read_bytes()).hexdigest() if named else None


def _packed(value: Any) -> Any:
    """A value as JSON holds it, to the last bit."""
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).data).decode("ascii")
        return {"array": [value.dtype.str, value.shape, data]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(item) for item in value]}
    if isinstance(value, list):
        return [_packed(item) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": [[name, _packed(item)] for name, item in value.items()]}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"expected an answer of arrays, texts, numbers, lists, tuples and mappings, found {value!r}")


def _unpacked(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "array":
        dtype, shape, data = content
        return np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()
    return tuple(content) if kind == "tuple" else dict(content)
