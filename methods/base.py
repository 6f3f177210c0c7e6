"""The common interface of all connection strategies: samples in, queries out, and the segmenter's map at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from utils.trails import abstain
from utils.types import Prediction, Proposal, Sample

__all__ = ["Drawn", "Method"]


class Method(ABC):
    """A connection strategy: turns what is heard, and what is seen, into queries for a segmenter.

    A subclass lives in `methods/NAME.py`, names the roles it needs in `requires`, takes its settings as keyword
    arguments with defaults, and implements `propose`. Nothing else has to be edited: the file name is the method's name
    on the command line.

    Attributes:
        requires: role names (see `models/roles.py`) besides the segmenter, e.g. ("audio_text", "image_captioner").
        segments: whether a segmenter makes its maps.
        listens: whether the sound can change its answer; False for the baselines that any method has to beat.
        remembered: of its own methods those that are costly and answer a list item by item, from the item alone, each
            with the names of the settings and roles its answers depend on. An evaluation asks them once for each
            distinct item of a batch. Where it keeps a cache, answers go there: arrays, texts, numbers, and lists,
            tuples and mappings of these.
        models: role name -> loaded model, for every role in `requires` and "segmenter".
    """

    requires: ClassVar[tuple[str, ...]] = ()
    segments: ClassVar[bool] = True
    listens: ClassVar[bool] = True
    remembered: ClassVar[Mapping[str, Sequence[str]]] = {}

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
            samples: any number, of any sizes; their `gt_mask` is None.

        Returns:
            One Proposal per sample, in order. No queries and a trail with a "reason" where nothing is to be segmented.
        """

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """Runs the strategy and the segmenter on samples.

        Args:
            samples: any number, of any sizes. Ground truth is removed before the strategy sees them.

        Returns:
            One Prediction per sample, in order; the trail also holds "seconds": mean seconds per sample of each stage.
        """
        blind = [replace(sample, gt_mask=None, gt_ignore=None) for sample in samples]
        if not blind:
            return []
        start = perf_counter()
        proposals = self.propose(blind)
        proposed = perf_counter()
        score_maps = self.models["segmenter"].segment(
            [sample.image for sample in blind], [proposal.queries for proposal in proposals]
        )
        segmented = perf_counter()
        seconds = {
            "propose": round((proposed - start) / len(blind), 4),
            "segment": round((segmented - proposed) / len(blind), 4),
        }
        return [
            Prediction(score_map, proposal.queries, {**proposal.trail, "seconds": seconds})
            for score_map, proposal in zip(score_maps, proposals, strict=True)
        ]


class Drawn(Method):
    """A baseline that draws its map without a network, a look or a listen: the same for every image of a size.

    A subclass lives in `methods/NAME.py` like any method and implements `draw`.

    Attributes:
        reason: why nothing is asked, for the trail.
    """

    segments = False
    listens = False
    reason: ClassVar[str]

    @abstractmethod
    def draw(self, size: tuple[int, int]) -> np.ndarray:
        """Returns (H, W) float32 in [0, 1] for an image of (H, W) pixels."""

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        return [abstain(self.reason, heard="(does not listen)") for _ in samples]

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]:
        """See `Method.predict`."""
        seconds = {"propose": 0.0, "segment": 0.0}
        return [
            Prediction(self.draw(sample.image.shape[:2]), (), {**proposal.trail, "seconds": seconds})
            for sample, proposal in zip(samples, self.propose(samples), strict=True)
        ]
