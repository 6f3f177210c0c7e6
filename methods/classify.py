"""Audio classification: the sound's class is the query.

The image is not looked at: the class is asked for whether or not such a thing is in view.

Reference:
    arXiv 2506.06537, figure 1 (audio classification), which asks for the first class of AudioSet's. The least
    probability worth asking for is not given there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from methods.base import Method
from utils.audio import SILENCE_DB, is_silent
from utils.errors import UserError
from utils.prompts import check_prompt, fill
from utils.trails import abstain, candidates, propose, silence
from utils.types import Proposal, Query, Sample

SHOWN = 5  # tags in the trail


class Classify(Method):
    """Sound -> tags -> "A photo of TAG".

    Args:
        models: "audio_tagger" and "segmenter".
        prompt: the query, with "{}" for the tag.
        top_k: how many of the most probable tags are asked for.
        min_probability: in [0, 1]; tags below it are not asked for.
        silence_db: dBFS; a sound that never rises above it is silent.
    """

    requires = ("audio_tagger",)

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        prompt: str = "A photo of {}",
        top_k: int = 1,
        min_probability: float = 0.05,
        silence_db: float = SILENCE_DB,
    ) -> None:
        super().__init__(models)
        if top_k < 1:
            raise UserError(f"expected the setting top_k to be 1 or more, found {top_k}")
        self.prompt = check_prompt(prompt, "prompt")
        self.top_k = top_k
        self.min_probability = min_probability
        self.silence_db = silence_db

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        silent = [is_silent(sample.waveform, sample.sampling_rate, self.silence_db) for sample in samples]
        audible = [sample for sample, is_quiet in zip(samples, silent, strict=True) if not is_quiet]
        tags = iter(self._tag(audible))
        return [silence(self.silence_db) if is_quiet else self._choose(next(tags)) for is_quiet in silent]

    def _tag(self, samples: Sequence[Sample]) -> list[list[tuple[str, float]]]:
        if not samples:
            return []
        return self.models["audio_tagger"].tag(
            [sample.waveform for sample in samples],
            [sample.sampling_rate for sample in samples],
            top_k=max(self.top_k, SHOWN),
        )

    def _choose(self, tags: Sequence[tuple[str, float]]) -> Proposal:
        weighed = candidates([label for label, _ in tags], [probability for _, probability in tags])
        chosen = [tag for tag in tags[: self.top_k] if tag[1] >= self.min_probability]
        if not chosen:
            reason = "no known sound was recognised"
            if tags:
                label, probability = tags[0]
                reason += f': the most probable, "{label}", has {probability:.2f} < {self.min_probability:g}'
            return abstain(reason, heard="an unknown sound", candidates=weighed)
        queries = [Query(fill(self.prompt, label), score=float(probability)) for label, probability in chosen]
        heard = ", ".join(f"{label} ({probability:.0%})" for label, probability in chosen)
        return propose(queries, heard=heard, candidates=weighed)
