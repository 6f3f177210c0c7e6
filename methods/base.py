"""The common interface of all connection strategies: samples in, queries out, and the segmenter's map at the end."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from utils.errors import UserError
from utils.language.phrases import asking
from utils.media.sounds import why_unheard
from utils.trails import abstain, complete, silence
from utils.types import Prediction, Proposal, Query, Sample


class Method(ABC):
    """A connection strategy: turns what is heard, and what is seen, into queries for a segmenter.

    A subclass names the roles it needs in `requires`, takes its settings as keyword arguments with defaults, and
    implements `propose`. Its file, `methods/NAME.py`, is all there is to write: NAME is its name on the command line.

    Attributes:
        requires: role names (see `models/roles.py`) besides the segmenter, e.g. ("audio_text", "image_captioner"); the
            segmenter too, as the last, where `propose` asks it.
        segments: whether a segmenter makes its maps; where not, the method has `make_maps`.
        listens: whether the sound can change its answer; False for the baselines that any method has to beat.
        abstains_below: the setting that a proposal's first score is compared with: below it, nothing is asked for; None
            where a method has none. `python -m methods.calibrate` measures where to put it.
        needs_bank: whether it asks `audio_text.bank()` how unrelated sounds are heard, see `models/sound_bank.py`.
        version: raised where answers of its own `recall` change, so that none of a cache on disk is taken.
        models: role name -> loaded model, for every role in `requires` and "segmenter".
        memory: of the run, see `recall`; None for none.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    segments: ClassVar[bool] = True
    listens: ClassVar[bool] = True
    abstains_below: ClassVar[str | None] = None
    needs_bank: ClassVar[bool] = False
    version: ClassVar[int] = 1
    memory: Any = None

    def __init__(self, models: Mapping[str, Any]) -> None:
        self.models = models

    def prepare(self) -> None:  # noqa: B027 (most methods need nothing)
        """Does what a run needs once, before its first sample; without it, the first sample that needs it waits.

        A vocabulary's embeddings belong here. Whatever follows from samples does not: an evaluation that is resumed
        begins in the middle.
        """

    @abstractmethod
    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """Says what to segment.

        Args:
            samples: any number, of any sizes; an evaluation gives them without ground truth.

        Returns:
            One Proposal per sample, in order. No queries and a trail with a "reason" where nothing is to be segmented.
            What a trail lacks is derived from the queries (`utils.trails.complete`).
        """

    def next_queries(self, answer: Proposal | Prediction) -> list[Query]:
        """What it would ask for next, best first: what was weighed for the answer and not asked for (`--verify`).

        Here, the trail's candidates in the method's `prompt`; nothing where it has none.
        """
        prompt, asked = getattr(self, "prompt", None), {query.text for query in answer.queries}
        rows = answer.trail["candidates"] if prompt else ()
        queries = [asking(prompt, row["text"], row["score"]) for row in rows]
        return [query for query in queries if query.text not in asked]

    def make_maps(self, samples: Sequence[Sample], proposals: Sequence[Proposal]) -> list[np.ndarray]:
        """Makes the maps where no segmenter does (`segments = False`).

        Returns:
            One (H, W) float32 in [0, 1] per sample, in order, of its image's size.
        """
        raise UserError(f"{type(self).__name__} says segments = False; expected a method make_maps, found none; add it")

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Runs the strategy and the segmenter on samples, any number, of any sizes.

        Returns:
            One Prediction per sample, in order; the trail also holds "seconds": mean seconds per sample of each stage.
        """
        if not samples:
            return []
        start = perf_counter()
        proposals = self.propose(samples)
        if len(proposals) != len(samples):
            raise ValueError(f"expected {len(samples)} proposals of {type(self).__name__}, found {len(proposals)}")
        reason = "the method asked for nothing" if self.segments else "the method makes its map itself"
        proposals = [complete(proposal, reason) for proposal in proposals]
        proposed = perf_counter()
        if self.segments:
            score_maps = self.models["segmenter"].segment(
                [sample.image for sample in samples], [proposal.queries for proposal in proposals]
            )
            asked = [self._widened(*one) for one in zip(samples, proposals, score_maps, strict=True)]
        else:
            asked = list(zip(proposals, self.make_maps(samples, proposals), strict=True))
        spent = {"propose": proposed - start, "segment": perf_counter() - proposed}
        seconds = {stage: round(total / len(samples), 4) for stage, total in spent.items()}
        return [
            Prediction(score_map, proposal.queries, {**proposal.trail, "seconds": seconds})
            for proposal, score_map in asked
        ]

    def _widened(self, sample: Sample, proposal: Proposal, score_map: np.ndarray) -> tuple[Proposal, np.ndarray]:
        """Asks by wider words besides where a segmenter that does not know a query's own found nothing by them."""
        wider = {query.wider: replace(query, text=query.wider, wider=None) for query in proposal.queries if query.wider}
        if not wider or (score_map > 0.5).any():
            return proposal, score_map
        queries = (*proposal.queries, *wider.values())
        trail = {**proposal.trail, "also_asked": "; ".join(wider)}
        by_wider = self.models["segmenter"].segment([sample.image], [tuple(wider.values())])[0]
        return Proposal(queries, trail), np.maximum(score_map, by_wider)

    def recall(
        self,
        step: Callable[..., Sequence[Any]],
        *columns: Sequence[Any],
        roles: Sequence[str],
        settings: Mapping[str, Any],
    ) -> Sequence[Any]:
        """Takes a costly step of the method's own; in an evaluation once for each distinct item of a batch.

        Args:
            step: a method of the class: takes the columns and answers items one by one with arrays, texts, numbers, or
                lists and mappings of these.
            columns: lists of one length, of arrays, texts or numbers, such as waveforms and their sampling rates.
            roles, settings: all that the answers depend on beside the items.
        """
        name = getattr(step, "__qualname__", "<")
        if "<" in name:  # two of a kind could not be told apart
            raise ValueError(f"expected a method of the class as the step to recall, found {step!r}")
        identities = [getattr(self.models[role], "identity", None) for role in roles]
        if self.memory is None or None in identities:
            return step(*columns)
        identity = json.dumps([type(self).__module__, self.version, identities, settings], sort_keys=True)
        return self.memory.recall(identity, name, step, *columns)


