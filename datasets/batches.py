"""Many samples at once: cut into batches that keep groups whole, read ahead, or worked on by several processes."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from utils.errors import UserError
from utils.types import Sample


def cut_batches(groups: Sequence[str], batch_size: int) -> list[range]:
    """Cuts a dataset into batches, in order: samples of one group share the networks' work, and so their batch.

    Args:
        groups: of each sample; those of one group that stand side by side stay together.
        batch_size: samples a batch at most; a larger group fills several.

    Returns:
        Positions of each batch's samples.
    """
    starts, first = [0], 0
    for _, group in groupby(groups):
        after = first + len(list(group))
        if after - starts[-1] > batch_size and first > starts[-1]:
            starts.append(first)
        while after - starts[-1] > batch_size:
            starts.append(starts[-1] + batch_size)
        first = after
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(groups)], strict=True) if start < stop]


def iterate_batches(
    dataset: Sequence[Sample], batches: Sequence[Sequence[int]], num_workers: int = 0
) -> Iterator[list[Sample | UserError]]:
    """Reads the samples at the positions of each batch, holding only the batches at hand.

    Where a sample cannot be read, what is wrong with it stands in its place.

    Args:
        dataset: map-style, picklable, its samples of any sizes.
        batches: positions of the samples of each batch wanted.
        num_workers: processes that read ahead, two batches each; 0 reads in this one.

    Raises:
        UserError: a process was killed; what came before it has been yielded.
    """
    return parallel_map(_Reader(dataset), batches, num_workers, at_a_time=1, ahead=2)


@dataclass(frozen=True)
class _Reader:
    """Reads a batch of a dataset."""

    dataset: Sequence[Sample]

    def __call__(self, batch: Sequence[int]) -> list[Sample | UserError]:
        return list(map(self._read, batch))

    def _read(self, index: int) -> Sample | UserError:
        try:
            return self.dataset[index]
        except UserError as error:
            return error


def parallel_map(
    function: Callable[[Any], Any], jobs: Sequence[Any], num_workers: int, at_a_time: int = 4, ahead: int = 16
) -> Iterator[Any]:
    """What a function makes of each job, in the order of the jobs; its processes end with this one, however it ends.

    Args:
        function: a module's function or an instance of a module's class, picklable; each process is sent it once.
        jobs: its arguments.
        num_workers: processes; 0 for this one. The results are the same for any number.
        at_a_time: jobs handed to a process together.
        ahead: how often for each process, at most, before the results are asked for; bounds the memory.

    Raises:
        UserError: a process was killed.
    """
    if num_workers <= 0:
        yield from map(function, jobs)
        return
    parts = [jobs[first : first + at_a_time] for first in range(0, len(jobs), at_a_time)]
    num_workers = max(1, min(num_workers, len(parts)))
    pool = ProcessPoolExecutor(num_workers, get_context("spawn"), _begin_process, (function,))
    try:
        results = deque()
        for part in parts:
            results.append(pool.submit(_work, part))
            if len(results) >= ahead * num_workers:
                yield from results.popleft().result()
        while results:
            yield from results.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "expected every process to finish, found one killed, perhaps for want of memory; take fewer with "
            "--num_workers and run the same command again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process(function: Callable[[Any], Any]) -> None:
    """Keeps what a process of `parallel_map` does, leaves Ctrl-C to its parent, and lets it end when that has ended."""
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent says nothing to a process that waits for work, or for its result to be taken."""
    parent_process().join()
    os._exit(1)


def _work(part: Sequence[Any]) -> list[Any]:
    return list(map(_function, part))
