"""What words mean to an ImageNet classifier: a text becomes a set of the 1,000 classes, which stand in for the thing.

`imagenet_things.csv` has a row for each class, in the standard order of torchvision and timm: index, synset, its names
(the canonical one first), the thing an ordinary person would call it ("dog" for 118 breeds), and broader words.
`imagenet_words.csv` has the words that are none of these, or are meant differently: word, classes, kind.

Conventions:
    thing: a lower-case basic noun, as a caption says it. A broader word is meant for every class that carries it.
    classes: names, things and broader words of the first table, words of rows above, or indices ("151-268"), between
        semicolons. A row of the second table goes before any other meaning of its word: "plane" is an airplane, no
        carpenter's plane.
    exact: the classes are what the word means, or members of it ("puppy": the breeds of dogs).
    near: there is no such class; a photograph of the thing would most likely be given these ("giraffe": antelopes;
        "person": clothes that are worn in view).
    none: a name that only its own trade knows ("grand", "drop"), not taken for the thing in a sentence.

Reference:
    Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015. Synsets and names are
    WordNet's (Princeton University), as in timm's ImageNetInfo. Things, broader words and words are this project's own.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import ChainMap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

__all__ = ["CLASSES", "kind", "lookup", "names", "nearest_words", "synonyms", "things", "vocabulary"]

CLASSES = 1000
THINGS = Path(__file__).with_name("imagenet_things.csv")
WORDS = Path(__file__).with_name("imagenet_words.csv")
BREAK = ","  # what any punctuation between words becomes: no phrase goes across it
IRREGULAR = {"geese": "goose", "mice": "mouse", "children": "child", "feet": "foot", "teeth": "tooth", "oxen": "ox"}


def names() -> tuple[str, ...]:
    """Returns the 1,000 canonical names in the standard order; "crane" and "maillot" are two classes each."""
    return tuple(row["names"].split(";")[0] for row in _table(THINGS))


def synonyms(index: int) -> tuple[str, ...]:
    """Returns every name of a class, 0 to 999, the canonical one first."""
    return tuple(_table(THINGS)[index]["names"].split(";"))


def things() -> tuple[str, ...]:
    """Returns what an ordinary person would call each of the 1,000 classes, in the standard order."""
    return tuple(row["thing"] for row in _table(THINGS))


def vocabulary() -> tuple[str, ...]:
    """Returns every word of both tables once, row by row: a class's thing, broader words and names."""
    words = [word for row in _table(THINGS) for key in ("thing", "broader", "names") for word in row[key].split(";")]
    words += [row["word"] for row in _table(WORDS)]
    unknown = {"", *(row["word"] for row in _table(WORDS) if row["kind"] == "none")}
    return tuple(word for word in dict.fromkeys(words) if word.lower() not in unknown)


def lookup(text: str) -> np.ndarray | None:
    """Finds the classes that stand for what a text names.

    The longest known phrases count, in the singular or plural; of several in a row only the last ("toy car" is a car,
    "orange cat" a cat), and all of those that other words or punctuation separate ("a dog and a cat").

    Args:
        text: a word, a phrase or a sentence in English.

    Returns:
        weights: (1000,) float32, 1 for the classes of the things named and 0 elsewhere; None where nothing is known.
    """
    found = _find(text)
    if not found:
        return None
    weights = np.zeros(CLASSES, np.float32)
    weights[[index for indices, _ in found for index in indices]] = 1
    return weights


def kind(text: str) -> str | None:
    """Tells how `lookup` knows a text: "exact", "near" if one of the things named has no class, None if it does not."""
    kinds = {kind for _, kind in _find(text)}
    return None if not kinds else "near" if "near" in kinds else "exact"


def nearest_words(weights: np.ndarray, k: int) -> list[str]:
    """Names the things that weights over the classes speak of.

    Args:
        weights: (1000,) of any scale; a thing counts as much as its highest class.
        k: how many things are wanted.

    Returns:
        At most k different things whose weight is above 0, the highest first.
    """
    order = np.argsort(-np.asarray(weights), kind="stable")
    return list(dict.fromkeys(things()[index] for index in order if weights[index] > 0))[:k]


def _find(text: str) -> list[tuple[frozenset[int], str]]:
    """The meanings of the things named in a text, in its order."""
    known, longest = _known()
    tokens = _tokens(text)
    found: list[tuple[frozenset[int], str]] = []
    start, end_of_last = 0, -1
    while start < len(tokens):
        for length in range(min(longest, len(tokens) - start), 0, -1):
            meaning = next((known[form] for form in _forms(tokens[start : start + length]) if form in known), None)
            if meaning:
                if start == end_of_last:  # the word before only says which one this is
                    found.pop()
                found.append(meaning)
                end_of_last = start + length
                break
        start = max(end_of_last, start + 1)
    return found


def _forms(tokens: list[str]) -> Iterator[str]:
    """What a phrase could stand as in the tables: as it is, in the singular, with two words as one."""
    *front, last = tokens
    ends = [last, IRREGULAR.get(last, last)]
    for plural, singular in (("men", "man"), ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("s", ""), ("es", "")):
        if last.endswith(plural) and not last.endswith("ss") and len(last) > len(plural) + 1:
            ends.append(last.removesuffix(plural) + singular)
    for end in ends:
        yield " ".join([*front, end])
    if len(tokens) == 2:
        yield from ("".join([*front, end]) for end in ends)


def _tokens(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode().replace("'", "")
    return [word if word.isalnum() else BREAK for word in re.findall(r"[a-z0-9]+|[^a-z0-9\s_-]", plain)]


@lru_cache(maxsize=1)
def _known() -> tuple[dict[str, tuple[frozenset[int], str]], int]:
    """Phrase -> its classes and kind, and how many words the longest phrase has."""
    wide: dict[str, set[int]] = {}
    narrow: dict[str, set[int]] = {}
    for index, row in enumerate(_table(THINGS)):
        for word in filter(None, (row["thing"], *row["broader"].split(";"))):
            wide.setdefault(" ".join(_tokens(word)), set()).add(index)
        for word in row["names"].split(";"):
            narrow.setdefault(" ".join(_tokens(word)), set()).add(index)
    base = narrow | wide  # a thing or broader word is meant before a name that is spelt the same
    known = {word: (frozenset(indices), "exact") for word, indices in base.items()}
    meant = ChainMap(base, {})  # a word of this table is looked up where the first table has none of that name
    for row in _table(WORDS):
        items = [item for item in row["classes"].split(";") if item]
        indices = {index for item in items for index in _classes(item, meant)}
        meant.maps[1][" ".join(_tokens(row["word"]))] = indices
        known[" ".join(_tokens(row["word"]))] = (frozenset(indices), row["kind"])
    known = {word: meaning for word, meaning in known.items() if meaning[1] != "none"}
    known = {word.replace(" ", ""): known[word] for word in known if word.count(" ") == 1} | known  # "firetruck"
    return known, max(word.count(" ") + 1 for word in known)


def _classes(item: str, meant: Mapping[str, set[int]]) -> set[int]:
    first, _, last = item.partition("-")
    if first.isdigit():
        return set(range(int(first), int(last or first) + 1))
    return meant[" ".join(_tokens(item))]


@lru_cache(maxsize=2)
def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
