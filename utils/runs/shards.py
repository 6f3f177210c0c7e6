"""Which batches of an evaluation a process measures.

    python eval.py ...                                  all of them
    accelerate launch eval.py ... / torchrun eval.py    one process per device, which wait for each other
    python eval.py ... --shard 2/8                      a part of them, on any machine that sees the output folder

Batches are dealt out in turn, so which process measures a batch is fixed and none is measured twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from utils.errors import UserError, first_sentence

SHARDS = 2**31 - 1  # bytes of a journal's lock: shard I of N holds byte I, a run that is in one piece holds all
LONGEST_WAIT = timedelta(days=14)  # for the slowest process


@dataclass(frozen=True)
class Shard:
    """A process's part of a run: its index from 0, the number of processes, and whether these wait for each other."""

    index: int = 0
    count: int = 1
    together: bool = False

    @property
    def leads(self) -> bool:
        """Whether this process talks to the terminal."""
        return self.index == 0 or not self.together

    @property
    def collects(self) -> bool:
        """Whether this process writes the results."""
        return self.count == 1 or (self.together and self.index == 0)

    @property
    def cores(self) -> int:
        """Processor cores for this process: those it may use, divided among the processes of its machine."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // (int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.together else 1))

    @property
    def locked(self) -> tuple[int, int] | None:
        """The bytes of the lock that this process holds, (first, count); None where another one does it for all."""
        if self.together or self.count == 1:
            return (0, SHARDS) if self.index == 0 else None
        return self.index, 1

    def device(self, device: str) -> str:
        """The device of this process: with "auto" or "cuda" each takes the GPU of its number on its machine."""
        local = os.environ.get("LOCAL_RANK")
        if not self.together or local is None or device not in ("auto", "cuda"):
            return device
        import torch

        return f"cuda:{local}" if torch.cuda.is_available() else device

    def join(self, device: str) -> Callable[[], None]:
        """Joins the processes that were started together; the networks of this one run on `device`.

        What it gives back returns when all of them have called it; at once where there are no others.

        Raises:
            UserError: the others cannot be found.
        """
        if not self.together:
            return lambda: None
        from accelerate import PartialState  # seconds to import, and needed by several processes only

        try:
            return PartialState(cpu=device == "cpu", timeout=LONGEST_WAIT).wait_for_everyone
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"expected {self.count} processes that find each other, found: {first_sentence(error)}; start eval.py "
                "with torchrun or accelerate launch, or unset WORLD_SIZE"
            ) from error


def launched_shard() -> Shard:
    """The part of a process that `accelerate launch` or `torchrun` started; all of it for any other process.

    Raises:
        UserError: the variables by which they say so are incomplete or no numbers that fit together.
    """
    default = {"WORLD_SIZE": "1", "RANK": "", "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    given = {name: os.environ.get(name, text) for name, text in default.items()}
    count, rank, local_count, local_rank = (int(text) if text.isdecimal() else -1 for text in given.values())
    if count == 1:
        return Shard()
    if not 0 <= rank < count or local_count < 1 or local_rank < 0:
        said = ", ".join(f"{name}={text}" if text else f"no {name}" for name, text in given.items())
        raise UserError(
            f"expected WORLD_SIZE and RANK as torchrun and accelerate launch set them, found {said}; start eval.py "
            "with one of these, or unset WORLD_SIZE"
        )
    return Shard(rank, count, together=True)
