"""What a network says is checked once, at the boundary of its role, and remembered: shared work is done once.

Five frames with one clip encode it once, and methods share captions, embeddings and what a segmenter makes of an image,
unseen by them. Score maps are large and rarely asked for twice: `segment` is not remembered.

An answer depends, in its last bits, on what else was in the batch that asked for it. An evaluation therefore forgets
between its batches: what it says of a batch follows from that batch alone. What is to be known in another run goes
through a cache on disk (`models/stage_cache.py`).

A stage answers item by item. `presence`, of every image with every text, is none: what it shares is the encoded image.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import is_dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.errors import NotFinite

if TYPE_CHECKING:
    from models.stage_cache import StageCache

STAGES = ("encode_audio", "encode_text", "tag", "caption", "encode_images")  # of `models.roles`
NUMBERS = ("encode_audio", "encode_text", "tag", "segment", "presence", "propose_regions", "match_regions")  # in these
ENCODED = "encode_images"  # what a segmenter makes of pixels: large, on its device, and no value to keep in a file


class Memory:
    """What the networks and methods of a run have said.

    Args:
        cache: asked for what is not remembered, and given what is new; never what a segmenter makes of images.
        max_items, max_bytes: kept of each stage of a network; the one not used for longest goes first.
    """

    def __init__(self, cache: StageCache | None = None, max_items: int = 2048, max_bytes: int = 2 << 30) -> None:
        self.cache, self.max_items, self.max_bytes = cache, max_items, max_bytes
        self._answers: dict[tuple[str, str], _Answers] = {}

    def wrap(self, model: Any, entry: Mapping[str, Any], device: str = "cpu") -> Remembering:
        """A loaded network that remembers here; the parts of a `Composite` have been wrapped before it.

        Args:
            model, entry: of a family, and of the config: weights, settings.
            device: where it runs; its kind counts.
        """
        networks = (model, *getattr(model, "networks", {}).values())
        versions = [getattr(network, "version", 1) for network in networks]  # of the families' code
        identity = [type(model).__qualname__, versions, entry, getattr(model, "provenance", None), device.split(":")[0]]
        return Remembering(model, self, json.dumps(identity, sort_keys=True, default=str), device)

    def recall(self, identity: str, stage: str, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Answers as `ask` would; it is asked for what is not known, each distinct item once.

        Args:
            identity, stage: all that decides the answers beside the question, and what is asked for.
            ask: answers item by item, from the item and what holds for all items alone.
            args, kwargs: of `ask`. Lists and arrays have one entry an item; what is neither holds for all items.
        """
        bound = inspect.signature(ask).bind(*args, **kwargs)
        bound.apply_defaults()
        columns = {
            name: value for name, value in bound.arguments.items() if isinstance(value, (list, tuple, np.ndarray))
        }
        if len({len(column) for column in columns.values()} - {0}) != 1:
            return ask(*args, **kwargs)  # nothing to look up, or wrong in a way the network will name
        for_all = tuple((name, value) for name, value in bound.arguments.items() if name not in columns)
        keys = [(tuple(map(_content, row)), for_all) for row in zip(*columns.values(), strict=True)]
        kept, cache = self._answers.setdefault((identity, stage), _Answers()), self.cache if stage != ENCODED else None
        answers = {key: kept[key] for key in keys if key in kept}
        if cache and len(answers) < len(keys):
            answers |= cache.read(identity, stage, [key for key in keys if key not in answers])
        rows = [row for row, key in enumerate(keys) if key not in answers and keys.index(key) == row]
        if rows:
            new = {name: [column[row] for row in rows] for name, column in columns.items()}
            found = dict(zip((keys[row] for row in rows), ask(**{**bound.arguments, **new}), strict=True))
            if cache:
                cache.write(identity, stage, found)
            answers |= found
        for key in keys:
            kept.keep(key, answers[key], self.max_items, self.max_bytes)
        if len({getattr(answers[key], "shape", None) for key in keys} - {None}) == 1:
            return np.stack([answers[key] for key in keys])  # a row an item
        return [copy.copy(answers[key]) for key in keys]

    def forget(self) -> None:
        """Empties the memory; the cache on disk keeps what it has."""
        self._answers.clear()


