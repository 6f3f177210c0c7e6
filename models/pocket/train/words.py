"""Trains the small network that guesses the classes of words no table has.

It learns the words of the tables (`utils/language/imagenet.py`), and the names and definitions of WordNet's nouns in
timm's files. Such a noun means what the tables say of its names, or of what its definition says it is ("a small
parakeet": parrots), mixed with the classes whose own texts are most alike (TF-IDF) and, for an animal, nearby in
WordNet, which numbers relatives in a row. Words that only definitions use, and random letters, mean nothing. A tenth
of the tables' words is kept out of a first training, which gives the numbers and the threshold; what is saved is a
second training on everything. Reference: WordNet, Princeton University.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm.data
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from models.pocket.class_names import ARCHITECTURE, WordNetwork, pieces
from models.pocket.train import write_checkpoint
from utils.language import imagenet

SIZES = {"buckets": 18432, "width": 64, "hidden": 128, "shortest": 3, "longest": 5}
STEPS, BATCH, RATE = 6000, 256, 3e-3
TEMPLATES = ("{}", "{}", "A photo of {}", "a photo of a {}", "the {}", "a sound of {}", "{}s", "two {}s", "some {}")
ADJECTIVES = ("small", "big", "red", "white", "black", "brown", "old", "young", "wild", "wooden", "electric", "little")
WORDNET = Path(timm.data.__file__).with_name("_info")
ANIMALS = 398  # the classes below are animals
LAST_ANIMAL = 2666000  # so are the synsets below
FIRST_PERSON, LAST_PERSON = 9600000, 10900000
NEARBY = 20000  # how far apart in WordNet two animals are no relatives any more
HEAD_ENDS = re.compile(r"[;:(]|\b(?:that|which|with|used|having|from|whose|who|by|in|for|to|made|when|where|on)\b")


@dataclass(frozen=True, eq=False)
class Lessons:
    """N words, phrases and definitions, and what they mean."""

    texts: list[str]
    targets: np.ndarray  # (N, 1001) float16, each row's sum 1, "nothing" last
    chances: np.ndarray  # (N,) float64, of being drawn, sum 1


@dataclass(frozen=True)
class Synset:
    """A noun of WordNet: its number there, its names, its definition."""

    number: int
    names: tuple[str, ...]
    definition: str

    @property
    def head(self) -> str:
        """What the definition says it is: "a small parakeet" of "a small parakeet that lives in Australia"."""
        return next((part for part in HEAD_ENDS.split(self.definition.lower()) if part.strip()), "")

    @property
    def possible(self) -> np.ndarray:
        """(1000,) bool: an animal is no thing, a thing no animal."""
        return (np.arange(imagenet.CLASSES) < ANIMALS) == (self.number < LAST_ANIMAL)


def train(out: Path, seed: int) -> dict[str, float]:
    """Trains the network and writes it into the folder `out`, as `models.pocket.class_names` reads it.

    Returns:
        "top1" and "top5": how many of the words kept out have the right thing first, among the first five; "tfidf_top1"
        and "tfidf_top5": the same by the nearest training text in TF-IDF of pieces; "known": how many of them the
        threshold lets pass; "unknown": how many of the meaningless words and letters, never trained on, it stops.
    """
    rng = np.random.default_rng(seed)
    words = imagenet.vocabulary()
    kept_out = {words[i] for i in rng.permutation(len(words))[: len(words) // 10]}
    empty, asked = _meaningless(rng), sorted(kept_out)
    cut = len(empty) // 10
    first = _fit(_lessons(kept_out, empty[cut:]), seed)
    probabilities, sure = (values.numpy() for values in first.read(asked))
    sure_of_nothing = first.read(empty[:cut])[1].numpy()
    # The confidence that parts words from nothing with the fewest mistakes, both counted as fractions.
    tried = np.linspace(0.02, 0.98, 97)
    threshold = float(max(tried, key=lambda t: (sure >= t).mean() + (sure_of_nothing < t).mean()))
    report = _scores("", [imagenet.nearest_words(row, 5) for row in probabilities], asked)
    report |= _scores("tfidf_", _nearest(_lessons(kept_out, []), asked), asked)
    report |= {"known": float((sure >= threshold).mean()), "unknown": float((sure_of_nothing < threshold).mean())}
    network = _fit(_lessons(set(), empty[cut:]), seed)
    config = {"architecture": ARCHITECTURE, "sizes": SIZES, "threshold": round(threshold, 4), "seed": seed}
    write_checkpoint(out, network.state_dict(), config)
    return report


def _fit(lessons: Lessons, seed: int) -> WordNetwork:
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), WordNetwork(**SIZES)
    torch.nn.init.normal_(network.embeddings.weight, std=0.3)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    hashing = {key: SIZES[key] for key in ("buckets", "shortest", "longest")}
    for _ in range(STEPS):
        drawn = rng.choice(len(lessons.texts), BATCH, p=lessons.chances)
        fresh = (lessons.targets[drawn, -1] == 1) & (rng.random(BATCH) < 0.5)
        texts = [_letters(rng) if new else lessons.texts[i] for i, new in zip(drawn, fresh, strict=True)]
        bags = [pieces(_reworded(text, rng), **hashing) for text in texts]
        # Some pieces are left out, so that no word is known by one of them alone.
        bags = [[piece for piece, keep in zip(bag, rng.random(len(bag)) > 0.15, strict=True) if keep] for bag in bags]
        targets = torch.from_numpy(lessons.targets[drawn].astype(np.float32))
        loss = torch.nn.functional.cross_entropy(network(bags), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _reworded(text: str, rng: np.random.Generator) -> str:
    """The text in one of the ways a person might say it: in a template, with an adjective, with a slip of the pen."""
    if len(text) > 40:  # a definition
        return text
    if rng.random() < 0.15 and len(text) > 4:
        at = rng.integers(1, len(text) - 1)
        text = (text[:at] + text[at + 1 :], text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :])[rng.integers(2)]
    if rng.random() < 0.15:
        text = f"{ADJECTIVES[rng.integers(len(ADJECTIVES))]} {text}"
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(text)


def _lessons(kept_out: set[str], empty: Sequence[str]) -> Lessons:
    """What the tables' words mean, WordNet's names, its definitions and nothing, without the words kept out."""
    avoided = {word.lower() for word in kept_out}
    nouns = [pair for pair in zip(synsets(), meanings(), strict=True) if pair[1] is not None]
    taught = [(word, imagenet.lookup(word), 0) for word in imagenet.vocabulary()]
    for synset, target in nouns:
        taught += [*((name, target, 1) for name in synset.names), (synset.definition, target, 2)]
    taught = [(text, target, group) for text, target, group in taught if text.lower() not in avoided]
    targets = [np.append(target / target.sum(), 0).astype(np.float16) for _, target, _ in taught]
    targets += [np.eye(imagenet.CLASSES + 1, dtype=np.float16)[-1]] * len(empty)
    groups = [group for *_, group in taught] + [3] * len(empty)
    wanted = np.array([0.3, 0.4, 0.1, 0.2 if empty else 0.0])
    chances = (wanted / np.maximum(np.bincount(groups, minlength=4), 1))[groups]
    return Lessons([*(text for text, *_ in taught), *empty], np.stack(targets), chances / chances.sum())


def _meaningless(rng: np.random.Generator) -> list[str]:
    """Words that only definitions use, and random letters, shuffled."""
    names = {word for one in synsets() for name in one.names for word in re.findall(r"[a-z]+", name.lower())}
    used = Counter(word for one in synsets() for word in re.findall(r"[a-z]{3,}", one.definition.lower()))
    words = [w for w in used if w not in names and w.removesuffix("s") not in names and imagenet.lookup(w) is None]
    words += [_letters(rng) for _ in range(len(words) // 2)]
    return [words[i] for i in rng.permutation(len(words))]


def _letters(rng: np.random.Generator) -> str:
    """Three to ten random letters, each as likely as in English, or all alike."""
    letters = ("eeeaaaiooutnrsldhcmpgbfkvwyzxqj", "abcdefghijklmnopqrstuvwxyz")[rng.integers(2)]
    return "".join(rng.choice(list(letters), rng.integers(3, 11)))


@cache
def synsets() -> list[Synset]:
    """All of timm's synsets, in WordNet's order."""
    paths = (WORDNET / f"imagenet_synset_to_{what}.txt" for what in ("lemma", "definition"))
    lemmas, definitions = (dict(line.split("\t", 1) for line in p.read_text("utf-8").splitlines()) for p in paths)
    return [Synset(int(key[1:]), tuple(lemmas[key].split(", ")), definitions[key]) for key in sorted(lemmas)]


@cache
def meanings() -> list[np.ndarray | None]:
    """For each synset (1000,) weights above or equal 0, or None where the texts do not tell."""
    found = [_by_tables(synset) for synset in synsets()]
    for _ in range(3):  # a definition by a noun whose own definition is known by now
        known = [i for i, weights in enumerate(found) if weights is not None]
        by_name = {name.lower(): i for i in reversed(known) for name in synsets()[i].names}
        for i, synset in enumerate(synsets()):
            if found[i] is None:
                words = re.findall(r"[a-z-]+", synset.head)
                ends = [" ".join(words[-n:]) for n in (3, 2, 1) if n <= len(words)]
                forms = [form for end in ends for form in (end, end.removesuffix("s")) if form in by_name]
                if forms and (synset.possible == synsets()[by_name[forms[0]]].possible).all():
                    found[i] = found[by_name[forms[0]]]
    return [_mixed(*parts) for parts in zip(synsets(), found, _likeness(), strict=True)]


def _by_tables(synset: Synset) -> np.ndarray | None:
    """The tables' classes for a synset's names, or for what its definition says it is."""
    for text in (*synset.names, synset.head):
        weights = imagenet.lookup(text)
        if weights is not None and (weights * synset.possible).any():
            return weights * synset.possible
    return imagenet.lookup("person") if FIRST_PERSON <= synset.number < LAST_PERSON else None


def _mixed(synset: Synset, found: np.ndarray | None, alike: np.ndarray) -> np.ndarray | None:
    alike = np.where(alike >= np.sort(alike)[-5], alike, 0) ** 2
    if found is None and synset.number < LAST_ANIMAL:
        return alike  # there is always a relative nearby
    if found is None or FIRST_PERSON <= synset.number < LAST_PERSON or not alike.any():
        return found
    return 0.65 * found / found.sum() + 0.35 * alike / alike.sum()


def _likeness() -> np.ndarray:
    """(synsets, 1000) float32: cosine of the TF-IDF of names and definitions; animals also by how near they are."""
    nouns = synsets()
    texts = [" ".join((*noun.names, noun.definition)) for noun in nouns]
    rows = _tf_idf(texts, token_pattern="[a-z]{3,}").transform(texts)
    numbers = np.array([int(key[1:]) for key in (WORDNET / "imagenet_synsets.txt").read_text("utf-8").split()])
    own = np.array([noun.number for noun in nouns])
    likeness = (rows @ rows[np.searchsorted(own, numbers)].T).toarray().astype(np.float32)
    near = 0.3 * np.exp(-np.abs(numbers - own[:, None]) / NEARBY)
    likeness += np.where(own[:, None] < LAST_ANIMAL, near, 0).astype(np.float32)
    return likeness * np.stack([noun.possible for noun in nouns])


def _tf_idf(texts: Sequence[str], **split: Any) -> TfidfVectorizer:
    vectorizer = TfidfVectorizer(binary=True, smooth_idf=False, **split).fit(texts)
    vectorizer.idf_ = vectorizer.idf_ - 1  # the logarithm of how rare a word is, as it is
    return vectorizer


def _nearest(lessons: Lessons, asked: Sequence[str]) -> list[list[str]]:
    """The plain way, for comparison: five things of the training texts that have the most, rarest pieces in common."""
    hashing = {"buckets": 2**20, "shortest": SIZES["shortest"], "longest": SIZES["longest"]}
    vectorizer = _tf_idf(lessons.texts, analyzer=lambda text: pieces(text, **hashing))
    found = []
    for alike in (vectorizer.transform(asked) @ vectorizer.transform(lessons.texts).T).toarray():
        nearest = np.argsort(-alike, kind="stable")[:50]
        named = dict.fromkeys(thing for i in nearest for thing in imagenet.nearest_words(lessons.targets[i][:-1], 1))
        found.append(list(named)[:5])
    return found


def _scores(prefix: str, ranked: Sequence[Sequence[str]], asked: Sequence[str]) -> dict[str, float]:
    """How many of the words asked have one of their own things first, and among the first five."""
    right = [{imagenet.things()[i] for i in np.flatnonzero(imagenet.lookup(word))} for word in asked]
    pairs = list(zip(ranked, right, strict=True))
    return {
        f"{prefix}top{n}": float(np.mean([bool(set(found[:n]) & things) for found, things in pairs])) for n in (1, 5)
    }
