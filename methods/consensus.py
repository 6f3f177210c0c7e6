"""Consensus: what is heard and in view; audio-text encoder, tagger and image have one vote together.

The paper's strategies ask one of them each: `classify` does not look, `cross_modal` compares what a caption happens to
name and does not ask the tagger. Here every candidate has the score a of `methods._candidates`, and the best is asked
for. So are the next best where they are nearly as good, and other things: several may sound.

Reference:
    None; a product of experts, as in Hinton, "Products of experts", ICANN 1999, of which the votes are z-scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from methods._candidates import Candidates, Weighed


class Consensus(Candidates):
    """Candidates -> the best, and those within a margin of it that are other things -> "A photo of THING" each."""

    requires = ("audio_text", "audio_tagger", "audio_captioner", "image_captioner", "segmenter")

    def choose(self, weighed: Weighed) -> tuple[Sequence[int], dict[str, Any]]:
        """See `Candidates.choose`."""
        chosen: list[int] = []
        for i, score in enumerate(weighed.scores):
            if len(chosen) == self.max_things or score < weighed.scores[0] - self.margin:
                break
            if all(weighed.likeness[i, j] < self.alike for j in chosen):
                chosen.append(i)
        return chosen, {}
