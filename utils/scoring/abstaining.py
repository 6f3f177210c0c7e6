"""How often nothing is answered where nothing in view sounds, and what a threshold on the confidence costs elsewhere.

Conventions:
    negative: a sound that nothing in view makes, of one of KINDS. Negatives are the samples with empty ground truth
        and, of the others, what the audio controls of these names make of them, with the ground truth empty too.
    confidence: see `SampleScores`; a threshold refuses what is below it, not what equals it. Answers that are empty
        whatever the threshold, because nothing was asked or nothing found, have not-a-number.
    level: the number of `thresholds` that a confidence reaches; 0 for an empty answer.

One set of predictions holds all thresholds above the one that it was made with. The curve of the share of J that is
kept against the negatives that are refused is that of open-set recognition (OSCR), with IoU for correctness.

References:
    N-acc: C. Liu et al.: GRES: Generalized Referring Expression Segmentation, CVPR 2023, arXiv 2306.00968.
    Silence, noise and off-screen sounds: X. Juanola et al., arXiv 2410.01020.
    OSCR: A. R. Dhamija et al.: Reducing Network Agnostophobia, NeurIPS 2018, arXiv 1811.04110.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from utils.scoring.columns import Group, Statistic
from utils.scoring.sample_scores import SampleScores
from utils.types import Entry

KINDS = (SILENCE, NOISE, OFFSCREEN, OTHER) = ("silence", "noise", "offscreen", "other")
KIND_OF = {"silent": SILENCE, "silence": SILENCE, "noise": NOISE, "offscreen": OFFSCREEN}  # a blank sample's scenario
REFUSED = 0.8  # share of the negatives at which a method's J is read
STEPS = 200  # thresholds at most


@dataclass(frozen=True, eq=False, slots=True)
class Judged(SampleScores):
    """The scores of an answer; `kind` is one of KINDS where nothing in view sounds, else "", `level` see above."""

    kind: str = ""
    level: int = 0


@dataclass(frozen=True, eq=False)
class Confrontation:
    """Every method's answers to the samples as they are, and after them to negatives made of them by audio controls.

    Attributes:
        answers: method -> N samples and M further negatives.
        groups: positions of the answers, by group of samples.
        kinds: of the negatives among them, in the order of KINDS.
        thresholds: method -> (T,) ascending; without those whose answers all have one confidence.
    """

    answers: Mapping[str, Sequence[Judged]]
    groups: Sequence[Sequence[int]]
    kinds: Sequence[str]
    thresholds: Mapping[str, np.ndarray]


def passing(
    confidences: Sequence[float], thresholds: Sequence[float], worth: Sequence[float] | None = None
) -> np.ndarray:
    """What each threshold lets through: (T,) float, the sum of `worth`, 1 each if None; never what is not a number."""
    confidences = np.asarray(confidences, float)
    worth = np.ones(len(confidences)) if worth is None else np.asarray(worth, float)
    known = ~np.isnan(confidences)
    order = np.argsort(confidences[known], kind="stable")
    below = np.concatenate([[0.0], np.cumsum(worth[known][order])])
    return below[-1] - below[np.searchsorted(confidences[known][order], thresholds)]


def first_refusing(refused: np.ndarray, share: float = REFUSED) -> np.ndarray:
    """(..., T) shares that ascend -> (...) int: the first position with at least `share`, which the last has."""
    return np.argmax(refused >= share - 1e-9, axis=-1)


def confront(
    answers: Mapping[str, Mapping[str, Sequence[SampleScores]]],
    entries: Sequence[Entry],
    groups: Sequence[Sequence[int]],
) -> Confrontation:
    """Puts together what was answered where nothing in view sounds, and elsewhere.

    Args:
        answers: control -> method -> the scores of every sample; methods that do not listen have the original only.
        entries: of the samples.
        groups: positions of the samples.
    """
    original = answers["original"]
    blank = [one.gt_empty for one in next(iter(original.values()))]
    kinds = [KIND_OF.get(entry.scenario, OTHER) if empty else "" for entry, empty in zip(entries, blank, strict=True)]
    further = [(kind, i) for kind in KINDS if kind in answers for i, empty in enumerate(blank) if not empty]
    copies: dict[int, list[int]] = {}
    for place, (_, i) in enumerate(further, len(kinds)):
        copies.setdefault(i, []).append(place)
    found, thresholds = {}, {}
    for method, own in original.items():
        heard = [(one, kind) for one, kind in zip(own, kinds, strict=True)]
        heard += [(answers[control].get(method, own)[i], control) for control, i in further]
        sure = [one.confidence for one, _ in heard if one.confidence is not None and not one.prediction_empty]
        steps = _steps(sure)
        if len(steps) > 1:
            thresholds[method] = steps
        found[method] = [_judged(one, kind, steps) for one, kind in heard]
    present = {*kinds, *(kind for kind, _ in further)}
    return Confrontation(
        found,
        [[*group, *(place for i in group for place in copies.get(i, ()))] for group in groups],
        [kind for kind in KINDS if kind in present],
        thresholds,
    )


def _steps(confidences: Sequence[float]) -> np.ndarray:
    """(T,) the distinct confidences, or STEPS of them that cut the answers into parts of about the same size."""
    values = np.unique(np.asarray(confidences, float))
    if len(values) <= STEPS:
        return values
    return np.unique(np.quantile(confidences, np.linspace(0, 1, STEPS), method="lower"))


def _judged(one: SampleScores, kind: str, steps: np.ndarray) -> Judged:
    values = {field.name: getattr(one, field.name) for field in fields(SampleScores)}
    if kind:
        values["foreground"] = 0
    asked = len(steps) > 1 and one.confidence is not None and not one.prediction_empty
    return Judged(**values, kind=kind, level=int(np.searchsorted(steps, one.confidence, "right")) if asked else 0)


def hardest(kinds: Sequence[str]) -> str:
    """The kind that thresholds are judged by: sounds of things off screen, which alone are like those in view."""
    return OFFSCREEN if OFFSCREEN in kinds else kinds[-1]


def j_lost(kind: str) -> Statistic:
    """Share of J lost at the least threshold that refuses REFUSED of a kind's negatives; NaN without confidences."""

    def value(totals: np.ndarray) -> np.ndarray:
        number, negatives, matching = np.split(totals, [1, STEPS + 2], axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            at = first_refusing(1 - negatives / number)
            return 1 - np.take_along_axis(matching, at[..., None], -1)[..., 0] / matching[..., 0]

    return lambda group: np.concatenate(_passed(group, kind), axis=None), value


def _passed(group: Group, kind: str) -> tuple[int, np.ndarray, np.ndarray]:
    """The number of a kind's negatives; how many of them, and how much J, pass at levels 1 to STEPS + 1."""
    levels = np.arange(1, STEPS + 2)
    negatives = [one.level for one in group if one.kind == kind]
    matching = [one for one in group if not one.gt_empty]
    kept = passing([one.level for one in matching], levels, [one.iou_fixed for one in matching])
    return len(negatives), passing(negatives, levels), kept


def curves(found: Confrontation) -> dict[str, Any]:
    """The trade-off of every method that has confidences: shares of one kind's negatives refused, and of J kept.

    Returns:
        method -> {"kind", "negatives" (their number), "refused", "kept", "thresholds"}, the latter three from the
        threshold that the predictions were made with, which keeps all J, to the one that refuses everything (null).
    """
    lines = {}
    for method, thresholds in found.thresholds.items() if found.kinds else ():
        kind, size = hardest(found.kinds), len(thresholds) + 1
        number, negatives, matching = _passed(found.answers[method], kind)
        if matching[0] > 0:
            refused, kept = 1 - negatives[:size] / number, matching[:size] / matching[0]
            shares: dict[str, list] = {"refused": refused.tolist(), "kept": kept.tolist()}
            shares["thresholds"] = [*map(float, thresholds), None]
            lines[method] = {"kind": kind, "negatives": number, **shares}
    return lines
