"""Where a number came from: the command, the code's commit, the versions, the date; and whether it means anything."""

from __future__ import annotations

import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

__all__ = ["command_line", "current_date", "git_state", "versions"]

PACKAGES = (
    "torch",
    "torchvision",
    "torchaudio",
    "timm",
    "transformers",
    "huggingface_hub",
    "safetensors",
    "open_clip_torch",
    "segment-anything",
    "librosa",
    "soundfile",
    "numpy",
    "pillow",
    "textblob",
)


def command_line(script: str, arguments: Sequence[str]) -> str:
    """The command as it can be pasted into a POSIX shell, e.g. "python eval.py --methods cross_modal"."""
    return shlex.join(["python", script, *arguments])


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """The commit a repository stands at.

    Args:
        root: the repository's top folder; a folder inside some other repository is not that repository.

    Returns:
        commit: full hash; None without git, repository or commit.
        changed: whether tracked or new files differ from it; None where commit is None.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not top or not commit or Path(top).resolve() != root.resolve():
        return None, None
    return commit, bool(_git(root, "status", "--porcelain"))


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
