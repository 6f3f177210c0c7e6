"""Audio captioning: a sentence on the sound is itself the query.

The image is not looked at, and nothing is taken out of the sentence: the segmenter is asked "Guitar is being played".
A long sound may be described in several sentences, which are one query; what was not listened to is in the trail.

Reference:
    arXiv 2506.06537, figure 1 (audio captioning).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from methods.base import Method, sounds_of, unless_silent
from utils.cli import LEVEL
from utils.media.sounds import SILENCE_DB
from utils.trails import abstain, ask_for
from utils.types import Proposal, Query, Sample


class Caption(Method):
    """Sound -> sentence = query.

    Args:
        models: "audio_captioner" and "segmenter".
        silence_db: dBFS; a sound that never rises above it is silent.
    """

    requires = ("audio_captioner",)

    def __init__(self, models: Mapping[str, Any], *, silence_db: Annotated[float, LEVEL] = SILENCE_DB) -> None:
        super().__init__(models)
        self.silence_db = silence_db

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        return unless_silent(samples, self.silence_db, self._caption)

    def _caption(self, samples: Sequence[Sample]) -> list[Proposal]:
        sentences = map(str.strip, self.models["audio_captioner"].caption(*sounds_of(samples)))
        nothing = abstain("the audio captioner says nothing about the sound", heard="an unknown sound")
        return [
            ask_for([Query(sentence)], heard=sentence, **self._left_out(sample)) if sentence else nothing
            for sample, sentence in zip(samples, sentences, strict=True)
        ]

    def _left_out(self, sample: Sample) -> dict[str, str]:
        """The trail's `unheard`, where a long sound has more to say than the captioner was asked about."""
        unheard = getattr(self.models["audio_captioner"], "unheard", lambda *sound: [])
        spans = [f"{start:.1f}-{stop:.1f} s" for start, stop in unheard(sample.waveform, sample.sampling_rate)]
        return {"unheard": ", ".join(spans)} if spans else {}
