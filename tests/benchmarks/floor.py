"""The floor: what the networks alone take for every distinct question, asked once, at the best batch size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from methods._inversion import Inverter
from models.remembering import Memory
from tests.benchmarks.clock import INVERSION, Clock, seconds_in_networks
from utils.types import Query

BATCH_SIZES = (1, 16)
SEGMENT = "segmenter.segment"


@dataclass(frozen=True)
class Floor:
    """What cannot be saved without other networks.

    Attributes:
        seconds: stage -> seconds inside the networks; the segmenter is given every image once, with all its queries.
        distinct: stage -> number of distinct questions; of the segmenter, images.
    """

    seconds: dict[str, float]
    distinct: dict[str, int]


def measure_floor(models: Mapping[str, Any], clock: Clock) -> Floor:
    """Asks again, once, what a run asked.

    Args:
        models: role -> model.
        clock: of a run without memory, which asked everything with the lists of items as positional arguments.
    """
    seconds, distinct = {}, {}
    for stage, calls in clock.calls.items():
        if stage == INVERSION:
            targets = {target.tobytes(): target for (_, asked), _ in calls for target in asked}
            seconds[stage] = _invert(calls[0][0][0], list(targets.values()), clock.now)
            distinct[stage] = len(targets)
            continue
        by_content = {tuple(map(_content, row)): row for args, _ in calls for row in zip(*args, strict=True)}
        rows = list(by_content.values())
        if stage == SEGMENT:
            rows = _by_image(rows)
        seconds[stage] = _least(models, stage, rows, calls[0][1], clock.now)
        distinct[stage] = len(rows)
    return Floor(seconds, distinct)


def _least(
    models: Mapping[str, Any],
    stage: str,
    rows: Sequence[Sequence[Any]],
    named: Mapping[str, Any],
    now: Callable[[], float],
) -> float:
    """Seconds at the best of the batch sizes; each has a memory of its own, so that no query is read twice."""
    role, _, name = stage.partition(".")
    found = []
    for size in BATCH_SIZES:
        ask = getattr(Memory().wrap(copy.copy(models[role]), {}), name)
        batches = [
            [list(column) for column in zip(*rows[i : i + size], strict=True)] for i in range(0, len(rows), size)
        ]

        def ask_all(ask: Callable[..., Any] = ask, batches: list[list[Any]] = batches) -> None:
            for columns in batches:
                ask(*columns, **named)

        found.append(seconds_in_networks(ask_all, now))
    return min(found)


def _invert(inverter: Inverter, targets: list[np.ndarray], now: Callable[[], float]) -> float:
    """Seconds of all targets together; forward, backward and Adam, since all have to be."""
    start = now()
    inverter.invert(np.stack(targets))
    return now() - start


def _by_image(rows: Sequence[tuple[np.ndarray, Sequence[Query]]]) -> list[tuple[np.ndarray, list[Query]]]:
    """Every image once, with all that is asked of it."""
    gathered: dict[Hashable, tuple[np.ndarray, list[Query]]] = {}
    for image, queries in rows:
        gathered.setdefault(_content(image), (image, []))[1].extend(queries)
    return list(gathered.values())


def _content(value: Any) -> Hashable:
    """What makes two items the same."""
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if isinstance(value, Query):
        return value.text, None if value.embedding is None else value.embedding.tobytes()
    return tuple(map(_content, value)) if isinstance(value, (list, tuple)) else value
