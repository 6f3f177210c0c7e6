"""Audio language models, asked what they hear."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from models.audio_input import MAX_WINDOWS, Window, WindowedCaptioner, windows_of
from models.chat import ChatModel
from utils.cli import SECONDS, at_least

PROMPT = (
    "What makes the sounds in this recording? Answer with one short sentence that names the sources, and nothing else."
)
MIN_SECONDS = 0.1  # less becomes one token or none, which the library takes for a question not yet processed


class AudioChat(WindowedCaptioner, ChatModel):
    """Any transformers chat model that hears: Qwen2-Audio, Audio Flamingo 3 and their kin.

    It is asked about each window in which something is heard; the first lines of its answers, joined, are the caption.

    Args (settings):
        prompt: what it is asked.
        window_seconds: s of sound it hears at once; Qwen2-Audio hears no more than 30.
        max_new_tokens: length of a sentence at most.
        max_windows: heard of a long sound at most, the loudest; the trail of `caption` says what was left out.

    Reference: Chu et al., "Qwen2-Audio technical report", arXiv 2407.10759.
    """

    family = "audio_chat"
    network_classes = ("AutoModelForMultimodalLM", "AutoModelForSeq2SeqLM")
    sense = "feature_extractor"
    version = 3

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        prompt: str = PROMPT,
        window_seconds: Annotated[float, SECONDS] = 30.0,
        max_new_tokens: Annotated[int, at_least(1)] = 64,
        max_windows: Annotated[int, at_least(1)] = MAX_WINDOWS,
    ) -> None:
        super().__init__(network, processor, provenance, prompt=prompt, max_new_tokens=max_new_tokens)
        self.window_seconds, self.max_windows = window_seconds, max_windows

    def windows(self, waveform: np.ndarray, sampling_rate: int) -> list[Window]:
        """See `WindowedCaptioner.windows`; a very short sound is followed by silence."""
        rate = self.processor.feature_extractor.sampling_rate
        return windows_of(waveform, sampling_rate, rate, round(self.window_seconds * rate), round(MIN_SECONDS * rate))

    def say(self, windows: list[np.ndarray]) -> list[str]:
        """See `WindowedCaptioner.say`."""
        return [first_line(self.ask({"type": "audio", "audio": window})) for window in windows]


def first_line(answer: str) -> str:
    """The first line of an answer that says something, without the quotes and stars a chat model may put around it."""
    lines = (line.strip().strip("\"'*`").strip() for line in answer.splitlines())
    return next((line for line in lines if line), "")
