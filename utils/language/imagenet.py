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
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

CLASSES = 1000
THINGS = Path(__file__).with_name("imagenet_things.csv")
WORDS = Path(__file__).with_name("imagenet_words.csv")
BREAK = ","  # what any punctuation between words becomes: no phrase goes across it
Meaning = tuple[frozenset[int], str]  # classes, kind
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


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """Returns every word of both tables once, row by row: a class's thing, broader words and names."""
    words = [word for row in _table(THINGS) for key in ("thing", "broader", "names") for word in row[key].split(";")]
    words += [row["word"] for row in _table(WORDS)]
    unknown = {"", *(row["word"] for row in _table(WORDS) if row["kind"] == "none")}
    return tuple(word for word in dict.fromkeys(words) if word.lower() not in unknown)


def lookup(text: str) -> np.ndarray | None:
    """Finds the classes that stand for what an English word, phrase or sentence names.

    The longest known phrases count, in the singular or plural; of several in a row only the last ("toy car" is a car,
    "orange cat" a cat), and all of those that other words or punctuation separate ("a dog and a cat").

    Returns:
        (1000,) float32, 1 for the classes of the things named and 0 elsewhere; None where nothing is known.
    """
    found = _find(forms(_phrase(text)), *_known())
    if not found:
        return None
    weights = np.zeros(CLASSES, np.float32)
    weights[[index for indices, _ in found for index in indices]] = 1
    return weights


def kind(text: str) -> str | None:
    """Tells how `lookup` knows a text: "exact", "near" if one of the things named has no class, None if it does not."""
    kinds = {kind for _, kind in _find(forms(_phrase(text)), *_known())}
    return None if not kinds else "near" if "near" in kinds else "exact"


def nearest_words(weights: np.ndarray, k: int) -> list[str]:
    """Names at most k things that weights over the classes, (1000,) of any scale, speak of.

    A thing counts as much as its highest class; the highest comes first, none has weight 0.
    """
    order = np.argsort(-np.asarray(weights), kind="stable")
    return list(dict.fromkeys(things()[index] for index in order if weights[index] > 0))[:k]


def _phrase(text: str) -> str:
    """The words of a text in lower case, and BREAK for what stands between them."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode().replace("'", "")
    return " ".join(word if word.isalnum() else BREAK for word in re.findall(r"[a-z0-9]+|[^a-z0-9\s_-]", plain))


def forms(phrase: str) -> list[list[str]]:
    """Each word of a phrase as it is, and then in the singulars that it could be the plural of."""
    words = [[word, IRREGULAR.get(word, word)] for word in phrase.split()]
    for forms in words:
        word = forms[0]
        for plural, singular in (("men", "man"), ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("s", ""), ("es", "")):
            if word.endswith(plural) and not word.endswith("ss") and len(word) > len(plural) + 1:
                forms.append(word.removesuffix(plural) + singular)
    return words


def _find(words: list[list[str]], known: Mapping[str, Meaning], longest: int) -> list[Meaning]:
    """The meanings of the things named in a text, in its order."""
    found: list[Meaning] = []
    start, end_of_last = 0, -1
    while start < len(words):
        for length in range(min(longest, len(words) - start), 0, -1):
            *front, last = words[start : start + length]
            phrases = [" ".join([*(word[0] for word in front), form]) for form in last]
            phrases += [phrase.replace(" ", "") for phrase in phrases] if length == 2 else []  # two words as one
            meaning = next((known[phrase] for phrase in phrases if phrase in known), None)
            if meaning:
                if start == end_of_last:  # the word before only says which one this is
                    found.pop()
                found.append(meaning)
                end_of_last = start + length
                break
        start = max(end_of_last, start + 1)
    return found


@lru_cache(maxsize=1)
def _known() -> tuple[dict[str, Meaning], int]:
    """Phrase -> its meaning, and how many words the longest phrase has."""
    wide: dict[str, set[int]] = {}
    narrow: dict[str, set[int]] = {}
    for index, row in enumerate(_table(THINGS)):
        for phrases, words in ((wide, f"{row['thing']};{row['broader']}"), (narrow, row["names"])):
            for word in filter(None, words.split(";")):
                phrases.setdefault(_phrase(word), set()).add(index)
    base = narrow | wide  # a thing or broader word is meant before a name that is spelt the same
    known = {phrase: (frozenset(indices), "exact") for phrase, indices in base.items()}
    for row in _table(WORDS):
        phrase, indices = _phrase(row["word"]), set()
        for item in filter(None, row["classes"].split(";")):
            first, _, last = item.partition("-")
            indices |= {*range(int(first), int(last or first) + 1)} if first.isdigit() else base[_phrase(item)]
        base.setdefault(phrase, indices)  # for the rows below
        known[phrase] = (frozenset(indices), row["kind"])
    known = {phrase: meaning for phrase, meaning in known.items() if meaning[1] != "none"}
    joined = {phrase.replace(" ", ""): meaning for phrase, meaning in known.items() if phrase.count(" ") == 1}
    return joined | known, max(phrase.count(" ") + 1 for phrase in known)


@lru_cache(maxsize=2)
def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
