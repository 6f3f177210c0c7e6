"""What the 21,844 nouns of WordNet that timm's files list mean to a classifier of 1,000 classes, told from text alone.

A synset means what the tables of `utils/language/imagenet.py` say of its names, or of what its definition says it is ("a small
parakeet": parrots), mixed with the classes whose own names and definitions are most alike (TF-IDF). Animals are also
like those nearby in WordNet, which numbers relatives in a row. The definitions' words go through the tables, so words
kept out of a training still speak there for others, never for themselves.

Reference:
    WordNet, Princeton University; names and definitions as in timm's ImageNetInfo.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from utils.language import imagenet

__all__ = ["Synset", "meanings", "synsets"]

ANIMALS = 398  # the classes below are animals
LAST_ANIMAL = 2666000  # so are the synsets below
FIRST_PERSON, LAST_PERSON = 9600000, 10900000
NEARBY = 20000  # how far apart in WordNet two animals are no relatives any more
HEAD_ENDS = re.compile(r"[;:(]|\b(?:that|which|with|used|having|from|whose|who|by|in|for|to|made|when|where|on)\b")


@dataclass(frozen=True)
class Synset:
    """A noun of WordNet: its number there, its names, its definition."""

    number: int
    names: tuple[str, ...]
    definition: str


def _folder() -> Path:
    import timm.data

    return Path(timm.data.__file__).with_name("_info")


@cache
def synsets() -> list[Synset]:
    """All of timm's synsets, in WordNet's order."""
    tables = [_folder() / f"imagenet_synset_to_{what}.txt" for what in ("lemma", "definition")]
    lemmas, definitions = (
        dict(line.split("\t", 1) for line in path.read_text("utf-8").splitlines()) for path in tables
    )
    return [Synset(int(key[1:]), tuple(lemmas[key].split(", ")), definitions[key]) for key in sorted(lemmas)]


@cache
def meanings() -> list[np.ndarray | None]:
    """For each synset (1000,) weights above or equal 0, or None where the texts do not tell."""
    said = [_said_to_be(synset) for synset in synsets()]
    for _ in range(3):  # a definition by a noun whose own definition is known by now
        known = [i for i, weights in enumerate(said) if weights is not None]
        by_name = {name.lower(): i for i in reversed(known) for name in synsets()[i].names}
        for i, synset in enumerate(synsets()):
            if said[i] is None:
                words = re.findall(r"[a-z-]+", _head(synset.definition))
                ends = [" ".join(words[-n:]) for n in (3, 2, 1) if n <= len(words)]
                forms = [form for end in ends for form in (end, end.removesuffix("s")) if form in by_name]
                if forms and (_possible(synset) == _possible(synsets()[by_name[forms[0]]])).all():
                    said[i] = said[by_name[forms[0]]]
    return [_mixed(*parts) for parts in zip(synsets(), said, _likeness(), strict=True)]


def _mixed(synset: Synset, said: np.ndarray | None, alike: np.ndarray) -> np.ndarray | None:
    alike = np.where(alike >= np.sort(alike)[-5], alike, 0) ** 2
    if said is None and synset.number < LAST_ANIMAL:
        return alike  # there is always a relative nearby
    if said is None or FIRST_PERSON <= synset.number < LAST_PERSON or not alike.any():
        return said
    return 0.65 * said / said.sum() + 0.35 * alike / alike.sum()


def _head(definition: str) -> str:
    """What a definition says the thing is: "a small parakeet" of "a small parakeet that lives in Australia"."""
    return next((part for part in HEAD_ENDS.split(definition.lower()) if part.strip()), "")


def _said_to_be(synset: Synset) -> np.ndarray | None:
    """The tables' classes for a synset's names, or for what its definition says it is."""
    for text in (*synset.names, _head(synset.definition)):
        weights = imagenet.lookup(text)
        if weights is not None:
            weights = weights * _possible(synset)
            if weights.any():
                return weights
    return imagenet.lookup("person") if FIRST_PERSON <= synset.number < LAST_PERSON else None


def _possible(synset: Synset) -> np.ndarray:
    """(1000,) bool: an animal is no thing, a thing no animal."""
    return (np.arange(imagenet.CLASSES) < ANIMALS) == (synset.number < LAST_ANIMAL)


@cache
def _likeness() -> np.ndarray:
    """(synsets, 1000) float32: cosine of the TF-IDF of names and definitions; animals also by how near they are."""
    nouns = synsets()
    texts = [
        [word for word in re.findall(r"[a-z]+", " ".join((*s.names, s.definition)).lower()) if len(word) > 2]
        for s in nouns
    ]
    counts = Counter(word for text in texts for word in set(text))
    column = {word: i for i, word in enumerate(counts)}
    idf = np.array([np.log(len(texts) / count) for count in counts.values()], np.float32)
    rows = [np.array(sorted({column[word] for word in text}), np.int64) for text in texts]
    norms = [np.sqrt((idf[row] ** 2).sum()) + 1e-6 for row in rows]
    numbers = np.array([int(key[1:]) for key in (_folder() / "imagenet_synsets.txt").read_text("utf-8").split()])
    place = {synset.number: i for i, synset in enumerate(nouns)}
    classes = np.zeros((len(column), imagenet.CLASSES), np.float32)
    for i, number in enumerate(numbers):
        row = rows[place[number]]
        classes[row, i] = idf[row] / norms[place[number]]
    likeness = np.zeros((len(texts), imagenet.CLASSES), np.float32)
    for i, synset in enumerate(nouns):
        alike = (idf[rows[i], None] * classes[rows[i]]).sum(0) / norms[i]
        if synset.number < LAST_ANIMAL:
            alike += 0.3 * np.exp(-np.abs(numbers - synset.number) / NEARBY)
        likeness[i] = alike * _possible(synset)
    return likeness
