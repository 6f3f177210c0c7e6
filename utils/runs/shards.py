"""Which batches of a run this process measures: all, its share among processes started together, or a shard by hand.

Batches are dealt out in turn, so which process measures a batch is fixed and none is measured twice. What a process
finishes goes to the run's journal (`utils.runs.journal`); one process collects it at the end.

    python eval.py ...                                  all of it
    accelerate launch eval.py ... / torchrun eval.py    one process per device, which wait for each other
    python eval.py ... --shard 2/8                      a part of it, on any machine that sees the output folder
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["Share", "cores_of", "device_of", "launched_share", "share_of", "wait_for_all"]

LONGEST_WAIT = timedelta(days=14)  # for the slowest process


@dataclass(frozen=True)
class Share:
    """A process's part of a run.

    Attributes:
        index: of this process, from 0.
        count: number of processes.
        together: whether they were started together and wait for each other.
    """

    index: int = 0
    count: int = 1
    together: bool = False

    def takes(self, position: int) -> bool:
        """Whether this process measures the batch at a position."""
        return position % self.count == self.index

    @property
    def leads(self) -> bool:
        """Whether this process talks to the terminal."""
        return self.index == 0 or not self.together

    @property
    def collects(self) -> bool:
        """Whether this process writes the results."""
        return self.count == 1 or (self.together and self.index == 0)


def share_of(text: str) -> Share:
    """Reads "2/8", the second of eight shards, for argparse."""
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"expected a shard such as 2/8, the second of eight, found {text!r}")
    return Share(int(found[1]) - 1, int(found[2]))


def launched_share() -> Share:
    """The share of a process that `accelerate launch` or `torchrun` started; all of it for any other process."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    return Share(int(os.environ["RANK"]), count, together=True) if count > 1 else Share()


def wait_for_all(share: Share, device: str) -> Callable[[], None]:
    """Joins the processes that were started together.

    Args:
        share: of this process.
        device: where its networks run.

    Returns:
        A function that returns when all of them have called it; at once where there are no others.
    """
    if not share.together:
        return lambda: None
    from accelerate import PartialState  # seconds to import, and needed by several processes only

    return PartialState(cpu=device == "cpu", timeout=LONGEST_WAIT).wait_for_everyone


def cores_of(share: Share) -> int:
    """Processor cores for this process: those it may use, divided among the processes of its machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if share.together else 1))


def device_of(share: Share, device: str) -> str:
    """The device of a process among several: with "auto" or "cuda" each takes the GPU of its number on its machine."""
    local = os.environ.get("LOCAL_RANK")
    if not share.together or local is None or device not in ("auto", "cuda"):
        return device
    import torch

    return f"cuda:{local}" if torch.cuda.is_available() else device
