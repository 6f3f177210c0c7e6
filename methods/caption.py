"""Audio captioning: a sentence on the sound is itself the query.

The image is not looked at, and nothing is taken out of the sentence: the segmenter is asked "Guitar is being played".
A long sound may be described in several sentences, which are one query; what was not listened to is in the trail.

Where this departs from the paper, whose segmenter was taught sentences: one that was taught phrases is asked for each
thing that the sentence names instead, "dog" and "man", all with the same score. Of "A dog is barking at a man." a
detector would make whatever its words are nearest to.

Reference:
    arXiv 2506.06537, figure 1 (audio captioning).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from methods.base import Method, sounds_of, unless_silent
from utils.cli import LEVEL
from utils.language.phrases import DEFAULT_PARSER, PARSER, SLOT, asking
from utils.language.sound_captions import things_heard
from utils.media.sounds import SILENCE_DB
from utils.trails import abstain, ask_for
from utils.types import Proposal, Query, Sample


class Caption(Method):
    """Sound -> sentence = query; or -> the things it names, for a segmenter that takes no sentences.

    Args:
        models: "audio_captioner" and "segmenter".
        silence_db: dBFS; a sound that never rises above it is silent.
        noun_parser: see `utils.language.phrases.bare_nouns`; not needed where the sentence is the query.
    """

    requires = ("audio_captioner",)

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        silence_db: Annotated[float, LEVEL] = SILENCE_DB,
        noun_parser: Annotated[str, PARSER] = DEFAULT_PARSER,
    ) -> None:
        super().__init__(models)
        self.silence_db, self.noun_parser = silence_db, noun_parser

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        return unless_silent(samples, self.silence_db, self._caption)

    def _caption(self, samples: Sequence[Sample]) -> list[Proposal]:
        sentences = map(str.strip, self.models["audio_captioner"].caption(*sounds_of(samples)))
        return [self._of(sentence, sample) for sentence, sample in zip(sentences, samples, strict=True)]

    def _of(self, sentence: str, sample: Sample) -> Proposal:
        if not sentence:
            return abstain("the audio captioner says nothing about the sound", heard="an unknown sound")
        queries = [Query(sentence)]
        if not self.models["segmenter"].accepts_sentences:
            things = things_heard(self.models["audio_captioner"], sentence, self.noun_parser)
            queries = [asking(SLOT, thing) for thing in things]
        if not queries:
            reason = "what was heard names no visible thing, and this segmenter is asked for things, not sentences"
            return abstain(reason, heard=sentence, **self._left_out(sample))
        return ask_for(queries, heard=sentence, **self._left_out(sample))

    def _left_out(self, sample: Sample) -> dict[str, str]:
        """The trail's `unheard`, where a long sound has more to say than the captioner was asked about."""
        unheard = getattr(self.models["audio_captioner"], "unheard", lambda *sound: [])
        spans = [f"{start:.1f}-{stop:.1f} s" for start, stop in unheard(sample.waveform, sample.sampling_rate)]
        return {"unheard": ", ".join(spans)} if spans else {}
