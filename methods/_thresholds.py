"""Where to put the score below which a method asks for nothing: several rules, and how often each of them errs.

Conventions:
    scores: kind of sound -> (N,) float, N >= 1, one a sample; not-a-number where nothing is asked for whatever the
        threshold (silence, a caption that names nothing). MATCHING sounds are of something in view, no others are.
    threshold: a score below it is refused, one that equals it is not. It is rounded to DIGITS before its rates are
        counted, so that they are those of the number that is printed.
    refused: share of the matching sounds for which nothing is asked. answered: share of another kind for which
        something is. Both are of all samples of the kind: what a user meets, not what a threshold does alone.
    no scores: a kind without any is beyond what a threshold decides, and no rule looks at it.

Reference:
    Silence, noise and off-screen sounds as what one threshold for all has to refuse: Juanola et al., "A Critical
    Assessment of Visual Sound Source Localization Models Including Negative Audio", arXiv 2410.01020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MATCHING = "matching"
DIGITS = 4

Scores = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Rule:
    """A threshold and its error rates, in [0, 1]."""

    threshold: float
    refused: float
    answered: Mapping[str, float]  # kind of sound, but MATCHING -> share


def rules(scores: Scores, never: float, now: float, loses: float) -> dict[str, Rule]:
    """What can be chosen from.

    Args:
        scores: MATCHING and others.
        never: the least threshold, which refuses nothing.
        now: the threshold as it is set.
        loses: share of the matching scores that the rule of that name may refuse, in [0, 1).

    Returns:
        "never" and "now": these.
        "loses": the largest threshold that refuses no more of the matching scores.
        "balanced": of those halfway between two scores, and `never`, the one with the least mean of both error rates,
            `refused` and the mean of `answered`; of several the least.
        "acl_san": ACL-SaN's, the largest of the other kinds' 75th percentiles.
        These three are `never` where there are no scores to tell it.
    """
    known = {kind: of_kind[~np.isnan(of_kind)] for kind, of_kind in scores.items()}
    matching, others = np.sort(known[MATCHING]), [kind for kind in scores if kind != MATCHING and len(known[kind])]
    found = {"never": never, "now": now, "loses": never, "balanced": never, "acl_san": never}
    if len(matching):
        first_kept = matching[math.floor(loses * len(matching) + 1e-9)]
        found["loses"] = math.floor(first_kept * 10**DIGITS) / 10**DIGITS
    if others:
        values = np.unique(np.concatenate(list(known.values())))
        between = np.unique([never, *((values[1:] + values[:-1]) / 2).round(DIGITS)])
        refused = 1 - _answered(scores[MATCHING], between, never)
        answered = np.mean([_answered(scores[kind], between, never) for kind in others], axis=0)
        found["balanced"] = float(between[np.argmin((refused + answered).round(9))])
        found["acl_san"] = round(max(float(np.percentile(known[kind], 75)) for kind in others), DIGITS)
    return {name: _rule(scores, max(threshold, never), never) for name, threshold in found.items()}


def _rule(scores: Scores, threshold: float, never: float) -> Rule:
    answered = {kind: float(_answered(of_kind, threshold, never)) for kind, of_kind in scores.items()}
    return Rule(threshold, 1 - answered.pop(MATCHING), answered)


def _answered(of_kind: np.ndarray, thresholds: float | np.ndarray, never: float) -> np.ndarray:
    """The share of samples that each threshold leaves an answer."""
    known = np.sort(of_kind[~np.isnan(of_kind)])
    below = np.where(np.asarray(thresholds) > never, np.searchsorted(known, thresholds), 0)
    return (len(known) - below) / len(of_kind)
