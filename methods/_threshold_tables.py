"""What `python -m methods.calibrate` says of what it measured: tables, the lines for a config, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from methods._thresholds import MATCHING, Rule

RULES = {"loses": "loses at most {} of the matching", "balanced": "balanced", "acl_san": "ACL-SaN"}
TITLES = {"never": "never refuses", "now": "as it is set", **RULES}
NOTES = """\
scored: sounds that would be asked about if nothing were refused; about the others nothing is asked anyway (too quiet,
or there is nothing to ask for). balanced: the least mean of both error rates. ACL-SaN: the largest of the 75th
percentiles of silence, noise and offscreen. A method that does not look at the image cannot know what is off-screen.
{folder} is no longer a test set: report scores on other samples."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured of one method.

    Attributes:
        setting: of the method, the one to be set.
        scores, rules, loses: see `methods._thresholds.rules`.
    """

    setting: str
    scores: Mapping[str, np.ndarray]
    rules: Mapping[str, Rule]
    loses: float

    def title(self, rule: str) -> str:
        """A rule in words."""
        return TITLES[rule].format(percent(self.loses))


def as_tables(calibration: Calibration) -> str:
    """How the scores lie, and what each rule makes of them."""
    lines = [f"{'sound':<12}{'samples':>8}{'scored':>8}{'median':>10}   5th to 95th percentile"]
    for kind, scores in calibration.scores.items():
        known = scores[~np.isnan(scores)]
        row = f"{kind:<12}{len(scores):>8}{len(known):>8}"
        if len(known):
            low, median, high = np.percentile(known, (5, 50, 95))
            row += f"{median:>10.3f}   {low:.3f} to {high:.3f}"
        lines.append(row)
    others = [kind for kind in calibration.scores if kind != MATCHING]
    width = max(len(calibration.title(name)) for name in calibration.rules)
    lines += ["", f"{'':<{width}}{'':>12}{'matching':>12}   still answered"]
    lines += [f"{'rule':<{width}}{'threshold':>12}{'refused':>12}" + "".join(f"{kind:>12}" for kind in others)]
    for name, rule in calibration.rules.items():
        shares = [percent(share) for share in (rule.refused, *(rule.answered[kind] for kind in others))]
        cells = "".join(f"{cell:>12}" for cell in (str(rule.threshold), *shares))
        lines.append(f"{calibration.title(name):<{width}}{cells}")
    return "\n".join(lines)


def as_yaml(found: Mapping[str, Calibration], rule: str, folder: Path) -> str:
    """The lines for a config, with what they rest on; `found` by method."""
    lines = ["methods:"]
    for name, calibration in found.items():
        chosen, number = calibration.rules[rule], len(calibration.scores[MATCHING])
        answered = ", ".join(f"{percent(share)} of {kind}" for kind, share in chosen.answered.items())
        lines += [
            f"  {name}:",
            f"    # measured on {folder}, {number} matching sounds, by the rule: {calibration.title(rule)}",
            f"    # refuses {percent(chosen.refused)} of them, answers {answered}",
            f"    {calibration.setting}: {chosen.threshold}",
        ]
    return "\n".join(lines)


def as_json(calibration: Calibration) -> dict[str, Any]:
    """Everything; None for not-a-number."""
    scores = {kind: [None if np.isnan(one) else one for one in of.tolist()] for kind, of in calibration.scores.items()}
    rules = {name: asdict(rule) for name, rule in calibration.rules.items()}
    return {"setting": calibration.setting, "scores": scores, "loses": calibration.loses, "rules": rules}


def percent(share: float) -> str:
    """A share in print."""
    return f"{100 * share:.0f} %"
