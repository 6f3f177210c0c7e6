"""Audio language models, asked what they hear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.audio_input import cut, resample
from models.chat import ChatModel

PROMPT = (
    "What makes the sounds in this recording? Answer with one short sentence that names the sources, "
    'for example "A dog is barking and a man is speaking."'
)
MIN_SECONDS = 0.1  # less becomes one token or none, which the library takes for a question not yet processed


class AudioChat(ChatModel):
    """Any transformers chat model that hears: Qwen2-Audio, Audio Flamingo 3 and their kin.

    It hears the first window only. The answer's first line is the caption.

    Args (settings):
        prompt: what it is asked.
        window_seconds: s of sound it hears; Qwen2-Audio hears no more than 30.
        max_new_tokens: length of a caption at most.

    Reference: Chu et al., "Qwen2-Audio technical report", arXiv 2407.10759.
    """

    family = "audio_chat"
    network_classes = ("AutoModelForMultimodalLM", "AutoModelForSeq2SeqLM")
    sense = "feature_extractor"

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        prompt: str = PROMPT,
        window_seconds: float = 30.0,
        max_new_tokens: int = 64,
    ) -> None:
        super().__init__(network, processor, provenance, prompt=prompt, max_new_tokens=max_new_tokens)
        self.window_seconds = window_seconds

    def caption(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> list[str]:
        """See `models.roles.AudioCaptioner`."""
        return [
            first_line(self.ask({"type": "audio", "audio": self.window(waveform, rate)}))
            for waveform, rate in zip(waveforms, sampling_rates, strict=True)
        ]

    def window(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """What is heard of a sound: (L,) float32 at the network's own rate; a very short one is followed by silence."""
        rate = self.processor.feature_extractor.sampling_rate
        length, min_length = round(self.window_seconds * rate), round(MIN_SECONDS * rate)
        return cut(resample(waveform, sampling_rate, rate), length, min_length)[0]


def first_line(answer: str) -> str:
    """The first line of an answer that says something, without the quotes and stars a chat model may put around it."""
    lines = (line.strip().strip("\"'*`").strip() for line in answer.splitlines())
    return next((line for line in lines if line), "")
