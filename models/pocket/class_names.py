"""Any wording becomes a soft set of ImageNet's classes: by the tables where they know a word, else by a small network.

The network reads a text as whole words and pieces of words, each an embedding behind a fixed hash; their mean goes
through one hidden layer to the classes and to one more output, "nothing". `models/pocket/train/words.py` trains it.

Conventions:
    weights: (N, 1000) float32 in [0, 1], ImageNet's standard order, each row's maximum 1, or all 0 where nothing is
        known of a text.
    kind: how a text is known: "exact" or "near" by the tables (`utils/language/imagenet.py`), "guessed" by the network.

Reference: Bojanowski et al., "Enriching word vectors with subword information", TACL 2017 (hashed pieces of words).
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from models.network import Pretrained
from models.pocket import PocketFolder
from utils.language import imagenet

ARCHITECTURE = "hashed_pieces"
FAINT = 0.1  # of the strongest class: what is weaker is left out of a guess
# Words that stand around a name in a query or caption, and say nothing of the thing.
AROUND = {
    *("a", "an", "the", "some", "of", "and", "or", "with", "in", "on", "at", "to", "is", "are"),
    *("photo", "photograph", "picture", "image", "sound", "noise"),
}


class WordNetwork(nn.Module):
    """Bags of hashed pieces to logits over the classes and "nothing".

    Args:
        buckets, width: how many embeddings there are, and of what width.
        hidden: units of the layer between.
        shortest, longest: letters in a piece of a word, its ends counted.
    """

    def __init__(self, buckets: int, width: int, hidden: int, shortest: int, longest: int) -> None:
        super().__init__()
        self.sizes = {"buckets": buckets, "width": width, "hidden": hidden, "shortest": shortest, "longest": longest}
        self.embeddings = nn.EmbeddingBag(buckets, width, mode="mean")
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, imagenet.CLASSES + 1))

    def forward(self, bags: Sequence[Sequence[int]]) -> torch.Tensor:
        """Returns (N, 1001) logits of bags of bucket numbers, "nothing" last."""
        starts = np.cumsum([0, *map(len, bags)])[:-1]
        flat = np.concatenate([np.asarray(bag, np.int64) for bag in bags]).astype(np.int64)
        device = self.embeddings.weight.device
        return self.layers(self.embeddings(torch.from_numpy(flat).to(device), torch.from_numpy(starts).to(device)))

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns (N, 1000) probabilities of the classes that sum to 1, and (N,) how sure it is to know the text."""
        hashing = {key: self.sizes[key] for key in ("buckets", "shortest", "longest")}
        logits = self([pieces(text, **hashing) for text in texts]).float().cpu()
        return logits[:, :-1].softmax(1), 1 - logits.softmax(1)[:, -1]


class ClassNames(PocketFolder, Pretrained):
    """Texts to weights over the 1,000 classes, by the tables and by the network for what they do not know."""

    family = "class_names"
    architecture = ARCHITECTURE
    module = WordNetwork

    @staticmethod
    def arguments(config: Mapping[str, Any]) -> Mapping[str, Any]:
        return config["sizes"]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Returns weights, see the module's conventions; the same text has the same row in any batch."""
        rows = np.zeros((len(texts), imagenet.CLASSES), np.float32)
        for row, text in zip(rows, texts, strict=True):
            known = imagenet.lookup(text)
            row[:] = self._guess(text) if known is None else known
        return rows

    def kind(self, texts: Sequence[str]) -> list[str | None]:
        """Tells for each text how it is known: "exact", "near", "guessed", or None."""
        return [imagenet.kind(text) or ("guessed" if self._guess(text).any() else None) for text in texts]

    def _guess(self, text: str) -> np.ndarray:
        probabilities, known = self.network.read([text])
        if known[0] < self.processor["threshold"]:
            return np.zeros(imagenet.CLASSES, np.float32)
        weights = (probabilities[0] / probabilities[0].max()).numpy()
        return np.where(weights < FAINT, np.float32(0), weights)


def pieces(text: str, buckets: int, shortest: int, longest: int) -> list[int]:
    """The buckets of a text's words and of their pieces; the last word counts once more as the head of the phrase."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("'", "")).encode("ascii", "ignore").decode()
    words = [word for word in re.findall(r"[a-z0-9]+", plain) if word not in AROUND]
    found = [f"={words[-1]}"] if words else []
    for marked in [f"<{word}>" for word in words]:
        found += [marked] + [
            marked[i : i + n] for n in range(shortest, longest + 1) for i in range(len(marked) - n + 1)
        ]
    return [zlib.crc32(piece.encode()) % buckets for piece in found]
