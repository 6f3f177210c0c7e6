"""Where to put the score below which a method asks for nothing: several rules, and how often each of them errs.

Conventions:
    scores: kind of sound -> (N,) float, N >= 1, one a sample; not-a-number where nothing is asked for whatever the
        threshold (silence, a caption that names nothing). MATCHING sounds are of something in view, no others are.
    threshold: a score below it is refused, one that equals it is not. It is rounded to DIGITS before its rates are
        counted, so that they are those of the number that is printed.
    refused: share of the matching sounds for which nothing is asked. answered: share of another kind for which
        something is. Both are of all samples of the kind: what a user meets, not what a threshold does alone.
    no scores: a kind without any is beyond what a threshold decides, and no rule looks at it.
    rules: name -> Rule, in the order in which they are printed.

Reference:
    Silence, noise and off-screen sounds as what one threshold for all has to refuse: Juanola et al., "A Critical
    Assessment of Visual Sound Source Localization Models Including Negative Audio", arXiv 2410.01020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from utils.scoring.abstaining import REFUSED, first_refusing, hardest, passing

MATCHING = "matching"
DIGITS = 4
CHOICES = ("loses", "balanced", "refuses", "acl_san")  # the rules that choose a threshold
NOTES = """\
scored: sounds that would be asked about if nothing were refused; about the others nothing is asked anyway (too quiet,
or there is nothing to ask for). balanced: the least mean of both error rates. ACL-SaN: the largest of the 75th
percentiles of silence, noise and offscreen. A method that does not look at the image cannot know what is off-screen.
{folder} is no longer a test set: report scores on other samples."""

Scores = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Rule:
    """A threshold, in words how it was chosen, and its error rates, in [0, 1]."""

    title: str
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
        "balanced": of those halfway between two scores, `never`, and just above all scores, the one with the least mean
            of both error rates, `refused` and the mean of `answered`; of several the least.
        "refuses": of the same, the least that refuses REFUSED of offscreen, or of the last other kind without it.
        "acl_san": ACL-SaN's, the largest of the other kinds' 75th percentiles.
        These four are `never` where there are no scores to tell it.
    """
    known = {kind: of_kind[~np.isnan(of_kind)] for kind, of_kind in scores.items()}
    matching, others = np.sort(known[MATCHING]), [kind for kind in scores if kind != MATCHING and len(known[kind])]
    found = {"never": never, "now": now, "loses": never, "balanced": never, "refuses": never, "acl_san": never}
    last = hardest(others) if others else "others"
    if len(matching):
        first_kept = matching[math.floor(loses * len(matching) + 1e-9)]
        found["loses"] = math.floor(first_kept * 10**DIGITS) / 10**DIGITS
    if others:
        values = np.unique(np.concatenate(list(known.values())))
        all_of_them = math.floor(values[-1] * 10**DIGITS + 1) / 10**DIGITS
        between = np.unique([never, *((values[1:] + values[:-1]) / 2).round(DIGITS), max(all_of_them, never)])
        refused = 1 - _answered(scores[MATCHING], between, never)
        answered = np.mean([_answered(scores[kind], between, never) for kind in others], axis=0)
        found["balanced"] = float(between[np.argmin((refused + answered).round(9))])
        found["refuses"] = float(between[first_refusing(1 - _answered(scores[last], between, never))])
        found["acl_san"] = round(max(float(np.percentile(known[kind], 75)) for kind in others), DIGITS)
    chosen = f"loses at most {_percent(loses)} of the matching"
    titles = ("never refuses", "as it is set", chosen, "balanced", f"refuses {_percent(REFUSED)} of {last}", "ACL-SaN")
    return {
        name: _rule(title, scores, max(threshold, never), never)
        for title, (name, threshold) in zip(titles, found.items(), strict=True)
    }


def as_tables(scores: Scores, of_method: Mapping[str, Rule]) -> str:
    """How the scores lie, and what each rule makes of them."""
    lines = [f"{'sound':<12}{'samples':>8}{'scored':>8}{'median':>10}   5th to 95th percentile"]
    for kind, of_kind in scores.items():
        known = of_kind[~np.isnan(of_kind)]
        row = f"{kind:<12}{len(of_kind):>8}{len(known):>8}"
        if len(known):
            low, median, high = np.percentile(known, (5, 50, 95))
            row += f"{median:>10.3f}   {low:.3f} to {high:.3f}"
        lines.append(row)
    others = [kind for kind in scores if kind != MATCHING]
    width = max(len(rule.title) for rule in of_method.values())
    lines += ["", f"{'':<{width}}{'':>12}{'matching':>12}   still answered"]
    lines += [f"{'rule':<{width}}{'threshold':>12}{'refused':>12}" + "".join(f"{kind:>12}" for kind in others)]
    for rule in of_method.values():
        shares = [_percent(share) for share in (rule.refused, *(rule.answered[kind] for kind in others))]
        lines.append(f"{rule.title:<{width}}" + "".join(f"{cell:>12}" for cell in (rule.threshold, *shares)))
    return "\n".join(lines)


def as_yaml(setting: str, rule: Rule, rests_on: str) -> str:
    """The lines for a config, NAME.KEY and what they rest on."""
    name, key = setting.split(".")
    answered = ", ".join(f"{_percent(share)} of {kind}" for kind, share in rule.answered.items())
    return f"""\
  {name}:
    # measured on {rests_on}, by the rule: {rule.title}
    # refuses {_percent(rule.refused)} of them, answers {answered}
    {key}: {rule.threshold}"""


def _rule(title: str, scores: Scores, threshold: float, never: float) -> Rule:
    answered = {kind: float(_answered(of_kind, threshold, never)) for kind, of_kind in scores.items()}
    return Rule(title, threshold, 1 - answered.pop(MATCHING), answered)


def _answered(of_kind: np.ndarray, thresholds: float | np.ndarray, never: float) -> np.ndarray:
    """The share of samples that each threshold leaves an answer."""
    thresholds = np.asarray(thresholds)
    return passing(of_kind, np.where(thresholds > never, thresholds, -np.inf)) / len(of_kind)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
