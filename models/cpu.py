"""Networks on a CPU: large encoders take one item at a time, and convolutions below float32 are checked once.

The activations of one image stay in a CPU's caches, those of sixteen do not: with 2 cores, BLIP-base's image encoder
takes 1.03 s an image alone and 1.27 s among sixteen, CLIPSeg's 0.93 and 1.06 s, Whisper-small's audio encoder 2.6 s
alone and 3.1 s among eight (random weights, `tests/benchmarks/RESULTS.md`). Small networks, and all on a GPU, gain from
a batch; so does writing a caption, word by word, which is left as it is.

With AMX (Intel Sapphire Rapids and later) torch 2.14's oneDNN convolves in bfloat16 wrongly: the cosine with the right
result is 0 to 0.2. A comparison with float32 finds out; no version and no CPU is named in the code.

Reference: github.com/pytorch/pytorch, issues 163347 and 169688, pull request 188426.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LARGE = 20_000_000  # parameters
HALF = (torch.bfloat16, torch.float16)
TOLERANCE = 0.1  # of the result's norm; rounding takes 0.002 of it in bfloat16, a wrong result all of it
CASES: Sequence[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = (  # input, weight, settings
    ("conv1d", (1, 1, 64), (8, 1, 7), {"padding": 3}),  # PE-AV's first layer
    ("conv1d", (1, 8, 8), (8, 8, 3), {"padding": 1}),  # Whisper's
    ("conv1d", (1, 8, 64), (8, 8, 8), {}),
    ("conv1d", (1, 8, 64), (16, 8, 8), {"stride": 4}),  # PE-AV's next
    ("conv2d", (1, 1, 2, 2), (1, 1, 2, 2), {}),  # issue 163347
    ("conv2d", (1, 3, 32, 32), (8, 3, 16, 16), {"stride": 16}),  # patch embeddings
    ("conv2d", (1, 3, 16, 16), (8, 3, 16, 16), {"stride": 16}),  # of one patch
    ("conv2d", (1, 8, 16, 16), (8, 1, 3, 3), {"padding": 1, "groups": 8}),  # depthwise
    ("conv3d", (2, 3, 2, 14, 14), (8, 3, 2, 14, 14), {"stride": (2, 14, 14)}),  # Qwen's patches
    ("conv_transpose2d", (1, 8, 4, 4), (8, 1, 4, 4), {"stride": 4}),  # CLIPSeg's last layer
)
CONVOLUTIONS = tuple(getattr(functional, f"conv{kind}{n}d") for kind in ("", "_transpose") for n in (1, 2, 3))


def split_large(network: torch.nn.Module, names: Sequence[str], device: str) -> None:
    """Makes the large ones among a network's encoders go through a batch one by one on a processor.

    Args:
        network: whose modules' `forward` is replaced.
        names: of its encoders, which treat the items of a batch alike and each by itself.
        device: where the network runs.
    """
    for name in names if device == "cpu" else ():
        module = network.get_submodule(name)
        if sum(parameter.numel() for parameter in module.parameters()) >= LARGE:
            module.forward = one_by_one(module.forward)


def one_by_one(forward: Any) -> Any:
    """A module's forward pass, item by item.

    It takes tensors whose first dimension is the batch, and more; returns a tensor, a tuple or the library's output.
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


@functools.lru_cache
def convolves_rightly(dtype: torch.dtype) -> bool:
    """Whether this processor convolves in a dtype as in float32 but for rounding; compared once a process."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        for name, *shapes, settings in CASES:
            image, weight = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
            convolve = getattr(functional, name)
            exact = convolve(image.float(), weight.float(), **settings)
            error = (convolve(image, weight, **settings).float() - exact).norm() / exact.norm()
            if not error < TOLERANCE:  # nor where it is not a number
                return False
    return True


def needs_float32_convolutions(dtype: torch.dtype, device: str) -> bool:
    """Whether what is kept in a dtype on a device has to convolve in float32; the first time so, stderr says it."""
    if dtype not in HALF or torch.device(device).type != "cpu" or convolves_rightly(dtype):
        return False
    _say(str(dtype).removeprefix("torch."))
    return True


def right_convolutions(dtype: torch.dtype) -> AbstractContextManager:
    """The context to enter beside a processor's autocast to a dtype: `Float32Convolutions` where they are needed."""
    return Float32Convolutions() if needs_float32_convolutions(dtype, "cpu") else nullcontext()


class Float32Convolutions(TorchFunctionMode):
    """A context in which convolutions of half precision, the processor's autocast included, are computed in float32.

    Results are in the dtype they would have been in. It watches `torch.nn.functional`: networks stay as they are.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        function = functools.partial(_in_float32, func) if func in CONVOLUTIONS else func
        return function(*args, **(kwargs or {}))


def _in_float32(
    convolve: Callable, input: torch.Tensor, weight: torch.Tensor, bias: Any = None, *args: Any, **kwargs: Any
) -> torch.Tensor:
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
    if dtype not in HALF:
        return convolve(input, weight, bias, *args, **kwargs)
    with torch.autocast("cpu", enabled=False):
        bias = None if bias is None else bias.float()
        return convolve(input.float(), weight.float(), bias, *args, **kwargs).to(dtype)


@functools.lru_cache
def _say(dtype: str) -> None:
    print(
        f"expected this processor to convolve in {dtype} as in float32, found wrong results, a fault of torch's oneDNN "
        f"known of processors with AMX: convolutions are computed in float32, all else in {dtype}",
        file=sys.stderr,
        flush=True,
    )
