"""Trains the small network that guesses the classes of words no table has.

It learns the words of the tables (`utils/language/imagenet.py`), and the names and definitions of WordNet's other nouns with
what they mean by `wordnet.py`. Words that only occur inside definitions, and random letters, mean nothing. A tenth of
the tables' words is kept out of a first training, which gives the numbers and the threshold; what is saved is a second
training on everything.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from models.pocket.class_names import ARCHITECTURE, WordNetwork, pieces
from models.pocket.train import wordnet
from utils.language import imagenet

__all__ = ["train"]

SIZES = {"buckets": 18432, "width": 64, "hidden": 128, "shortest": 3, "longest": 5}
STEPS, BATCH, RATE = 6000, 256, 3e-3
TEMPLATES = ("{}", "{}", "A photo of {}", "a photo of a {}", "the {}", "a sound of {}", "{}s", "two {}s", "some {}")
ADJECTIVES = ("small", "big", "red", "white", "black", "brown", "old", "young", "wild", "wooden", "electric", "little")


@dataclass(frozen=True, eq=False)
class Lessons:
    """Texts and what they mean.

    Attributes:
        texts: words, phrases and definitions.
        targets: (N, 1001) float16, each row's sum 1, "nothing" last.
        shares: (N,) float64, how often each is drawn, sum 1.
    """

    texts: list[str]
    targets: np.ndarray
    shares: np.ndarray


def train(out: Path, seed: int) -> dict[str, float]:
    """Trains the network and writes it as a checkpoint of `models.pocket.class_names`, in float16.

    Args:
        out: the folder to write.
        seed: of the split, the weights and the order.

    Returns:
        "top1" and "top5": how many of the words kept out have the right thing first, among the first five; "tfidf_top1"
        and "tfidf_top5": the same by the nearest training text in TF-IDF of pieces; "known": how many of them the
        threshold lets pass; "unknown": how many of the meaningless words and letters, never trained on, it stops.
    """
    rng = np.random.default_rng(seed)
    words = imagenet.vocabulary()
    kept_out = {words[i] for i in rng.permutation(len(words))[: len(words) // 10]}
    empty = _meaningless(rng)
    cut = len(empty) // 10
    first = _fit(_lessons(kept_out, empty[cut:]), seed)
    asked = sorted(kept_out)
    probabilities, sure = first.read(asked)
    _, sure_of_nothing = first.read(empty[:cut])
    threshold = _threshold(sure.numpy(), sure_of_nothing.numpy())
    report = _scores("", [_ranked(row) for row in probabilities.numpy()], asked)
    lessons = _lessons(kept_out, [])
    report |= _scores("tfidf_", _nearest(lessons, asked), asked)
    report |= {
        "known": float((sure >= threshold).float().mean()),
        "unknown": float((sure_of_nothing < threshold).float().mean()),
    }
    network = _fit(_lessons(set(), empty[cut:]), seed)
    config = {"architecture": ARCHITECTURE, "sizes": SIZES, "threshold": round(threshold, 4), "seed": seed}
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return report


def _fit(lessons: Lessons, seed: int) -> WordNetwork:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = WordNetwork(**SIZES)
    torch.nn.init.normal_(network.embeddings.weight, std=0.3)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    hashing = {key: SIZES[key] for key in ("buckets", "shortest", "longest")}
    for _ in range(STEPS):
        drawn = rng.choice(len(lessons.texts), BATCH, p=lessons.shares)
        fresh = (lessons.targets[drawn, -1] == 1) & (rng.random(BATCH) < 0.5)
        texts = [_letters(rng) if new else lessons.texts[i] for i, new in zip(drawn, fresh, strict=True)]
        bags = [pieces(_reworded(text, rng), **hashing) for text in texts]
        bags = [_thinned(bag, rng) for bag in bags]
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


def _thinned(bag: list[int], rng: np.random.Generator) -> list[int]:
    """Leaves out some pieces, so that no word is known by one of them alone."""
    return [piece for piece, keep in zip(bag, rng.random(len(bag)) > 0.15, strict=True) if keep]


def _lessons(kept_out: set[str], empty: list[str]) -> Lessons:
    """Everything that is taught, without the words kept out and their plurals."""
    texts, targets, groups = [], [], []

    def teach(text: str, target: np.ndarray, group: int) -> None:
        if text.lower() not in avoided:
            texts.append(text)
            targets.append(np.append(target / target.sum(), 0).astype(np.float16))
            groups.append(group)

    avoided = {word.lower() for word in kept_out}
    for word in imagenet.vocabulary():
        teach(word, imagenet.lookup(word), 0)
    for synset, target in zip(wordnet.synsets(), wordnet.meanings(), strict=True):
        if target is not None:
            for name in synset.names:
                teach(name, target, 1)
            teach(synset.definition, target, 2)
    nothing = np.eye(imagenet.CLASSES + 1, dtype=np.float16)[-1]
    texts += empty
    targets += [nothing] * len(empty)
    groups += [3] * len(empty)
    sizes = np.bincount(groups, minlength=4)
    wanted = np.array([0.3, 0.4, 0.1, 0.2 if empty else 0.0])
    shares = (wanted / np.maximum(sizes, 1))[groups]
    return Lessons(texts, np.stack(targets), shares / shares.sum())


def _meaningless(rng: np.random.Generator) -> list[str]:
    """Words that only definitions use, and random letters, shuffled."""
    names = {
        word for synset in wordnet.synsets() for name in synset.names for word in re.findall(r"[a-z]+", name.lower())
    }
    used = Counter(word for synset in wordnet.synsets() for word in re.findall(r"[a-z]{3,}", synset.definition.lower()))
    words = [w for w in used if w not in names and w.removesuffix("s") not in names and imagenet.lookup(w) is None]
    words += [_letters(rng) for _ in range(len(words) // 2)]
    return [words[i] for i in rng.permutation(len(words))]


def _letters(rng: np.random.Generator) -> str:
    """Three to ten random letters, each as likely as in English, or all alike."""
    letters = ("eeeaaaiooutnrsldhcmpgbfkvwyzxqj", "abcdefghijklmnopqrstuvwxyz")[rng.integers(2)]
    return "".join(rng.choice(list(letters), rng.integers(3, 11)))


def _threshold(sure: np.ndarray, sure_of_nothing: np.ndarray) -> float:
    """The confidence that parts words from nothing with the fewest mistakes, both counted as shares."""
    tried = np.linspace(0.02, 0.98, 97)
    return float(max(tried, key=lambda t: (sure >= t).mean() + (sure_of_nothing < t).mean()))


def _ranked(weights: np.ndarray) -> list[str]:
    return imagenet.nearest_words(weights, 5)


def _scores(prefix: str, ranked: list[list[str]], asked: list[str]) -> dict[str, float]:
    """How many of the words asked have one of their own things first, and among the first five."""
    right = [{imagenet.things()[i] for i in np.flatnonzero(imagenet.lookup(word))} for word in asked]
    pairs = list(zip(ranked, right, strict=True))
    return {
        f"{prefix}top1": float(np.mean([bool(set(found[:1]) & things) for found, things in pairs])),
        f"{prefix}top5": float(np.mean([bool(set(found) & things) for found, things in pairs])),
    }


def _nearest(lessons: Lessons, asked: list[str]) -> list[list[str]]:
    """The plain way, for comparison: five things of the training texts that share the most, rarest pieces."""
    hashing = {"buckets": 2**20, "shortest": SIZES["shortest"], "longest": SIZES["longest"]}
    bags = [set(pieces(text, **hashing)) for text in lessons.texts]
    counts = Counter(piece for bag in bags for piece in bag)
    weigh = {piece: np.log(len(bags) / count) for piece, count in counts.items()}
    holders: dict[int, list[int]] = {}
    for i, bag in enumerate(bags):
        for piece in bag:
            holders.setdefault(piece, []).append(i)
    norms = np.array([np.sqrt(sum(weigh[piece] ** 2 for piece in bag)) + 1e-6 for bag in bags])
    found = []
    for word in asked:
        alike = np.zeros(len(bags))
        for piece in set(pieces(word, **hashing)) & holders.keys():
            alike[holders[piece]] += weigh[piece] ** 2
        nearest = np.argsort(-alike / norms, kind="stable")[:50]
        named = dict.fromkeys(thing for i in nearest for thing in imagenet.nearest_words(lessons.targets[i][:-1], 1))
        found.append(list(named)[:5])
    return found
