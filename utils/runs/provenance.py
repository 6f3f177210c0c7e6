"""Where a number came from: the command, the code's commit, the versions; and how two runs differ in that."""

from __future__ import annotations

import hashlib
import platform
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    *("torch", "torchvision", "torchaudio", "timm", "transformers", "huggingface_hub", "safetensors"),
    *("open_clip_torch", "segment-anything", "msclap", "tokenizers", "HanTa", "numpy"),
    *("librosa", "soundfile", "soxr", "av", "pillow"),
)
SOURCE = (  # of the code that decides the numbers, as pathlib and git take patterns
    *("eval.py", "methods/**/*.py", "models/**/*.py", "datasets/**/*.py", "utils/**/*.py"),
    *("models/**/*.csv", "models/**/*.yaml", "utils/**/*.csv"),
)
ABSENT = "absent"
PARTS = (  # of results.json, the decisive ones first
    *("measurement", "data", "config", "models", "seeds", "device"),
    *("commit", "uncommitted_changes", "versions", "intervals", "schema", "command"),
)
PLACES = {("data", "path"), ("config", "path")}  # where something lies does not say what it is


def command_line(script: str, arguments: Sequence[str]) -> str:
    """The command as it can be pasted into a POSIX shell, e.g. "python eval.py --methods cross_modal"."""
    return shlex.join(["python", script, *arguments])


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """The full hash of the commit that the repository with this top folder stands at, and whether its code differs.

    None and None without git or commit, and for a folder inside some other repository.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not top or not commit or Path(top).resolve() != root.resolve():
        return None, None
    code = (f":(glob){pattern}" for pattern in SOURCE)
    return commit, bool(_git(root, "status", "--porcelain", "--untracked-files=all", "--", *code))


def code_sha256(root: Path) -> str:
    """A digest of the code that decides the numbers, whether git knows it or not."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in SOURCE for path in root.glob(pattern) if path.is_file()}):
        digest.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that can change a result; absent packages are left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def current_date() -> str:
    """Now, in UTC, to the second: "2025-01-31T12:00:00+00:00"."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _git(root: Path, *arguments: str) -> str | None:
    """What git answers, stripped; None where it fails or is not installed."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


@dataclass(frozen=True)
class Change:
    """One setting that two runs do not share.

    Attributes:
        part: of results.json, e.g. "config".
        key: within it, joined by dots, e.g. "methods.classify.top_k"; "" where the part is one value.
        first, second: its value in each run; ABSENT where a run does not have it.
    """

    part: str
    key: str
    first: Any
    second: Any


def changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Change]:
    """Everything that differs in two results.json, by part; settings of a method only where both runs have it."""
    found = []
    names = (", ".join(one["methods"]) for one in (first, second))
    alone = first["methods"].keys() ^ second["methods"].keys()
    for part in PARTS:
        for path, one, other in differing({part: first.get(part, ABSENT)}, {part: second.get(part, ABSENT)}):
            if path in PLACES or (path[:2] == ("config", "methods") and alone.intersection(path)):
                continue
            found.append(Change(part, ".".join(path[1:]), one, other))
    return found + ([Change("methods", "", *names)] if alone else [])


def remarks(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What may or may not matter: other places, code that is not known exactly."""
    said = []
    for part, key in sorted(PLACES):
        one, other = first[part].get(key), second[part].get(key)
        if one != other:
            said.append(f"{part} read from {one} and {other}")
    if first["commit"] is None or second["commit"] is None:
        said.append("the code's commit is not known in both, so the code may differ")
    elif first["commit"] == second["commit"] and (first["uncommitted_changes"] or second["uncommitted_changes"]):
        said.append("one commit, but with uncommitted changes, so the code may differ")
    return said


def differing(first: Any, second: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The leaves that differ: the keys that lead there, and either value; ABSENT where a mapping has no such key."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in dict.fromkeys((*first, *second)):
            yield from differing(first.get(key, ABSENT), second.get(key, ABSENT), (*path, str(key)))
    elif first != second:
        yield path, first, second
