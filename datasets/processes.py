"""One function over many jobs, in this process or in several."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from utils.errors import UserError

__all__ = ["each", "workers"]


def each(function: Callable[[Any], Any], jobs: Sequence[Any], num_workers: int, at_a_time: int = 4) -> Iterator[Any]:
    """What a function makes of each job, in the order of the jobs.

    Args:
        function: a module's function, picklable.
        jobs: what it is called with.
        num_workers: processes; 0 for this one. The results are the same for any number.
        at_a_time: jobs handed to a process together.

    Raises:
        UserError: a process was killed.
    """
    if num_workers <= 0:
        yield from map(function, jobs)
        return
    num_workers = max(1, min(num_workers, -(-len(jobs) // at_a_time)))
    context = get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, initializer=_leave_interrupts_to_the_parent) as pool:
        try:
            yield from pool.map(function, jobs, chunksize=at_a_time)
        except BrokenProcessPool as error:
            raise UserError(
                "expected every process to finish, found one killed, perhaps for want of memory; take fewer "
                "with --num_workers and run the same command again"
            ) from error


def workers(text: str) -> int:
    """The value of --num_workers, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 up, found {text!r}")
    return int(text)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
