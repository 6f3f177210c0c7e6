"""SoundNet as a tagger: kinds it was trained to tell apart, and the objects its teachers saw while they heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from models.audio_input import mean_by_weight, windows_of
from models.network import Pretrained
from models.pocket import PocketFolder
from models.pocket.soundnet_network import LEVEL, SAMPLING_RATE, SoundNetWithHeads
from utils.language import audioset, imagenet

ARCHITECTURE = "soundnet8"
WINDOW_SECONDS = 20  # a shorter sound is repeated up to here, for the objects are named from 12 s on
HEARD_SECONDS = 10.1  # cut from a longer sound: what the heads hear (9.7 s), and whole clips of ten seconds
OBJECTS_WEIGHT = 0.5  # of the objects' z-score beside the heads'
SHARPNESS = 2.0  # what z-scores are multiplied by to make probabilities of them


class SoundNetTagger(PocketFolder, Pretrained):
    """SoundNet-8 with trained heads.

    What either part says of a sound speaks as z-scores: how much more than for unrelated sounds. A label's score is the
    heads' z-score and, for what can be seen, that of its ImageNet classes among SoundNet's objects, added up. A sound
    longer than 10 s is heard window by window, each counting by what is heard in it (`models.audio_input`).

    Attributes:
        labels: K names; those of AudioSet's own where nothing visible, or a person, makes the sound.
        groups: (G, K) bool, which labels name the same thing.
        group_labels: the first label of each.

    Reference: Aytar, Vondrick and Torralba, "SoundNet", NeurIPS 2016.
    """

    family = "soundnet"
    architecture = ARCHITECTURE
    module = SoundNetWithHeads
    version = 2

    def __init__(self, network: Any, processor: Any, provenance: dict[str, Any]) -> None:
        super().__init__(network, processor, provenance)
        self.labels: list[str] = processor["labels"]
        self.group_labels = [self.labels[members[0]] for members in processor["groups"]]
        self.groups = np.zeros((len(processor["groups"]), len(self.labels)), bool)
        for row, members in enumerate(processor["groups"]):
            self.groups[row, members] = True

    @staticmethod
    def arguments(config: Mapping[str, Any]) -> Mapping[str, Any]:
        counts = {"labels": len(config["labels"]), "groups": len(config["groups"])}
        return counts | {"heads": config["heads"], "rank": config["rank"]}

    def encode_audio(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> np.ndarray:
        """What is heard of sounds of any length, before it is put into words.

        Returns:
            (N, 1000 + K) float32: logits of SoundNet's objects less their mean, log-probabilities of the labels.
        """
        length = round(HEARD_SECONDS * SAMPLING_RATE)
        sounds = [
            windows_of(waveform, rate, SAMPLING_RATE, length)
            for waveform, rate in zip(waveforms, sampling_rates, strict=True)
        ]
        if not sounds:
            return np.zeros((0, imagenet.CLASSES + len(self.labels)), np.float32)
        with self.inference():
            heard = [
                _row(self.network(self._prepare(samples))) if (samples := window.samples()).any() else self._silence()
                for windows in sounds
                for window in windows
            ]
        return mean_by_weight(sounds, np.stack(heard))

    def z_scores(self, heard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far each part of what is heard, (N, 1000 + K), stands out from unrelated sounds, as z-scores.

        Returns:
            objects: (N, 1000) float32; groups: (N, G) float32, of their log-probabilities.
        """
        objects, labels = np.split(heard, [imagenet.CLASSES], axis=1)
        groups = np.log(np.exp(labels) @ self.groups.T + 1e-9)
        spread = []
        for values, name in ((objects, "objects"), (groups, "groups")):
            mean, deviation = self.table(f"{name}_mean"), self.table(f"{name}_deviation")
            spread.append(((values - mean) / deviation).astype(np.float32))
        return spread[0], spread[1]

    @cached_property
    def group_classes(self) -> np.ndarray:
        """(G, 1000) float32 in [0, 1]: what a group names as a set of ImageNet's classes; 0 where it has none."""
        return classes_of(self.group_labels)

    def table(self, name: str) -> np.ndarray:
        """One of the network's tables, float32 on the host."""
        return getattr(self.network, name).float().cpu().numpy()

    def tag(
        self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int], top_k: int = 5
    ) -> list[list[tuple[str, float]]]:
        """See `models.roles.AudioTagger`."""
        if not len(waveforms):
            return []
        heard = self.remembered.encode_audio(waveforms, sampling_rates)
        objects, by_heads = self.z_scores(heard)  # (N, 1000), (N, G)
        is_seen = self.group_classes.any(1)
        # A mean of z-scores has a deviation of its own: the length of the same sum in the whitened space.
        sums = self.group_classes @ self.table("objects_factor").T  # (G, D)
        objects_of_group = sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(1e-9)
        by_objects = objects @ self.table("objects_whitening").T @ objects_of_group.T * is_seen
        scores = (by_heads + OBJECTS_WEIGHT * by_objects) / np.sqrt(1 + OBJECTS_WEIGHT**2 * is_seen)
        odds = np.exp(SHARPNESS * (scores - scores.max(1, keepdims=True)))
        of_groups = odds / odds.sum(1, keepdims=True)
        labels = np.exp(heard[:, imagenet.CLASSES :])  # (N, K)
        within = labels / (labels @ self.groups.T @ self.groups)  # a label's part of its group
        probabilities = of_groups @ self.groups * within
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        return [[(self.labels[i], float(row[i])) for i in best] for row, best in zip(probabilities, order, strict=True)]

    def _prepare(self, window: np.ndarray) -> torch.Tensor:
        """(1, WINDOW_SECONDS * SAMPLING_RATE), its peak LEVEL."""
        loud = window * (LEVEL / np.abs(window).max())
        return torch.from_numpy(np.resize(loud, WINDOW_SECONDS * SAMPLING_RATE))[None].to(self.device, self.dtype)

    def _silence(self) -> np.ndarray:
        """What unrelated sounds are heard as on average, the labels of a group alike: nothing stands out."""
        parts = np.exp(self.table("groups_mean")) / self.groups.sum(1)  # (G,), of each label
        return np.concatenate([self.table("objects_mean"), np.log(parts @ self.groups)])


def _row(answers: Sequence[torch.Tensor]) -> np.ndarray:
    return torch.cat([answer[0].float().cpu() for answer in answers]).numpy()


def classes_of(labels: Sequence[str]) -> np.ndarray:
    """Labels as sets of ImageNet's classes, (N, 1000) float32: what makes AudioSet's, any other as it is."""
    rows = np.zeros((len(labels), imagenet.CLASSES), np.float32)
    for row, label in zip(rows, labels, strict=True):
        things = audioset.things(label)
        for word in (label,) if things is None else things[:1]:
            weights = imagenet.lookup(word)
            row[:] = 0 if weights is None else weights
    return rows
