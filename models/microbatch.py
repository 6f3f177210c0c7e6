"""Large encoders on a processor: one image or sound at a time, whatever the batch.

The activations of one image stay in a processor's caches, those of sixteen do not: with 2 cores, BLIP-base's image
encoder takes 1.03 s an image alone and 1.27 s among sixteen, CLIPSeg's 0.93 and 1.06 s, Whisper-small's audio encoder
2.6 s alone and 3.1 s among eight (random weights, `tests/benchmarks/RESULTS.md`). Small networks, and all on a GPU,
gain from a batch; so does writing a caption, word by word, which is left as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

LARGE = 20_000_000  # parameters


def split_large(network: torch.nn.Module, names: Sequence[str], device: str) -> None:
    """Makes the large ones among a network's encoders go through a batch one by one, where that is faster.

    Args:
        network: whose modules' `forward` is replaced.
        names: of its encoders: modules that treat the items of a batch alike and each by itself.
        device: where the network runs.
    """
    for name in names if device == "cpu" else ():
        module = network.get_submodule(name)
        if sum(parameter.numel() for parameter in module.parameters()) >= LARGE:
            module.forward = one_by_one(module.forward)


def one_by_one(forward: Any) -> Any:
    """A module's forward pass, item by item.

    Args:
        forward: takes tensors whose first dimension is the batch, among other arguments; returns a tensor, a tuple or
            one of the library's outputs.

    Returns:
        The same function of the whole batch.
    """

    @functools.wraps(forward)  # with its signature, which the library's `generate` looks at
    def asked(*args: Any, **kwargs: Any) -> Any:
        size = next(value.shape[0] for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))

        def item(value: Any, index: int) -> Any:
            batched = isinstance(value, torch.Tensor) and value.shape[:1] == (size,)
            return value[index : index + 1] if batched else value

        answers = [
            forward(*(item(value, index) for value in args), **{name: item(kwargs[name], index) for name in kwargs})
            for index in range(size)
        ]
        return _joined(answers) if size else forward(*args, **kwargs)

    return asked


def _joined(answers: Sequence[Any]) -> Any:
    first = answers[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(list(answers))
    if isinstance(first, dict):  # the library's outputs are
        return type(first)(**{name: _joined([answer[name] for answer in answers]) for name in first})
    if isinstance(first, (tuple, list)):
        return type(first)(_joined(parts) for parts in zip(*answers, strict=True))
    return first
