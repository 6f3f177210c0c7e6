"""Regions: no words at all; what in the picture fits the sound, in a space that both share.

A segmenter proposes regions without being asked for anything, the audio-text encoder says how well each fits the sound,
and the best are united. So of two things that one word would name, the one that fits the sound better can be chosen.

    score(r) = match(sound, r) + w log(area of r) + log(mean of its map inside r)

A part of a thing, its head, often fits as well as the whole; w prefers the whole. The last term is how sure the
segmenter is of the region. The best one is taken, and others apart from it that are within a margin. The defaults were
chosen on scenes of Stamps-AVS's train split.

Reference:
    None; regions named by what they share an embedding with, as Liang et al., "Open-Vocabulary Semantic Segmentation
    with Mask-adapted CLIP", CVPR 2023, with a sound for the word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from methods.base import Method, sounds_of, unless_silent
from utils.cli import LEVEL, NOT_NEGATIVE, SHARE, at_least
from utils.media.sounds import SILENCE_DB
from utils.trails import abstain, candidates
from utils.types import Proposal, Sample

SHOWN = 6  # regions in the trail
NOT_CHOSEN = 0.49  # the most that a region that was not chosen has: no mask at 0.5, but an order of the pixels
HEARD = "a sound, which is compared without words"
REASON = "no words are asked for: the best regions themselves are the answer"


@dataclass(frozen=True, eq=False)
class Found(Proposal):
    """A proposal that is an answer.

    Attributes:
        score_map: (H, W) float32 in [0, 1].
    """

    score_map: np.ndarray | None = None


class Regions(Method):
    """Image -> regions -> how well each fits the sound -> the best, united.

    Args:
        models: "audio_text" with `match_regions` and "segmenter" with `propose_regions`, see `models/roles.py`.
        area_weight: w, what the logarithm of a region's share of the image counts beside its match.
        max_regions: how many are united at most.
        margin: one whose score is this far below the best, or further, is not.
        max_overlap: nor is one that shares more than this part of the smaller one with one that is.
        silence_db: dBFS; a sound that never rises above it is silent.

    The trail's candidates are regions by place and size, with their part of all odds.

    Raises:
        UserError: a network of the config cannot do this; it says which can.
    """

    requires = ("audio_text", "segmenter")
    segments = False

    def __init__(
        self,
        models: Mapping[str, Any],
        *,
        area_weight: Annotated[float, NOT_NEGATIVE] = 0.5,
        max_regions: Annotated[int, at_least(1)] = 2,
        margin: Annotated[float, NOT_NEGATIVE] = 0.5,
        max_overlap: Annotated[float, SHARE] = 0.3,
        silence_db: Annotated[float, LEVEL] = SILENCE_DB,
    ) -> None:
        super().__init__(models)
        self.area_weight, self.max_regions, self.margin = area_weight, max_regions, margin
        self.max_overlap, self.silence_db = max_overlap, silence_db
        models["audio_text"].match_regions([], [], [], [])  # refused now where they cannot
        models["segmenter"].propose_regions([])

    def propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        """See `Method.propose`."""
        return unless_silent(samples, self.silence_db, self._propose)

    def make_maps(self, samples: Sequence[Sample], proposals: Sequence[Proposal]) -> list[np.ndarray]:
        """See `Method.make_maps`; nothing where nothing was found."""
        found = (getattr(proposal, "score_map", None) for proposal in proposals)
        nothing = (np.zeros(sample.image.shape[:2], np.float32) for sample in samples)
        return [empty if own is None else own for own, empty in zip(found, nothing, strict=True)]

    def _propose(self, samples: Sequence[Sample]) -> list[Proposal]:
        return [self._find(sample) for sample in samples]  # one image's regions in memory at a time

    def _find(self, sample: Sample) -> Proposal:
        [regions] = self.models["segmenter"].propose_regions([sample.image])  # (R, H, W)
        if not len(regions):
            return abstain("nothing in view stands out as a region", heard=HEARD, seen="")
        [match] = self.models["audio_text"].match_regions(*sounds_of([sample]), [sample.image], [regions])
        inside = regions > 0.5
        areas = inside.mean((1, 2))
        sureness = (inside * regions).mean((1, 2)) / areas
        scores = match + self.area_weight * np.log(areas) + np.log(sureness)
        chosen = self._choose(scores, inside)
        odds = np.exp(scores - scores.max())
        weights = NOT_CHOSEN * odds
        weights[chosen] = 1
        score_map = (weights[:, None, None] * regions).max(0).astype(np.float32)
        places = [_place(one) for one in inside]
        weighed = candidates(places, odds / odds.sum())[:SHOWN]
        further = {"regions": len(regions), "taken": "; ".join(places[i] for i in chosen)}
        trail = abstain(REASON, heard=HEARD, seen=f"{len(regions)} regions", candidates=weighed, **further).trail
        return Found((), trail, score_map)

    def _choose(self, scores: np.ndarray, inside: np.ndarray) -> list[int]:
        """Which of the regions, (R,) float and (R, H, W) bool, are taken, best first."""
        chosen: list[int] = []
        for i in np.argsort(-scores, kind="stable"):
            if len(chosen) == self.max_regions or scores[i] < scores.max() - self.margin:
                break
            if all(_overlap(inside[i], inside[j]) <= self.max_overlap for j in chosen):
                chosen.append(int(i))
        return chosen


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """What two regions share, as a part of the smaller one."""
    return float((one & other).sum() / min(one.sum(), other.sum()))


def _place(inside: np.ndarray) -> str:
    """A region's place and size in words: "upper left, 12 %"."""
    rows, columns = (indices.mean() / side for indices, side in zip(np.nonzero(inside), inside.shape, strict=True))
    where = (("upper", "", "lower")[min(int(3 * rows), 2)], ("left", "middle", "right")[min(int(3 * columns), 2)])
    return f"{' '.join(filter(None, where))}, {100 * inside.mean():.0f} %"
