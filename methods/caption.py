"""Audio captioning: a sentence on the sound is itself the query.

The image is not looked at, and nothing is taken out of the sentence: the segmenter is asked "Guitar is being played".

Reference:
    arXiv 2506.06537, figure 1 (audio captioning).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from methods.base import Method
from utils.media.loudness import SILENCE_DB, is_silent
from utils.trails import abstain, ask_for, silence
from utils.types import Proposal, Query, Sample


class Caption(Method):
    """Sound -> sentence = query.

    Args:
        models: "audio_captioner" and "segmenter".
        silence_db: dBFS; a sound that never rises above it is silent.
    """

    requires = ("audio_captioner",)

    def __init__(self, models: Mapping[str, Any], *, silence_db: float = SILENCE_DB) -> None:
        super().__init__(models)
        self.silence_db = silence_db

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        silent = [is_silent(sample.waveform, sample.sampling_rate, self.silence_db) for sample in samples]
        audible = [sample for sample, is_quiet in zip(samples, silent, strict=True) if not is_quiet]
        sentences = iter(self._caption(audible))
        return [silence(self.silence_db) if is_quiet else _ask(next(sentences)) for is_quiet in silent]

    def _caption(self, samples: Sequence[Sample]) -> list[str]:
        if not samples:
            return []
        return self.models["audio_captioner"].caption(
            [sample.waveform for sample in samples], [sample.sampling_rate for sample in samples]
        )


def _ask(sentence: str) -> Proposal:
    sentence = sentence.strip()
    if not sentence:
        return abstain("the audio captioner says nothing about the sound", heard="an unknown sound")
    return ask_for([Query(sentence)], heard=sentence)
