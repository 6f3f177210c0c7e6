"""What the numbers of a run say: which method is best, how certain that is, and whether a method listens.

Shown by the terminal (`utils.report.terminal`) and by the report (`utils.report`); numbers are those of results.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Comparison",
    "Hearing",
    "against",
    "best_method",
    "headline",
    "hearing",
    "listening",
    "methods_that_listen",
    "ranked",
    "verdicts",
]

TELLING_CONTROLS = ("swap", "offscreen")  # the sound of another thing; the first that was run decides


@dataclass(frozen=True)
class Comparison:
    """The headline of one method minus that of another, on the same samples.

    Attributes:
        first, second: names of the methods.
        value, low, high: fractions; low and high are None where there is no interval.
        certain: whether the interval leaves out 0.
    """

    first: str
    second: str
    value: float
    low: float | None
    high: float | None
    certain: bool


@dataclass(frozen=True)
class Hearing:
    """What the sound of another thing does to a method.

    Attributes:
        method: its name.
        control: the audio control that was looked at.
        before, after: headline with its own and with the other sound, fractions.
        change: results.json's difference of the two with its interval.
        listens: whether the headline certainly falls.
    """

    method: str
    control: str
    before: float
    after: float
    change: Mapping[str, Any]
    listens: bool


def methods_that_listen(results: Mapping[str, Any]) -> list[str]:
    """All methods but the baselines, in the order of the run."""
    return [name for name, facts in results["methods"].items() if facts["listens"]]


def headline(method: str, results: Mapping[str, Any]) -> Mapping[str, Any]:
    """A method's headline number with its own sound; it is there whichever protocols were asked for."""
    return results["controls"]["original"][method]["IoU"]


def ranked(results: Mapping[str, Any]) -> list[str]:
    """All methods and baselines by their headline, best first; undefined ones last."""

    def rank(method: str) -> float:
        value = headline(method, results)["value"]
        return float("inf") if value is None else -value

    return sorted(results["methods"], key=rank)


def best_method(results: Mapping[str, Any]) -> str | None:
    """The method that listens and has the highest headline; None where none listens or none has a number."""
    own = methods_that_listen(results)
    return next(
        (name for name in ranked(results) if name in own and headline(name, results)["value"] is not None), None
    )


def against(first: str, second: str, results: Mapping[str, Any]) -> Comparison | None:
    """The difference of two methods, whichever way round results.json has it; None where it has none."""
    for row in results["differences"]:
        if {row["first"], row["second"]} == {first, second} and row["value"] is not None:
            low, high = row["low"], row["high"]
            if row["first"] == first:
                return Comparison(first, second, row["value"], low, high, row["certain"])
            turned = (None, None) if low is None else (0 - high, 0 - low)  # 0 - x: no "-0.0" for a tie
            return Comparison(first, second, 0 - row["value"], *turned, row["certain"])
    return None


def hearing(method: str, results: Mapping[str, Any]) -> Hearing | None:
    """What the sound of another thing does to a method; None where no such control was run."""
    control = next((one for one in TELLING_CONTROLS if method in results["controls"].get(one, ())), None)
    before = headline(method, results)["value"]
    if control is None or before is None:
        return None
    change = results["controls"][control][method]["change"]
    if change["value"] is None:
        return None
    falls = bool(change["certain"]) and change["value"] < 0
    return Hearing(method, control, before, before + change["value"], change, falls)


def verdicts(results: Mapping[str, Any]) -> list[str]:
    """Sentences for a terminal: which method is best and how certain that is, and which methods listen."""
    sentences = []
    best = best_method(results)
    if best is not None:
        title = results["intervals"]["headline"]["title"]
        sentences.append(f"best: {best}, {title} {100 * headline(best, results)['value']:.1f}")
        sentences += [f"      {_said(best, other, results)}" for other in ranked(results) if other != best]
    found = (listening(name, results) for name in methods_that_listen(results))
    return sentences + [sentence for sentence in found if sentence]


def listening(method: str, results: Mapping[str, Any]) -> str | None:
    """Whether a method listens, in a sentence; None where no control tells."""
    found = hearing(method, results)
    if found is None:
        return None
    numbers = f"IoU {100 * found.before:.1f} -> {100 * found.after:.1f} under {found.control} {_interval(found.change)}"
    return f"{method} {'listens' if found.listens else 'does not certainly listen'}: {numbers}"


def _said(best: str, other: str, results: Mapping[str, Any]) -> str:
    found = against(best, other, results)
    if found is None:
        return f"no difference to {other} was computed"
    interval = _interval({"low": found.low, "high": found.high})
    return f"{100 * found.value:+.1f} against {other} {interval}: {'certain' if found.certain else 'not certain'}"


def _interval(number: Mapping[str, Any]) -> str:
    if number["low"] is None:
        return "(no interval)"
    return f"[{100 * number['low']:.1f}, {100 * number['high']:.1f}]"
