"""Looks at all files of a dataset in several processes, each file once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from datasets.processes import each

__all__ = ["Look", "survey"]

Look = Callable[[Path], Any]  # a module's function, picklable; raises nothing
AT_A_TIME = 16  # files handed to a process


def survey(
    files: Mapping[str, Mapping[str, Path]], looks: Mapping[str, Look], num_workers: int
) -> dict[str, dict[str, Any]]:
    """Looks at every file; hard links to one file are looked at once.

    Args:
        files: role -> stem -> file.
        looks: role -> what is done with its files.
        num_workers: processes; 0 for this one. The result is the same for any number.

    Returns:
        role -> stem -> facts.

    Raises:
        UserError: a process was killed.
    """
    same = {(role, stem): (role, _identity(path)) for role, of_role in files.items() for stem, path in of_role.items()}
    first = {key: files[role][stem] for (role, stem), key in reversed(same.items())}
    jobs = [(looks[role], path) for (role, _), path in first.items()]
    facts = dict(zip(first, _each(jobs, num_workers), strict=True))
    return {role: {stem: facts[same[role, stem]] for stem in of_role} for role, of_role in files.items()}


def _identity(path: Path) -> tuple:
    """What hard links to one file have in common."""
    try:
        status = path.stat()
    except OSError:
        return (str(path),)
    return (status.st_dev, status.st_ino) if status.st_ino else (str(path),)


def _each(jobs: Sequence[tuple[Look, Path]], num_workers: int) -> list[Any]:
    progress = {"total": len(jobs), "unit": "file", "delay": 2, "mininterval": 0.5, "leave": False}
    return list(tqdm(each(_look, jobs, num_workers, AT_A_TIME), **progress))


def _look(job: tuple[Look, Path]) -> Any:
    look, path = job
    return look(path)
