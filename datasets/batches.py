"""Many samples at once: cut into batches that keep groups whole, read ahead, or worked on by several processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context
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
    dataset: Sequence[Sample], batches: Sequence[range], num_workers: int = 0
) -> Iterator[list[Sample]]:
    """Reads the samples at the positions of each batch, holding only the batches at hand.

    Args:
        dataset: map-style, its samples of any sizes.
        batches: positions of the samples of each batch wanted.
        num_workers: processes that read ahead; 0 reads in this one.

    Raises:
        UserError: a file cannot be read; what came before it has been yielded.
    """
    from torch.utils.data import DataLoader  # seconds to import

    for batch in DataLoader(_Reader(dataset), batch_sampler=batches, num_workers=num_workers, collate_fn=list):
        for item in batch:
            if isinstance(item, UserError):
                raise item
        yield batch


@dataclass(frozen=True)
class _Reader:
    """Hands a `UserError` over as a value: raised inside a worker process it would come back wrapped in a traceback."""

    dataset: Sequence[Sample]

    def __getitem__(self, index: int) -> Sample | UserError:
        try:
            return self.dataset[index]
        except UserError as error:
            return error


def parallel_map(
    function: Callable[[Any], Any], jobs: Sequence[Any], num_workers: int, at_a_time: int = 4
) -> Iterator[Any]:
    """What a function makes of each job, in the order of the jobs.

    Args:
        function: a module's function, picklable.
        jobs: its arguments.
        num_workers: processes; 0 for this one. The results are the same for any number.
        at_a_time: jobs handed to a process together.

    Raises:
        UserError: a process was killed.
    """
    if num_workers <= 0:
        yield from map(function, jobs)
        return
    num_workers = max(1, min(num_workers, -(-len(jobs) // at_a_time)))
    no_interrupts = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}  # the parent has them
    with ProcessPoolExecutor(num_workers, get_context("spawn"), **no_interrupts) as pool:
        try:
            yield from pool.map(function, jobs, chunksize=at_a_time)
        except BrokenProcessPool as error:
            raise UserError(
                "expected every process to finish, found one killed, perhaps for want of memory; take fewer "
                "with --num_workers and run the same command again"
            ) from error
