"""Convolutions below float32 on a processor: compared with float32 once, and computed in float32 where they are wrong.

On processors with AMX (Intel Sapphire Rapids and later) torch 2.14's oneDNN convolves in bfloat16 wrongly: the cosine
with the right result is 0 to 0.2. The comparison finds out; no version and no processor is named in the code.

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


@functools.lru_cache
def convolves_rightly(dtype: torch.dtype) -> bool:
    """Whether this processor's convolutions in a dtype are those in float32 but for rounding; compared once a process.

    Args:
        dtype: torch.bfloat16 or torch.float16.
    """
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
    """Whether what computes in a dtype on a device has to convolve in float32; the first time so, stderr says it.

    Args:
        dtype: what the weights are kept in; float32 is not looked into.
        device: only a processor ("cpu") is.
    """
    if dtype not in HALF or torch.device(device).type != "cpu" or convolves_rightly(dtype):
        return False
    _say(str(dtype).removeprefix("torch."))
    return True


def right_convolutions(dtype: torch.dtype) -> AbstractContextManager:
    """The context to enter beside a processor's autocast to a dtype: `Float32Convolutions` where they are needed."""
    return Float32Convolutions() if needs_float32_convolutions(dtype, "cpu") else nullcontext()


class Float32Convolutions(TorchFunctionMode):
    """A context in which convolutions of half precision, the processor's autocast included, are computed in float32.

    Their results are in the dtype they would have been in. Weights are converted for the moment and stay as they are;
    `torch.nn.functional` is watched, and with it every layer that convolves, so that no network has to be changed.
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
