"""SoundNet as a tagger: kinds it was trained to tell apart, and the objects its teachers saw while they heard."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.audio_input import cut, resample
from models.network import Pretrained
from models.pocket.soundnet_network import LEVEL, SAMPLING_RATE, HearingNetwork
from utils.language import audioset, imagenet

__all__ = ["ARCHITECTURE", "SoundNetTagger", "classes_of"]

ARCHITECTURE = "soundnet8"
WINDOW_SECONDS = 20  # a shorter sound is repeated up to here, for the objects are named from 12 s on
FAINT = 10 ** (-30 / 20)  # of the loudest window's level: what is fainter is not heard
OBJECTS_WEIGHT = 0.5  # of the objects' z-score beside the heads'
SHARPNESS = 2.0  # what z-scores are multiplied by to make probabilities of them


class SoundNetTagger(Pretrained):
    """SoundNet-8 with trained heads.

    What either part says of a sound speaks as z-scores: how much more than for unrelated sounds. A label's score is the
    heads' z-score and, for what can be seen, that of its ImageNet classes among SoundNet's objects, added up. A sound
    longer than 20 s is heard window by window, each counting by its level.

    Attributes:
        labels: K names; those of AudioSet's own where nothing visible, or a person, makes the sound.
        groups: (G, K) bool, which labels name the same thing.
        group_classes: (G, 1000) float32 in [0, 1], that thing as a set of ImageNet's classes; 0 where it has none.

    Reference: Aytar, Vondrick and Torralba, "SoundNet", NeurIPS 2016.
    """

    family = "soundnet"

    def __init__(self, network: Any, processor: Any, provenance: dict[str, Any]) -> None:
        super().__init__(network, processor, provenance)
        self.labels: list[str] = processor["labels"]
        self.groups = np.zeros((len(processor["groups"]), len(self.labels)), bool)
        for row, members in enumerate(processor["groups"]):
            self.groups[row, members] = True
        self.group_classes = np.stack([classes_of(self.labels[members[0]]) for members in processor["groups"]])
        # A mean of z-scores has a deviation of its own: the length of the same sum in the whitened space.
        seen = self.group_classes @ self.table("objects_factor").T  # (G, D)
        self._objects_of_group = seen / np.linalg.norm(seen, axis=1, keepdims=True).clip(1e-9)
        self._is_seen = self.group_classes.any(1)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`; the processor is the folder's config."""
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("architecture") != ARCHITECTURE:
            raise ValueError(f"expected {ARCHITECTURE}, found {config.get('architecture')}")
        network = HearingNetwork(len(config["labels"]), config["heads"], len(config["groups"]), config["rank"])
        network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
        return network.to(dtype), config

    def encode_audio(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> np.ndarray:
        """What is heard, before it is put into words.

        Args:
            waveforms: (T,) float32 mono each, of any length.
            sampling_rates: Hz each.

        Returns:
            (N, 1000 + K) float32: logits of SoundNet's objects less their mean, log-probabilities of the labels.
        """
        rows = [self._heard(waveform, rate) for waveform, rate in zip(waveforms, sampling_rates, strict=True)]
        return np.asarray(rows, np.float32).reshape(len(rows), imagenet.CLASSES + len(self.labels))

    def standing(self, heard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far each part of what is heard stands out from unrelated sounds.

        Args:
            heard: (N, 1000 + K), of `encode_audio`.

        Returns:
            objects: (N, 1000) float32; groups: (N, G) float32, of their log-probabilities. Both z-scores.
        """
        objects, labels = np.split(heard, [imagenet.CLASSES], axis=1)
        groups = np.log(np.exp(labels) @ self.groups.T + 1e-9)
        spread = []
        for values, name in ((objects, "objects"), (groups, "groups")):
            mean, deviation = self.table(f"{name}_mean"), self.table(f"{name}_deviation")
            spread.append(((values - mean) / deviation).astype(np.float32))
        return spread[0], spread[1]

    def table(self, name: str) -> np.ndarray:
        """One of the network's tables, float32 on the host."""
        return getattr(self.network, name).float().cpu().numpy()

    def tag(
        self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int], top_k: int = 5
    ) -> list[list[tuple[str, float]]]:
        """See `models.roles.AudioTagger`."""
        if not len(waveforms):
            return []
        heard = self.encode_audio(waveforms, sampling_rates)
        objects, by_heads = self.standing(heard)  # (N, 1000), (N, G)
        by_objects = objects @ self.table("objects_whitening").T @ self._objects_of_group.T * self._is_seen
        scores = (by_heads + OBJECTS_WEIGHT * by_objects) / np.sqrt(1 + OBJECTS_WEIGHT**2 * self._is_seen)
        odds = np.exp(SHARPNESS * (scores - scores.max(1, keepdims=True)))
        of_groups = odds / odds.sum(1, keepdims=True)
        labels = np.exp(heard[:, imagenet.CLASSES :])  # (N, K)
        within = labels / (labels @ self.groups.T @ self.groups)  # a label's share of its group
        probabilities = of_groups @ self.groups * within
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        return [[(self.labels[i], float(row[i])) for i in best] for row, best in zip(probabilities, order, strict=True)]

    def _heard(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        length = WINDOW_SECONDS * SAMPLING_RATE
        windows = cut(resample(waveform, rate, SAMPLING_RATE), length)
        peaks = np.array([np.abs(window).max(initial=0) for window in windows])
        levels = np.array([np.sqrt(np.mean(np.square(window))) if len(window) else 0.0 for window in windows])
        kept = np.flatnonzero((levels >= FAINT * levels.max()) & (peaks > 0))
        if not len(kept):
            return self._silence()
        total = 0
        for index in kept:
            loud = windows[index] * (LEVEL / peaks[index])
            repeated = np.resize(loud, length) if len(loud) < length else loud
            with self.inference():
                answers = self.network(torch.from_numpy(repeated)[None].to(self.device, self.dtype))
            heard = torch.cat([answer[0].float().cpu() for answer in answers]).numpy()
            total = total + heard * (levels[index] / levels[kept].sum())
        return total

    def _silence(self) -> np.ndarray:
        """What unrelated sounds are heard as on average, the labels of a group alike: nothing stands out."""
        shares = np.exp(self.table("groups_mean")) / self.groups.sum(1)  # (G,), of each label
        return np.concatenate([self.table("objects_mean"), np.log(shares @ self.groups)])


def classes_of(label: str) -> np.ndarray:
    """A label as a set of ImageNet's classes, (1000,) float32: what makes AudioSet's, any other as it is."""
    things = audioset.things(label)
    words = (label,) if things is None else things[:1]
    found = [weights for weights in map(imagenet.lookup, words) if weights is not None]
    return np.max(found, axis=0) if found else np.zeros(imagenet.CLASSES, np.float32)
