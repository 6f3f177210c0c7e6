"""What every captioner holds, whatever its family: used by the tests beside it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file


def assert_repeatable(captioner: Any, *inputs: Sequence) -> list[str]:
    """The same alone, in a batch, in another order and twice; one caption each, and not always the same one.

    Args:
        inputs: the lists that `caption` takes, several things that differ in them.

    Returns:
        The captions.
    """
    captions = captioner.caption(*inputs)
    assert len(captions) == len(inputs[0]) and len(set(captions)) > 1
    assert all(isinstance(caption, str) and caption == caption.strip() for caption in captions)
    assert captioner.caption(*inputs) == captions
    assert captioner.caption(*(items[::-1] for items in inputs)) == captions[::-1]
    assert [captioner.caption(*([item] for item in items))[0] for items in zip(*inputs, strict=True)] == captions
    assert captioner.caption(*([] for _ in inputs)) == []
    return captions


def without_a_tensor(folder: Path, copy: Path, ending: str) -> Path:
    """A copy of a checkpoint that lacks the one tensor whose name ends so."""
    shutil.copytree(folder, copy)
    tensors = load_file(copy / "model.safetensors")
    (name,) = (name for name in tensors if name.endswith(ending))
    del tensors[name]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy
