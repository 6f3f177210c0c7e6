"""Verify: what a mask holds is compared with the sound once more; one that fits less gives way to the next candidate's.

The image is cut down to a mask's box, and the segmenter is asked how surely each thing that the tagger hears is in view
there. For tags with the probabilities p and the visible things t that they stand for,

    fit(mask) = sum_t p(t) presence(crop, t) / sum_t p(t)        how much of what is heard is in the mask's box

A mask gives way to that of another candidate whose fit is `CLEARLY` times as high. So no threshold has to be measured
for a config, and where all fit alike, the method's own choice stays. What a method weighed and did not ask for is its
`next_queries`; one without any is left as it is.

Reference:
    None; the check that agents make of their own answers, without a language model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from methods.base import Method
from utils.language import audioset
from utils.language.phrases import fill
from utils.types import Prediction, Proposal, Query, Sample

LISTED = 20  # tags, the most probable
PROMPT = "A photo of {}"
CLEARLY = 3.0  # of 1.5 to 3, what changed right masks least, on scenes of the train split
MARGIN = 0.1  # of a box's sides, that a crop has more around it


class Verified(Method):
    """A method whose answers are checked, and mended.

    Args:
        models: "audio_tagger" and "segmenter".
        method: what answers first.
        rounds: how many further candidates are looked at, at most.

    The trail also has `fit`, of each query that was looked at, and `rejected`, why another was taken.
    """

    def __init__(self, models: Mapping[str, Any], method: Method, rounds: int) -> None:
        super().__init__(models)
        self.method, self.rounds = method, rounds

    def prepare(self) -> None:
        """See `Method.prepare`."""
        self.method.prepare()

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`; nothing is checked before there is a mask."""
        return self.method.propose(samples)

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """See `Method.predict`."""
        return [self._verify(*one) for one in zip(samples, self.method.predict(samples), strict=True)]

    def _verify(self, sample: Sample, answer: Prediction) -> Prediction:
        further = self.method.next_queries(answer)[: self.rounds] if answer.queries else ()
        if not further:
            return answer
        start = perf_counter()
        heard = self._heard(sample)
        first = self._look(sample.image, answer.queries, answer.score_map, heard)
        looked_at = [first]
        for query in further if CLEARLY * first.fit < 1 else ():  # nothing fits better than 1
            score_map = self.models["segmenter"].segment([sample.image], [(query,)])[0]
            looked_at.append(self._look(sample.image, (query,), score_map, heard))
        best = max(looked_at, key=lambda one: one.fit)
        taken = best if best.fit > CLEARLY * first.fit else first
        trail = {**answer.trail, "fit": [{"text": one.asked, "score": round(one.fit, 4)} for one in looked_at]}
        if taken is not first:
            trail |= {"query": taken.asked, "rejected": f"{first.held}; {taken.held}"}
            trail.pop("also_asked", None)
        trail["seconds"] = {**answer.trail["seconds"], "verify": round(perf_counter() - start, 4)}
        return replace(answer, score_map=taken.score_map, queries=taken.queries, trail=trail)

    def _heard(self, sample: Sample) -> dict[str, float]:
        """The visible things of the most probable tags, and how much of all that is heard each is."""
        (tags,) = self.models["audio_tagger"].tag([sample.waveform], [sample.sampling_rate], top_k=LISTED)
        heard: dict[str, float] = {}
        for label, probability in tags:
            things = audioset.things(label)
            for thing in (label,) if things is None else things[:1]:
                heard[thing] = heard.get(thing, 0) + probability
        total = max(sum(heard.values()), 1e-12)
        return {thing: probability / total for thing, probability in heard.items()}

    def _look(
        self, image: np.ndarray, queries: Sequence[Query], score_map: np.ndarray, heard: Mapping[str, float]
    ) -> _LookedAt:
        mask = score_map > 0.5
        if not mask.any() or not heard:
            return _LookedAt(tuple(queries), score_map, 0.0)
        box = []
        for axis in (1, 0):
            side = np.flatnonzero(mask.any(axis))
            more = round(MARGIN * (side[-1] - side[0] + 1))
            box.append(slice(max(side[0] - more, 0), side[-1] + 1 + more))
        texts = [fill(PROMPT, thing) for thing in heard]
        (in_view,) = self.models["segmenter"].presence([np.ascontiguousarray(image[tuple(box)])], texts)
        return _LookedAt(tuple(queries), score_map, float(np.clip(in_view @ np.array([*heard.values()]), 0, 1)))


@dataclass(frozen=True, eq=False)
class _LookedAt:
    """What was asked, what came of it, and how well that fits the sound."""

    queries: tuple[Query, ...]
    score_map: np.ndarray  # (H, W) float32 in [0, 1]
    fit: float

    @property
    def asked(self) -> str:
        return "; ".join(query.text for query in self.queries)

    @property
    def held(self) -> str:
        found = (self.score_map > 0.5).any()
        return f'"{self.asked}" ' + (f"holds {self.fit:.0%} of what is heard" if found else "finds nothing")
