"""Audio classifiers: any of the library's, as a tagger."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch

from models.audio_input import average_over_windows, groups_of_one_shape, windows_of
from models.audio_tagger.soundnet import ARCHITECTURE, SoundNetTagger
from models.network import MAX_BATCH, Pretrained, find
from models.weights import read_json
from utils.cli import SECONDS, one_of
from utils.language import audioset

MIN_SECONDS = 0.025  # one analysis frame
ACTIVATIONS = ("auto", "sigmoid", "softmax", "none")
GIVES_PROBABILITIES = {"ced"}  # model types whose "logits" have been through the sigmoid already
NUMBERED = re.compile(r"(LABEL_)?\d+")  # what the library writes where a checkpoint names nothing
MACHINE_ID = re.compile(r"/[mtg]/[\w-]+")  # "/m/09x0r"


class AudioClassifier(Pretrained):
    """Any transformers audio classifier: AST and its kin, with AudioSet's labels or others.

    A sound longer than the window is cut into windows whose probabilities are averaged by what is heard in each
    (`models.audio_input`). AudioSet's labels are called by their names where a checkpoint has only their numbers or
    machine ids.

    `MIT/ast-finetuned-audioset-10-10-0.4593` (87 M parameters, BSD-3-Clause, not gated) works as it is. A network whose
    code comes with the checkpoint (`mispeech/ced-base`) needs `trust_remote_code: true`.

    Attributes:
        labels: the labels it knows, by name, in the network's order.

    Args (settings):
        activation: what makes probabilities of the network's outputs: "sigmoid" where several labels may hold at once,
            "softmax" where one does, "none" where they are probabilities already. "auto" takes the checkpoint's
            `problem_type`; without one, as AudioSet's usually are, several labels may hold.
        window_seconds: s of sound heard at once; None takes what the extractor's `max_length` (AST: frames of 10 ms)
            covers, or 10 s where it has none.

    Reference: Gong et al., "AST: audio spectrogram transformer", Interspeech 2021.
    """

    family = "audio_classification"
    network_class = "AutoModelForAudioClassification"
    processor_class = "AutoFeatureExtractor"
    version = 2

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        activation: Annotated[str, one_of(*ACTIVATIONS)] = "auto",
        window_seconds: Annotated[float | None, SECONDS] = None,
    ) -> None:
        super().__init__(network, processor, provenance)
        if activation == "auto":
            one_label = network.config.problem_type == "single_label_classification"
            activation = "softmax" if one_label else "sigmoid"
            activation = "none" if network.config.model_type in GIVES_PROBABILITIES else activation
        self.activation = activation
        frames = getattr(processor, "max_length", None) if hasattr(processor, "num_mel_bins") else None
        # n frames of 10 ms need the 25 ms of the last one.
        covered = 10.0 if frames is None else frames * 0.01 - 0.01 + MIN_SECONDS
        self.window_seconds = covered if window_seconds is None else window_seconds
        id2label = network.config.id2label
        self.labels = label_names([str(id2label[index]) for index in range(network.config.num_labels)])

    def tag(
        self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int], top_k: int = 5
    ) -> list[list[tuple[str, float]]]:
        """See `models.roles.AudioTagger`; equal ones in the network's order."""
        rate = self.processor.sampling_rate
        length, min_length = round(self.window_seconds * rate), round(MIN_SECONDS * rate)
        sounds = [
            windows_of(waveform, given, rate, length, min_length)
            for waveform, given in zip(waveforms, sampling_rates, strict=True)
        ]
        if not sounds:
            return []
        probabilities = average_over_windows(sounds, self._probabilities)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        return [[(self.labels[i], float(row[i])) for i in best] for row, best in zip(probabilities, order, strict=True)]

    def _probabilities(self, windows: list[np.ndarray]) -> np.ndarray:
        """Windows -> (len(windows), labels) float32."""
        values = []
        for group in groups_of_one_shape([self._features(window) for window in windows], MAX_BATCH):
            with self.inference():
                outputs = self.network(torch.cat(group).to(self.device, self.dtype)).logits.float()
            self.finite(outputs)  # which sorting would put last
            if self.activation != "none":
                outputs = outputs.sigmoid() if self.activation == "sigmoid" else outputs.softmax(dim=-1)
            values.append(outputs.cpu().numpy())
        return np.concatenate(values)

    def _features(self, window: np.ndarray) -> torch.Tensor:
        # One window a call: an extractor that pads to its longest input would make results depend on the batch.
        features = self.processor(window, sampling_rate=self.processor.sampling_rate, return_tensors="pt")
        return features[self.network.main_input_name].float()  # (1, ...)


class AnyTagger(Pretrained):
    """SoundNet where a checkpoint's config says so, else an audio classifier: for roles that are made of a tagger."""

    family = "audio_tagger"

    @classmethod
    def resolve(cls, weights: str, revision: str | None = None, **further: Any) -> type[Pretrained]:
        """The family of a checkpoint, see `models.network.load_once`."""
        config = read_json(find(str(weights), revision).path / "config.json")
        return SoundNetTagger if config.get("architecture") == ARCHITECTURE else AudioClassifier


def label_names(given: Sequence[str]) -> list[str]:
    """What a network calls its labels, as names people use.

    Args:
        given: as the checkpoint's config has them, in the network's order.

    Returns:
        As many: as given where they are names; AudioSet's names where they are AudioSet's machine ids, or where they
        are 527 mere numbers, which are taken to be in AudioSet's official order.
    """
    official = audioset.labels()
    if len(given) == len(official) and all(NUMBERED.fullmatch(label) for label in given):
        return list(official)
    if given and all(MACHINE_ID.fullmatch(label) for label in given):
        with audioset.TABLE.open(encoding="utf-8", newline="") as file:
            names = {row["mid"]: row["label"] for row in csv.DictReader(file)}
        return [names.get(label, label) for label in given]
    return list(given)
