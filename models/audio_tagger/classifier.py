"""Audio classifiers: any of the library's, as a tagger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from models.pretrained import MAX_BATCH, Pretrained
from models.windows import average, cut, resample

MIN_SECONDS = 0.025  # one analysis frame


class AudioClassifier(Pretrained):
    """Any transformers audio classifier: AST and its kin, with AudioSet's labels or others.

    A sound longer than the window is cut into consecutive windows whose probabilities are averaged.

    Args (settings):
        multi_label: True where several labels may hold at once (a sigmoid each), False where one does (a softmax).
            None takes the checkpoint's `problem_type`; without one, as AudioSet's usually are, it is multi-label.
        window_seconds: s of sound heard at once; None takes what the extractor's `max_length` (AST: frames of 10 ms)
            covers, or 10 s where it has none.

    Reference: Gong et al., "AST: audio spectrogram transformer", Interspeech 2021.
    """

    family = "audio_classification"
    network_class = "AutoModelForAudioClassification"
    processor_class = "AutoFeatureExtractor"

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, str | None],
        *,
        multi_label: bool | None = None,
        window_seconds: float | None = None,
    ) -> None:
        super().__init__(network, processor, provenance)
        if multi_label is None:
            multi_label = network.config.problem_type != "single_label_classification"
        self.multi_label = multi_label
        frames = getattr(processor, "max_length", None)
        # n frames of 10 ms need the 25 ms of the last one.
        covered = 10.0 if frames is None else frames * 0.01 - 0.01 + MIN_SECONDS
        self.window_seconds = covered if window_seconds is None else window_seconds

    @property
    def labels(self) -> list[str]:
        """The labels it knows, in the network's order."""
        return [self.network.config.id2label[index] for index in range(self.network.config.num_labels)]

    def tag(
        self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int], top_k: int = 5
    ) -> list[list[tuple[str, float]]]:
        """Names what is heard.

        Args:
            waveforms: (T,) float32 mono each, of any length.
            sampling_rates: Hz each.
            top_k: labels a sound, at most.

        Returns:
            Per sound the `top_k` (label, probability in [0, 1]), best first; equal ones in the network's order.
        """
        rate = self.processor.sampling_rate
        length, min_length = round(self.window_seconds * rate), round(MIN_SECONDS * rate)
        sounds = [
            cut(resample(waveform, given, rate), length, min_length)
            for waveform, given in zip(waveforms, sampling_rates, strict=True)
        ]
        if not sounds:
            return []
        probabilities = average(
            self._probabilities([window for sound in sounds for window in sound]), [len(sound) for sound in sounds]
        )
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        labels = self.labels
        return [[(labels[i], float(row[i])) for i in best] for row, best in zip(probabilities, order, strict=True)]

    def _probabilities(self, windows: list[np.ndarray]) -> np.ndarray:
        """Windows -> (len(windows), labels) float32."""
        values = []
        for group in _groups_of_one_shape([self._features(window) for window in windows]):
            with self.inference():
                logits = self.network(torch.cat(group).to(self.device)).logits.float()
            values.append((logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)).cpu().numpy())
        return np.concatenate(values)

    def _features(self, window: np.ndarray) -> torch.Tensor:
        # One window a call: an extractor that pads to its longest input would make results depend on the batch.
        features = self.processor(window, sampling_rate=self.processor.sampling_rate, return_tensors="pt")
        return features[self.network.main_input_name].float()  # (1, ...)


def _groups_of_one_shape(features: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Splits a list, in order, into runs of equal shapes, none longer than MAX_BATCH."""
    groups: list[list[torch.Tensor]] = []
    for item in features:
        if not groups or len(groups[-1]) == MAX_BATCH or groups[-1][0].shape != item.shape:
            groups.append([])
        groups[-1].append(item)
    return groups