class Remembering:
    """A network at its role's boundary, checked and with a memory; `identity` is what decides its answers, in words."""

    def __init__(self, model: Any, memory: Memory, identity: str, device: str = "cpu") -> None:
        self.model, self.memory, self.identity, self.device = model, memory, identity, device
        if isinstance(model, Rememberable):
            model.remembering = self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of Python's own, which copies and pickles ask for
            raise AttributeError(name)
        own = getattr(self.model, name)
        if name == "pseudo_word_encoder":
            return partial(self._pseudo_word_encoder, own)
        if name in NUMBERS:  # before they are remembered, which reads the signature
            own = wraps(own)(lambda *asked, own=own, **how: self.checked(name, own(*asked, **how)))
        remembers = getattr(self.model, "remembers", STAGES)
        return partial(self.memory.recall, self.identity, name, own) if name in remembers else own

    def checked(self, stage: str, answer: Any) -> Any:
        """The answer, as it is; NotFinite where a number in it is not finite."""
        numbers = [[number for _, number in tags] for tags in answer] if stage == "tag" else answer
        for one in numbers if isinstance(numbers, list) else [numbers]:
            if not (one.isfinite() if hasattr(one, "isfinite") else np.isfinite(one)).all():
                raise NotFinite(f"{stage} of {said_of(getattr(self.model, 'provenance', None), self.device)}")
        return answer

    def _pseudo_word_encoder(self, own: Callable[[str], Any], template: str) -> tuple[Callable[[Any], Any], Any]:
        encode, table = own(template)
        return lambda words: self.checked("the pseudo-word", encode(words)), table


def said_of(provenance: Mapping[str, Any] | None, device: str) -> str:
    """A network as sentences name it: family, weights, what it computes in, and where."""
    known = provenance or {"family": "a network"}
    words = [known.get("family"), known.get("id"), *(said_of(part, "") for part in known.get("parts", {}).values())]
    about = " on ".join(filter(None, (known.get("autocast") or known.get("dtype"), device)))
    return f"{' '.join(filter(None, words))} ({about})"


class Rememberable:
    """A network that asks for its own stages through `remembered`, so that it shares them with whoever else asks."""

    version: int = 1  # of the family: raised where its answers change, so that a cache on disk holds none of them
    remembers: Collection[str] = STAGES  # fewer where a part remembers what is costly
    remembering: Remembering | None = None

    @property
    def remembered(self) -> Any:
        """What remembers for it, or the network itself."""
        return self.remembering or self


class _Answers(OrderedDict[Hashable, Any]):
    """Answers by question, the one used last at the end."""

    bytes = 0

    def keep(self, key: Hashable, answer: Any, max_items: int, max_bytes: int) -> None:
        self.bytes += 0 if key in self else size_of(answer)
        self[key] = answer
        self.move_to_end(key)
        while len(self) > max_items or self.bytes > max_bytes:
            self.bytes -= size_of(self.popitem(last=False)[1])


def size_of(value: Any) -> int:
    """Bytes of the arrays and tensors in a value, wherever they lie in it."""
    size, within = 0, [value]
    while within:
        one = within.pop()
        size += getattr(one, "nbytes", 0)
        one = vars(one) if is_dataclass(one) else one
        within += one.values() if isinstance(one, Mapping) else one if isinstance(one, (list, tuple)) else ()
    return size


def _content(value: Any) -> Hashable:
    """What makes two inputs the same: the bytes, shape and type of an array, the value of anything else."""
    if not isinstance(value, np.ndarray):
        return value
    return value.dtype.str, value.shape, hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=16).digest()
