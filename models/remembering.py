"""Shared work is done once: an object that remembers what it said about the same sound, image or sentence.

Five frames with one clip encode it once, and several methods in one run share captions, embeddings and what a segmenter
makes of an image, unseen by the methods. Score maps are large and rarely asked for twice: `segment` is not remembered.

An answer depends, in its last bits, on what else was in the batch that asked for it. An evaluation therefore forgets
between its batches (`forget`): what it says of a batch follows from that batch, whichever came before it, in whichever
process. What is to be known in another batch, or in another run, goes through a store (`models/stage_cache.py`).
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

ENCODED = "encode_images"  # what a segmenter makes of pixels: large, on its device, and no value to keep in a file
REMEMBERED = ("encode_audio", "encode_text", "tag", "caption", ENCODED)
MAX_ITEMS = 2048
MAX_BYTES = 2 << 30

Key = tuple[Hashable, ...]
Asked = TypeVar("Asked")


class Store(Protocol):
    """Keeps answers for longer than a memory."""

    def read(self, stage: str, keys: Iterable[Key]) -> dict[Key, Any]:
        """Returns what is known of these questions."""

    def write(self, stage: str, answers: Mapping[Key, Any]) -> None:
        """Keeps answers, all or none."""


def remember(asked: Asked, max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES, store: Store | None = None) -> Asked:
    """Gives an object a memory, keyed by the content of what it is asked.

    Args:
        asked: a model that plays a role of `models/roles.py`, and with it the parts it is made of; or a connection
            strategy. Its methods named in REMEMBERED, or by itself in `remembered`, are replaced on this one object, so
            it stays an instance of its class with all its attributes.
        max_items, max_bytes: kept for each method; the one not used for longest goes first.
        store: asked for what the memory does not hold, and given what is new; never what a segmenter makes of images.

    Returns:
        The same object. Each item of a list is looked up by itself; only what is new, once, reaches the object.
    """
    for part in getattr(asked, "networks", {}).values():
        remember(part, max_items, max_bytes)
    for name in _stages(asked):
        if hasattr(getattr(asked, name), "memory"):
            continue  # it plays another role too
        memory = _Memory(max_items, max_bytes)
        kept = None if name == ENCODED else store
        setattr(asked, name, _remembering(getattr(asked, name), memory, kept))
    return asked


def forget(*asked: Any) -> None:
    """Empties the memories of objects, where they have any, and of their parts; stores keep what they have."""
    for one in asked:
        forget(*getattr(one, "networks", {}).values())
        for name in _stages(one):
            memory = getattr(getattr(one, name, None), "memory", None)
            if memory is not None:
                memory.clear()


def _stages(asked: Any) -> list[str]:
    return [*(name for name in REMEMBERED if hasattr(asked, name)), *getattr(asked, "remembered", ())]


class _Memory:
    """Answers by question, the one used last at the end."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items, self.max_bytes = max_items, max_bytes
        self._answers: OrderedDict[Key, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._answers

    def __getitem__(self, key: Key) -> Any:
        return self._answers[key][0]

    def keep(self, key: Key, answer: Any) -> None:
        """Keeps an answer, or makes it the last one used."""
        if key not in self._answers:
            self._answers[key] = answer, size_of(answer)
            self._bytes += self._answers[key][1]
        self._answers.move_to_end(key)
        while len(self._answers) > self.max_items or self._bytes > self.max_bytes:
            _, (_, size) = self._answers.popitem(last=False)
            self._bytes -= size

    def clear(self) -> None:
        self._answers.clear()
        self._bytes = 0


def _remembering(ask: Callable[..., Any], memory: _Memory, store: Store | None) -> Callable[..., Any]:
    signature, stage = inspect.signature(ask), ask.__name__

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
        unknown = dict.fromkeys(key for key in keys if key not in answers)
        if store is not None and unknown:
            answers |= store.read(stage, unknown)
        rows = [row for row, key in enumerate(keys) if key not in answers and keys.index(key) == row]
        if rows:
            new = {name: [column[row] for row in rows] for name, column in lists.items()}
            found = dict(zip((keys[row] for row in rows), ask(**{**bound.arguments, **new}), strict=True))
            if store is not None:
                store.write(stage, found)
            answers |= found
        for key in keys:
            memory.keep(key, answers[key])
        if isinstance(answers[keys[0]], np.ndarray):
            return np.stack([answers[key] for key in keys])
        return [copy.copy(answers[key]) for key in keys]

    asked.memory = memory
    return asked


def size_of(value: Any) -> int:
    """Bytes of the arrays and tensors in a value, wherever they lie in it."""
    if hasattr(value, "nbytes"):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(size_of, value))
    if is_dataclass(value):
        return sum(size_of(getattr(value, field.name)) for field in fields(value))
    return 0


def _content(value: Any) -> Hashable:
    """What makes two inputs the same: the bytes, shape and type of an array, the value of anything else."""
    if not isinstance(value, np.ndarray):
        return value
    digest = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=16).digest()
    return value.dtype.str, value.shape, digest
