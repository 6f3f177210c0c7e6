"""Samples in batches, read ahead in worker processes while the networks work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from utils.errors import UserError
from utils.types import Sample

__all__ = ["iterate_batches"]


class _Reader:
    """Hands a `UserError` over as a value: raised inside a worker process it would come back wrapped in a traceback."""

    def __init__(self, dataset: Sequence[Sample]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample | UserError:
        try:
            return self.dataset[index]
        except UserError as error:
            return error


def iterate_batches(
    dataset: Sequence[Sample], batch_size: int, num_workers: int = 0, firsts: Sequence[int] | None = None
) -> Iterator[list[Sample]]:
    """Reads a dataset in order, holding only the batches at hand.

    Args:
        dataset: map-style: `len` and an index.
        batch_size: samples per batch; the last batch may be shorter.
        num_workers: processes that read ahead; 0 reads in this one.
        firsts: positions of the first samples of the batches wanted, multiples of `batch_size`; None for all.

    Yields:
        Lists of samples of any sizes.

    Raises:
        UserError: a file cannot be read; what came before it has been yielded.
    """
    from torch.utils.data import DataLoader  # seconds to import

    firsts = range(0, len(dataset), batch_size) if firsts is None else firsts
    wanted = [range(first, min(first + batch_size, len(dataset))) for first in firsts]
    for batch in DataLoader(_Reader(dataset), batch_sampler=wanted, num_workers=num_workers, collate_fn=list):
        for item in batch:
            if isinstance(item, UserError):
                raise item
        yield batch