class Drawn(Method):
    """A baseline that draws its map without a network, a look or a listen: the same for every image of a size."""

    segments = False
    listens = False
    reason: ClassVar[str]  # why nothing is asked, for the trail

    @abstractmethod
    def draw(self, size: tuple[int, int]) -> np.ndarray:
        """Returns (H, W) float32 in [0, 1] for an image of (H, W) pixels."""

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        return [abstain(self.reason, heard="(does not listen)") for _ in samples]

    def make_maps(self, samples: Sequence[Sample], proposals: Sequence[Proposal]) -> list[np.ndarray]:
        """See `Method.make_maps`."""
        return [self.draw(sample.image.shape[:2]) for sample in samples]


def sounds_of(samples: Sequence[Sample]) -> tuple[list[np.ndarray], list[int]]:
    """Waveforms and sampling rates, as every model that listens takes them."""
    return [sample.waveform for sample in samples], [sample.sampling_rate for sample in samples]


def unless_silent(
    samples: Sequence[Sample], silence_db: float, propose: Callable[[Sequence[Sample]], Iterable[Proposal]]
) -> list[Proposal]:
    """Nothing for what never rises above `silence_db` (dBFS) or is too short; what `propose` says of the others."""
    reasons = [why_unheard(sample.waveform, sample.sampling_rate, silence_db) for sample in samples]
    audible = [sample for sample, reason in zip(samples, reasons, strict=True) if not reason]
    proposals = iter(propose(audible) if audible else ())
    return [silence(reason) if reason else next(proposals) for reason in reasons]
