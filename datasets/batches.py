"""Samples in batches that keep groups whole, read ahead in worker processes while the networks work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from utils.errors import UserError
from utils.types import Sample

__all__ = ["cut_batches", "iterate_batches"]


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


def cut_batches(groups: Sequence[str], batch_size: int) -> list[range]:
    """Cuts a dataset into batches, in order: what belongs together shares its networks' work, and so its batch.

    Args:
        groups: of each sample; those of one group that stand side by side stay together.
        batch_size: samples a batch at most; a larger group fills several.

    Returns:
        Positions of each batch's samples.
    """
    starts = [0]
    for first, after in _runs(groups):
        if after - starts[-1] > batch_size and first > starts[-1]:
            starts.append(first)
        while after - starts[-1] > batch_size:
            starts.append(starts[-1] + batch_size)
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(groups)], strict=True) if start < stop]


def _runs(groups: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Positions (first, after the last) of neighbours of one group."""
    first = 0
    for position in range(1, len(groups) + 1):
        if position == len(groups) or groups[position] != groups[first]:
            yield first, position
            first = position


def iterate_batches(
    dataset: Sequence[Sample], batches: Sequence[range], num_workers: int = 0
) -> Iterator[list[Sample]]:
    """Reads a dataset in order, holding only the batches at hand.

    Args:
        dataset: map-style: `len` and an index.
        batches: positions of the samples of each batch wanted.
        num_workers: processes that read ahead; 0 reads in this one.

    Yields:
        Lists of samples of any sizes.

    Raises:
        UserError: a file cannot be read; what came before it has been yielded.
    """
    from torch.utils.data import DataLoader  # seconds to import

    for batch in DataLoader(_Reader(dataset), batch_sampler=batches, num_workers=num_workers, collate_fn=list):
        for item in batch:
            if isinstance(item, UserError):
                raise item
        yield batch
