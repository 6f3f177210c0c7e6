"""Several: what is heard best is explained away, and what still stands out of the rest sounds too.

How many things sound is not assumed. The first thing asked for, t1, is the best candidate (a of `methods._candidates`).
What it explains is then taken out of the sound: its part of what the audio-text encoder heard, and its labels, with
those of words alike, from what the tagger did. For every other candidate t

    z_text'(t) = z_text(t) - cos(t, t1) z_text(t1)
    z_tag'(t)  of the tagger's other labels, made to add up to what all did
    a'(t) = c s'(t) + log(v(t) + e),   s' of z_text' and z_tag' as s of z_text and z_tag

and the best a' is asked for too where s' is at least `least_rest` of s(t1) and a within the margin; and so on.

`counting="sentence"` compares whole sentences instead, as AL-Ref-SAM 2 does: every set S of n of the best has

    z_text(S) = (z("t1 and t2") + sum_S z_text(t) / sqrt n) / 2
    a(S) = c (z_text(S) + w sum_S z_tag(t) / sqrt n) / sqrt(1 + w^2) + sum_S log(v(t) + e) / sqrt n

A sum of n z-scores has the deviation sqrt n, and a sentence one of its own; so a second word has to bring some 0.4 of
what the first one has. On scenes of Stamps-AVS's train split with several things it is 4.5 points of IoU behind.

Sources that take turns (`windows="turns"`): windows of some 2 s are judged one by one, and the best of each that is
loud enough is asked for besides where its a is `clearly` above that of all that the whole sound asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Annotated, Any

import numpy as np

from methods._candidates import Candidates, Weighed
from utils.cli import NOT_NEGATIVE, SHARE, one_of
from utils.language.phrases import asking, fill, sound_sentence
from utils.media.sounds import level_db
from utils.trails import candidates
from utils.types import Proposal, Sample

AMONG = 6  # candidates that sets are made of
TURN_SECONDS = 2.0  # of a window; a sound is cut into as many of one length as come nearest to this
FAINT_DB = 20.0  # dB below the loudest window; what is fainter has no turn


class Several(Candidates):
    """Candidates -> the best, and what stands out of the rest of the sound -> "A photo of THING" for each.

    Args:
        models, settings: see `methods._candidates.Candidates`.
        counting: "rest" or "sentence", see above.
        least_rest: in [0, 1]; how much of the first thing's s a further one must have in the rest of the sound.
        windows: "whole" or "turns", see above; what has a turn is asked for beyond `max_things`.
        clearly: how far a window's best must be above what the whole sound asks for.
        margin: see `Candidates`.

    The trail has `in the rest`, s' of what was asked for besides; or `sets`, a(S) of the best; and `turns`, when what
    was added is heard.
    """

    requires = ("audio_text", "audio_tagger", "audio_captioner", "image_captioner", "segmenter")

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        counting: Annotated[str, one_of("rest", "sentence")] = "rest",
        least_rest: Annotated[float, SHARE] = 0.4,
        windows: Annotated[str, one_of("whole", "turns")] = "whole",
        clearly: Annotated[float, NOT_NEGATIVE] = 2.0,
        margin: Annotated[float, NOT_NEGATIVE] = 3.0,
        **settings: Any,
    ) -> None:
        super().__init__(models, margin=margin, **settings)
        self.counting, self.least_rest, self.windows, self.clearly = counting, least_rest, windows, clearly

    def choose(self, weighed: Weighed) -> tuple[Sequence[int], dict[str, Any]]:
        """See `Candidates.choose`."""
        return self._by_sentence(weighed) if self.counting == "sentence" else self._by_rest(weighed)

    def _propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        proposals = super()._propose(samples)
        if self.windows == "turns":
            return [self._in_turns(*one) for one in zip(samples, proposals, strict=True)]
        return proposals

    def _in_turns(self, sample: Sample, whole: Proposal) -> Proposal:
        """Adds what is best in a window, and clearly better there than all that the whole sound asks for."""
        parts, turns = turns_of(sample) if whole.queries else [], []
        if not parts:
            return whole
        queries = {query.text: query for query in whole.queries}
        asked, found = [*queries], self._weigh_all([part for _, part in parts])
        for (when, _), (weighed, *_) in zip(parts, found, strict=True):
            scores = {fill(self.prompt, word): score for word, score in zip(weighed.words, weighed.scores, strict=True)}
            rival = max(scores.get(text, -np.inf) for text in asked)
            best = asking(self.prompt, weighed.words[0], whole.queries[0].score)
            if best.text not in queries and weighed.scores[0] > rival + self.clearly:
                queries[best.text] = best
                turns.append(f"{weighed.words[0]} ({when})")
        if not turns:
            return whole
        trail = {**whole.trail, "query": "; ".join(queries), "turns": ", ".join(turns)}
        return Proposal(tuple(queries.values()), trail)

    def _by_rest(self, weighed: Weighed) -> tuple[Sequence[int], dict[str, Any]]:
        chosen, rests, by_text, in_view = [0], [], weighed.by_text, np.log(weighed.in_view + self.least_presence)
        while len(chosen) < self.max_things:
            explained = (weighed.likeness[chosen] >= self.alike).any(0)  # (W,)
            explained[chosen] = True
            by_text = by_text - weighed.likeness[chosen[-1]] * by_text[chosen[-1]]
            others = np.where(weighed.members[explained].any(0), 0, weighed.probabilities)  # (L,)
            others *= weighed.probabilities.sum() / max(others.sum(), 1e-12)
            heard = self.heard(by_text, self.bank.tag_z_scores(others.clip(0, 1), weighed.members))
            best = int(np.argmax(np.where(explained, -np.inf, self.sharpness * heard + in_view)))
            is_faint = heard[best] < self.least_rest * weighed.heard[0]
            if explained[best] or is_faint or weighed.scores[best] < weighed.scores[0] - self.margin:
                break
            chosen.append(best)
            rests.append({"text": weighed.words[best], "score": round(float(heard[best]), 4)})
        return chosen, {"in the rest": rests} if rests else {}

    def _by_sentence(self, weighed: Weighed) -> tuple[Sequence[int], dict[str, Any]]:
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


def turns_of(sample: Sample) -> list[tuple[str, Sample]]:
    """A sample's windows that are loud enough, each with when it is heard; none for a sound of one window."""
    rate, count = sample.sampling_rate, round(len(sample.waveform) / sample.sampling_rate / TURN_SECONDS)
    if count < 2:
        return []
    ends = np.linspace(0, len(sample.waveform), count + 1).round().astype(int)
    parts = [
        (f"{start / rate:.1f}-{stop / rate:.1f} s", replace(sample, waveform=sample.waveform[start:stop]))
        for start, stop in pairwise(ends)
    ]
    levels = [level_db(part.waveform, rate) for _, part in parts]
    return [part for part, level in zip(parts, levels, strict=True) if level > max(levels) - FAINT_DB]
