"""SoundNet's names as a space that sounds and sentences share: what a sound may come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import normalize

from models.audio_tagger.soundnet import OBJECTS_WEIGHT, SoundNetTagger, classes_of
from models.network import Composite, Pretrained
from models.pocket.class_names import ClassNames
from utils.language import imagenet
from utils.language.phrases import check_prompt, fill

NOWHERE = -1e-3  # of a sound some 16 long: what nothing is known of is a little less like any sound than zero


class SoundNameEncoder(Composite):
    """A sentence is the set of ImageNet's classes that it names, a sound what SoundNet hears in it.

    Both lie in a space where unrelated sounds spread alike in all directions, so that the product of a sentence and a
    sound is a z-score: how many deviations more than for unrelated sounds the names of the one are heard in the other.
    The cosine is that over the length of the sound, some 16. Its zero is what unrelated sounds have on average. The
    last dimension is for sentences that name nothing known; no sound lies there.

    Conventions:
        names: (N, 1000) in [0, 1], what a sentence names.
        objects, groups: the two parts of the space, D and G wide; see `models.audio_tagger.soundnet`.
    """

    family = "sound_names"
    remembers = ("encode_text",)  # what is heard, its part "sounds" remembers
    parts: ClassVar[Mapping[str, type[Pretrained]]] = {"sounds": SoundNetTagger, "words": ClassNames}

    def __init__(self, networks: Mapping[str, Any], provenance: dict[str, Any]) -> None:
        super().__init__(networks, provenance)
        self.sounds, self.words = networks["sounds"], networks["words"]
        self._objects_factor = torch.from_numpy(self.sounds.table("objects_factor"))  # (D, 1000)
        self._groups_factor = torch.from_numpy(self.sounds.table("groups_factor"))  # (G, G)
        classes = torch.from_numpy(classes_of(self.sounds.group_labels))
        self._overlap = classes / classes.sum(1, keepdim=True).clamp(min=1)  # (G, 1000)
        self.embed_dim = len(self._objects_factor) + len(self._groups_factor) + 1

    def encode_audio(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> np.ndarray:
        """See `models.roles.AudioTextEncoder`."""
        objects, groups = self.sounds.z_scores(self.sounds.encode_audio(waveforms, sampling_rates))
        spread = [
            objects @ self.sounds.table("objects_whitening").T,
            groups @ self.sounds.table("groups_whitening").T,
            np.full((len(objects), 1), NOWHERE, np.float32),  # silence, which is nothing, has a direction too
        ]
        embeds = np.concatenate(spread, 1)
        return (embeds / np.linalg.norm(embeds, axis=1, keepdims=True)).astype(np.float32)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.AudioTextEncoder`."""
        with torch.no_grad():
            return self._embed(torch.from_numpy(self.words.encode(texts))).numpy()

    def pseudo_word_encoder(self, template: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        """See `models.roles.AudioTextEncoder`: a word is a place in the space, a sentence the sum of those known."""
        around = self.words.encode([fill(check_prompt(template, "template"), "").strip()])  # (1, 1000), mostly nothing
        beside = self._embed(torch.from_numpy(around)) * float(around.any())

        def encode(word_embeddings: torch.Tensor) -> torch.Tensor:
            return normalize(word_embeddings + beside.to(word_embeddings), dim=1)

        return encode, torch.from_numpy(self.encode_text(list(dict.fromkeys(imagenet.things()))))

    def _embed(self, names: torch.Tensor) -> torch.Tensor:
        """(N, 1000) -> (N, embed_dim), rows L2-normalised."""
        total = names.sum(1, keepdim=True)
        objects = normalize(names @ self._objects_factor.T, dim=1)
        alike = (names @ self._overlap.T).square()  # (N, G)
        groups = normalize(alike @ self._groups_factor.T, dim=1)
        known = (total > 1e-6).to(names.dtype)
        joined = torch.cat([OBJECTS_WEIGHT * objects, groups, torch.zeros_like(total)], 1) * known
        nothing = torch.cat([torch.zeros_like(joined[:, :-1]), 1 - known], 1)
        return normalize(joined + nothing, dim=1)
