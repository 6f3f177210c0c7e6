"""Several: the set of things that the sound as a whole is most like; how many sound is heard, not assumed.

A sound of two things is like a sentence that names both, and like each. A set S of n of the candidates has

    z_text(S) = (z("t1 and t2") + sum_S z_text(t) / sqrt n) / 2
    a(S) = c (z_text(S) + w sum_S z_tag(t) / sqrt n) / sqrt(1 + w^2) + sum_S log(v(t) + e) / sqrt n

which for one word is a of `methods._candidates`. A sum of n z-scores has the deviation sqrt n, and a sentence one of
its own; so a second word has to bring some 0.4 of what the first one has, or the first stays alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from methods._candidates import Candidates, Weighed
from utils.language.phrases import sound_sentence
from utils.trails import candidates

AMONG = 6  # candidates that sets are made of


class Several(Candidates):
    """Candidates -> the sets of the best -> the set with the best score -> "A photo of THING" for each in it."""

    requires = ("audio_text", "audio_tagger", "audio_captioner", "image_captioner", "segmenter")

    def choose(self, weighed: Weighed) -> tuple[Sequence[int], dict[str, Any]]:
        """See `Candidates.choose`."""
        among = [i for i, score in enumerate(weighed.scores[:AMONG]) if score >= weighed.scores[0] - self.margin]
        sets = [
            chosen
            for number in range(1, self.max_things + 1)
            for chosen in combinations(among, number)
            if all(weighed.likeness[i, j] < self.alike for i, j in combinations(chosen, 2))
        ]
        said = [[weighed.words[i] for i in chosen] for chosen in sets]
        sentences = [sound_sentence(self.audio_prompt, *words) for words in said]
        together = self.bank.text_z_scores(self.models["audio_text"].encode_text(sentences), weighed.audio_embed)
        by_text, by_tags, in_view = (
            np.array([values[list(chosen)].sum() / np.sqrt(len(chosen)) for chosen in sets])
            for values in (weighed.by_text, weighed.by_tags, np.log(weighed.in_view + self.least_presence))
        )
        scores = self.sharpness * self.heard((together + by_text) / 2, by_tags) + in_view
        weighed_sets = candidates([" and ".join(words) for words in said], scores)[:AMONG]
        return sets[int(np.argmax(scores))], {"sets": weighed_sets}
