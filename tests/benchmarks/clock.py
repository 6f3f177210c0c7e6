"""Where the time goes: seconds of every question put to a network's role, and what was asked."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter, process_time
from typing import Any
from unittest import mock

import torch

STAGES = ("encode_audio", "encode_text", "tag", "caption", "encode_images", "segment")
INVERSION = "text_inversion.invert"


def wall() -> float:
    """Seconds, after a GPU has done what it was given: its work is not waited for otherwise."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return perf_counter()


CLOCKS = {"wall": wall, "processor": process_time}


class Clock:
    """Times the outermost questions; a question that another one asks in turn belongs to that one.

    Attributes:
        now: seconds that have passed, of CLOCKS.
        seconds: stage, "ROLE.METHOD" -> seconds.
        calls: stage -> the arguments of every call, as (positional, named).
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {}
        self._is_running = False

    def watch(self, models: Mapping[str, Any]) -> dict[str, Any]:
        """Twins of models whose questions are timed."""
        twins = {role: copy.copy(model) for role, model in models.items()}
        for role, twin in twins.items():
            for name in STAGES:
                if hasattr(twin, name):
                    setattr(twin, name, self._timed(f"{role}.{name}", getattr(twin, name)))
        return twins

    @contextmanager
    def watch_inversion(self) -> Iterator[None]:
        """Times text inversion's search too, which asks no role's method but an open text encoder."""
        from methods._inversion import Inverter

        with mock.patch.object(Inverter, "invert", self._timed(INVERSION, Inverter.invert)):
            yield

    def _timed(self, stage: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(ask)
        def asked(*args: Any, **kwargs: Any) -> Any:
            if self._is_running:
                return ask(*args, **kwargs)
            self.calls.setdefault(stage, []).append((args, kwargs))
            self._is_running, start = True, self.now()
            try:
                return ask(*args, **kwargs)
            finally:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + self.now() - start
                self._is_running = False

        return asked


def seconds_in_networks(ask: Callable[[], object], now: Callable[[], float]) -> float:
    """Seconds inside the outermost calls of torch modules: no preparing, no tokenising, no choosing of words."""
    spent, is_inside = 0.0, False
    call = torch.nn.Module.__call__

    def timed(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        nonlocal spent, is_inside
        if is_inside:
            return call(module, *args, **kwargs)
        is_inside, start = True, now()
        try:
            return call(module, *args, **kwargs)
        finally:
            spent += now() - start
            is_inside = False

    with mock.patch.object(torch.nn.Module, "__call__", timed):
        ask()
    return spent
