"""What differs between two runs beside their scores: settings, networks, data, measurement, seeds, versions, code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ABSENT", "Change", "changes", "remarks"]

ABSENT = "absent"
PARTS = (  # of results.json, what decides most first
    "measurement",
    "data",
    "config",
    "models",
    "seeds",
    "device",
    "commit",
    "uncommitted_changes",
    "versions",
    "intervals",
    "schema",
    "command",
)
PLACES = {("data", "path"), ("config", "path")}  # where something lies does not say what it is


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
    """Everything that differs, by part; settings of methods only where both runs have the method.

    Args:
        first, second: what results.json holds, see `utils.runs.results.EvalResults`.
    """
    found = []
    names = (", ".join(one["methods"]) for one in (first, second))
    alone = {
        name for one, other in ((first, second), (second, first)) for name in one["methods"].keys() - other["methods"]
    }
    for part in PARTS:
        for path, one, other in _walk(first.get(part, ABSENT), second.get(part, ABSENT), (part,)):
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


def _walk(first: Any, second: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The leaves that differ, with the keys that lead there."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in dict.fromkeys((*first, *second)):
            yield from _walk(first.get(key, ABSENT), second.get(key, ABSENT), (*path, str(key)))
    elif first != second:
        yield path, first, second
