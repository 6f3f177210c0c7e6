"""The common interface of all connection strategies: samples in, queries out, and the segmenter's map at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, ClassVar

from utils.types import Prediction, Proposal, Sample

__all__ = ["Method"]


class Method(ABC):
    """A connection strategy: turns what is heard, and what is seen, into queries for a segmenter.

    A subclass lives in `methods/NAME.py`, names the roles it needs in `requires`, takes its settings as keyword
    arguments with defaults, and implements `propose`. Nothing else has to be edited: the file name is the method's name
    on the command line.

    Attributes:
        requires: role names (see `models/roles.py`) besides the segmenter, e.g. ("audio_text", "image_captioner").
        models: role name -> loaded model, for every role in `requires` and "segmenter".
    """

    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, models: Mapping[str, Any]) -> None:
        self.models = models

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
