"""SoundNet's names as a space that sounds, sentences and pictures share: what a sound may come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d, normalize

from models.audio_tagger.soundnet import OBJECTS_WEIGHT, SoundNetTagger, classes_of
from models.network import Composite, Pretrained
from models.pocket.class_names import ClassNames
from models.pocket.image_classifier import ImageClassifier, check_names
from models.segmenter.score_maps import within_aspect
from utils.language import imagenet
from utils.language.phrases import check_prompt, fill

SCALES = (320, 448)  # pixels of a picture's longer side, as the segmenter sees it
SHARPNESS = 3.0  # what z-scores of single names are multiplied by to make probabilities of them
LEAST = 1e-4  # probability that sound and region have a name in common; less is as good as none
NOWHERE = -1e-3  # of a sound some 16 long: what nothing is known of is a little less like any sound than zero


class SoundNameEncoder(Composite):
    """A sentence is the set of ImageNet's classes that it names, a sound what SoundNet hears in it.

    Both lie in a space where unrelated sounds spread alike in all directions, so that the product of a sentence and a
    sound is a z-score: how many deviations more than for unrelated sounds the names of the one are heard in the other.
    The cosine is that over the length of the sound, some 16. Its zero is what unrelated sounds have on average. The
    last dimension is for sentences that name nothing known; no sound lies there. Of a region of a picture an image
    classifier says how probable each of the same names is.

    Conventions:
        names: (N, 1000) in [0, 1], what a sentence names.
        objects, groups: the two parts of the space, D and G wide; see `models.audio_tagger.soundnet`.
    """

    family = "sound_names"
    remembers = ("encode_text",)  # what is heard, its part "sounds" remembers
    parts: ClassVar[Mapping[str, type[Pretrained]]] = {
        "sounds": SoundNetTagger,
        "words": ClassNames,
        "classifier": ImageClassifier,
    }

    def __init__(self, networks: Mapping[str, Any], provenance: dict[str, Any]) -> None:
        super().__init__(networks, provenance)
        self.sounds, self.words, self.classifier = (networks[name] for name in self.parts)
        check_names(self.classifier)
        self._objects_factor = torch.from_numpy(self.sounds.table("objects_factor"))  # (D, 1000)
        self._groups_factor = torch.from_numpy(self.sounds.table("groups_factor"))  # (G, G)
        classes = torch.from_numpy(classes_of(self.sounds.group_labels))
        self._overlap = classes / classes.sum(1, keepdim=True).clamp(min=1)  # (G, 1000)
        self.embed_dim = len(self._objects_factor) + len(self._groups_factor) + 1

    def encode_audio(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> np.ndarray:
        """See `models.roles.AudioTextEncoder`."""
        embeds = self._spread(self.sounds.encode_audio(waveforms, sampling_rates))
        return (embeds / np.linalg.norm(embeds, axis=1, keepdims=True)).astype(np.float32)

    def match_regions(
        self,
        waveforms: Sequence[np.ndarray],
        sampling_rates: Sequence[int],
        images: Sequence[np.ndarray],
        regions: Sequence[np.ndarray],
    ) -> list[np.ndarray]:
        """See `models.roles.AudioTextEncoder`: log sum_n p(n | sound) p(n | region) over the 1,000 names.

        Of the sound, p is the softmax of what `encode_audio` says of each name, times SHARPNESS; of the region, the
        mean of the classifier's over its places and scales.
        """
        z_scores = self._spread(self.sounds.encode_audio(waveforms, sampling_rates)) @ self._names.T  # (N, 1000)
        heard = (SHARPNESS * torch.from_numpy(z_scores)).softmax(1)
        seen = (self._names_of(*some) for some in zip(images, regions, strict=True))  # (R, 1000) each
        return [(own @ sound + LEAST).log().numpy() for own, sound in zip(seen, heard, strict=True)]

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

    def _spread(self, heard: np.ndarray) -> np.ndarray:
        """What `sounds` heard -> (N, embed_dim) float32, whose product with a row of `encode_text` is a z-score."""
        objects, groups = self.sounds.z_scores(heard)
        spread = [
            objects @ self.sounds.table("objects_whitening").T,
            groups @ self.sounds.table("groups_whitening").T,
            np.full((len(objects), 1), NOWHERE, np.float32),  # silence, which is nothing, has a direction too
        ]
        return np.concatenate(spread, 1)

    @cached_property
    def _names(self) -> np.ndarray:
        """(1000, embed_dim) float32: what `encode_text` says of each name alone."""
        return self._embed(torch.eye(self.classifier.num_names)).numpy()

    def _names_of(self, image: np.ndarray, regions: np.ndarray) -> torch.Tensor:
        """(H, W, 3) uint8 and (R, H, W) float32 -> (R, 1000) float32, adding up to 1."""
        within = within_aspect(image)
        inside = torch.zeros(len(regions), *within.shape[:2])
        inside[:, : image.shape[0], : image.shape[1]] = torch.from_numpy(regions > 0.5)
        names = torch.zeros(len(regions), self.classifier.num_names)
        for scale in SCALES if len(regions) else ():
            logits = self.classifier.encode_images([within], scale)[0].logits.cpu()  # (1000, h, w)
            covered = adaptive_avg_pool2d(inside[None], logits.shape[-2:])[0].flatten(1)  # (R, h w)
            covered = covered / covered.sum(1, keepdim=True).clamp(min=1e-12)
            names += covered @ logits.softmax(0).flatten(1).T / len(SCALES)
        return names

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
