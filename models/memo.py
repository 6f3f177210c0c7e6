"""Shared work is done once: a loaded model that remembers what it said about the same sound, image or sentence.

Five frames with one clip encode it once, and several methods in one run share captions and embeddings, unseen by the
methods. Score maps are large and rarely asked for twice: `segment` is not remembered.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

REMEMBERED = ("encode_audio", "encode_text", "tag", "caption")

Model = TypeVar("Model")


def remember(model: Model, max_items: int = 2048) -> Model:
    """Gives a model a memory, keyed by the content of what it is asked.

    Args:
        model: plays a role of `models/roles.py`. Its methods named in REMEMBERED are replaced on this one object, so it
            stays an instance of its class with all its attributes.
        max_items: entries kept for each method; the one not used for longest goes first.

    Returns:
        The same object. Each item of a list is looked up by itself; only what is new, once, reaches the model.
    """
    for name in REMEMBERED:
        if hasattr(model, name):
            setattr(model, name, _remembering(getattr(model, name), max_items))
    return model


def _remembering(ask: Callable[..., Any], max_items: int) -> Callable[..., Any]:
    memory: OrderedDict[Hashable, Any] = OrderedDict()
    signature = inspect.signature(ask)

    @functools.wraps(ask)
    def asked(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        # Lists have one entry an item; what is no list (top_k) holds for all items.
        lists = {name: value for name, value in bound.arguments.items() if isinstance(value, (list, tuple, np.ndarray))}
        if len({len(column) for column in lists.values()} - {0}) != 1:
            return ask(*args, **kwargs)  # nothing to look up, or wrong in a way the model will name
        shared = tuple((name, value) for name, value in bound.arguments.items() if name not in lists)
        keys = [(tuple(map(_content, row)), shared) for row in zip(*lists.values(), strict=True)]
        answers = {key: memory[key] for key in keys if key in memory}
        rows = [row for row, key in enumerate(keys) if key not in answers and keys.index(key) == row]
        if rows:
            new = {name: [column[row] for row in rows] for name, column in lists.items()}
            answers |= zip((keys[row] for row in rows), ask(**{**bound.arguments, **new}), strict=True)
        for key in keys:
            memory[key] = answers[key]
            memory.move_to_end(key)
        while len(memory) > max_items:
            memory.popitem(last=False)
        if isinstance(answers[keys[0]], np.ndarray):
            return np.stack([answers[key] for key in keys])
        return [copy.copy(answers[key]) for key in keys]

    return asked


def _content(value: Any) -> Hashable:
    """What makes two inputs the same: the bytes, shape and type of an array, the value of anything else."""
    if not isinstance(value, np.ndarray):
        return value
    digest = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=16).digest()
    return value.dtype.str, value.shape, digest
