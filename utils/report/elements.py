"""What reports are made of: a run with what its numbers say, numbers as a reader sees them, cells, rows and scales.

Conventions:
    number: {"value", "low", "high"} as fractions, any of them None; or {"refused": why}.
    words: a text, or a list of texts and of pieces that stand out: ("strong" or "code", text), ("link", text, id).
    Nothing is escaped here: the templates do that. Positions in charts are percent of the length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils.scoring.bootstrap import LEAST_DRAWS, ROUNDING

TELLING_CONTROLS = ("swap", "offscreen")  # the sound of another thing; the first that was run decides
NOTHING = "–"  # where there is no number

Part = dict[str, Any]  # of a report, as the templates want it
Words = str | list[str | tuple[str, ...]]


@dataclass(frozen=True)
class ControlEffect:
    """What the sound of another thing does to a method.

    Attributes:
        control: the audio control that was looked at.
        before, after: headline with its own and with the other sound, fractions.
        change: results.json's difference of the two with its interval.
        listens: whether the headline falls, with an interval that excludes 0.
        verdict: the method and whether it listens, in words.
    """

    control: str
    before: float
    after: float
    change: Mapping[str, Any]
    listens: bool
    verdict: str


class ReportedRun:
    """The methods of a run by their headline, which is there whichever protocols were asked for.

    Attributes:
        results: what results.json holds, see `utils.runs.results.EvalResults`.
        methods: those that listen, in the order of the run.
        ranked: all methods and baselines, best first, undefined ones last.
        listening, baselines: of those, the ones that listen and the ones that do not.
        best: the best that listens, the first where several are; None where none listens or none has a number.
        tied: all that listen and have the best's number.
        nothing: said where none that listens found anything of what sounds; else empty.
        headline: what it is called, "mean IoU".
        units: how many independent groups there are, "14 images".
        confidence: of the intervals, "95 %".
        has_intervals: whether enough draws were asked for.
    """

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.results = results
        self.methods = [name for name, facts in results["methods"].items() if facts["listens"]]
        self.ranked = self.best_first({name: self.score(name) for name in results["methods"]})
        self.listening = [name for name in self.ranked if name in self.methods]
        self.baselines = [name for name in self.ranked if name not in self.methods]
        scored = [name for name in self.listening if self.score(name)["value"] is not None]
        self.best = next(iter(scored), None)
        self.tied = [one for one in scored if self.score(self.best)["value"] - self.score(one)["value"] <= ROUNDING]
        ious = [row["iou"] for name in self.listening for row in results["samples"][name]["best"][:1]]
        self.nothing = "; nothing that sounds was found" if ious and not any(ious) else ""
        self.headline = f"mean {results['intervals']['headline']['title']}"
        self.units = counted(results["intervals"]["units"], results["intervals"]["unit"])
        self.confidence = f"{100 * results['intervals']['confidence']:.0f} %"
        self.has_intervals = results["intervals"]["draws"] >= LEAST_DRAWS

    @staticmethod
    def best_first(numbers: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """The names of numbers, the highest first, undefined ones last."""
        values = {name: math.inf if one["value"] is None else -one["value"] for name, one in numbers.items()}
        return sorted(values, key=values.__getitem__)

    def score(self, method: str) -> Mapping[str, Any]:
        """A method's headline number with its own sound."""
        return self.results["controls"]["original"][method]["IoU"]

    def label(self, method: str) -> str:
        """A method's name in a table; in brackets where it does not listen."""
        return method if method in self.methods else f"({method})"

    def look(self, method: str, look: str = "method") -> tuple[str, str]:
        """How a method's row of a chart looks, and what is said beside its name."""
        return (look, "") if method in self.methods else ("baseline", "does not listen")

    def difference(self, first: str, second: str) -> Mapping[str, Any] | None:
        """The headline of one method minus that of another on the same samples, whichever way round it was computed.

        A number that also says whether it is "certain", its interval excluding 0; None where there is none.
        """
        for row in self.results["differences"]:
            if {row["first"], row["second"]} == {first, second} and row["value"] is not None:
                if row["first"] == first:
                    return row
                turned = {"first": first, "second": second, "value": 0 - row["value"]}  # 0 - x: no "-0.0" for a tie
                if row["low"] is not None:
                    turned |= {"low": 0 - row["high"], "high": 0 - row["low"]}
                return {**row, **turned}
        return None

    def control_effect(self, method: str) -> ControlEffect | None:
        """What the sound of another thing does to a method; None where no such control was run."""
        controls, before = self.results["controls"], self.score(method)["value"]
        control = next((one for one in TELLING_CONTROLS if method in controls.get(one, ())), None)
        change = controls[control][method]["change"] if control else {"value": None}
        if before is None or change["value"] is None:
            return None
        falls = change["certain"] and change["value"] < 0
        verdict = f"{method} {'listens' if falls else 'does not certainly listen'}"
        if controls["original"][method]["empty"]["value"] == 1:
            verdict = f"{method} finds nothing, so nothing says whether it listens"
        return ControlEffect(control, before, before + change["value"], change, falls, verdict)


def percent(value: float | None) -> str:
    """0.6993 -> "69.9"."""
    return NOTHING if value is None else f"{100 * value:.1f}".replace("-0.0", "0.0")


def points(value: float | None) -> str:
    """A difference, with its sign, "0.0" for none: 0.027 -> "+2.7", 0.0003 -> "+0.03"."""
    if value is None:
        return NOTHING
    if abs(value) <= ROUNDING:
        return "0.0"
    return f"{100 * value:+.1f}" if abs(value) >= 0.0005 else f"{100 * value:+.1g}"


def interval(number: Mapping[str, Any], write: Callable[[float], str] = percent) -> str:
    """ "63.4 to 76.4", of a difference with `points` "-1.2 to +3.4"; empty where there is no interval."""
    return "" if number.get("low") is None else f"{write(number['low'])} to {write(number['high'])}"


def zero(difference: Mapping[str, Any]) -> str:
    """What a difference's interval says of 0, decided on numbers that are not rounded."""
    if difference["low"] is None:
        return "no interval"
    return f"the interval {'excludes' if difference['certain'] else 'includes'} 0"


def top(better: str, numbers: Sequence[Mapping[str, Any]]) -> float | None:
    """The best value of several; None where it would say nothing."""
    values = [one["value"] for one in numbers if one.get("value") is not None]
    if len(numbers) < 2 or len(set(values)) < 2:
        return None
    return min(values) if better == "lower" else max(values)


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def counted(number: int, thing: str) -> str:
    """1, "sample" -> "1 sample"; 11000 -> "11,000 samples"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def header(title: str | Part, remarks: Sequence[str] = (), target: str = "") -> Part:
    """A column's head: its title, remarks below it, the id of its definition. What is one already stays as it is."""
    return title if isinstance(title, dict) else {"title": title, "remarks": remarks, "target": target}


def cell(words: Words | Part, note: str = "", share: float | None = None, bold: bool = False) -> Part:
    """A table's cell: words, a note below them, a bar of this share (0 to 1), bold or not. A cell stays as it is."""
    return words if isinstance(words, dict) else {"words": words, "note": note, "share": share, "bold": bold}


def number_cell(number: Mapping[str, Any], share: float | None = None, bold: bool = False) -> Part:
    """A number in a table, its interval below it."""
    return cell("hard") if "refused" in number else cell(percent(number["value"]), interval(number), share, bold)


def dot(label: str, number: Mapping[str, Any], look: str = "method", tag: str = "") -> Part:
    """A row of a dot chart: a number with its interval, also in words.

    The look is that of a "method", a "baseline" (hollow diamond), "few" samples (hollow dot) or a "bar" from 0.
    """
    note = interval(number) or ("" if number["value"] is None else "no interval")
    return {"label": label, "text": percent(number["value"]), "note": note, "tag": tag, "look": look, **number}


@dataclass(frozen=True)
class Scale:
    """The axis of a chart: from `low` to `high`, both multiples of `step`."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Sequence[float], step: float) -> Scale:
        """The scale that holds 0 and all values; coarser where there would be more than eight steps."""
        least, most = min([0.0, *values]), max([0.0, *values])
        while (most - least) / step > 8:
            step *= 2
        low, high = math.floor(least / step) * step, math.ceil(most / step) * step
        return cls(low, high if high > low else low + step, step)

    def at(self, value: float) -> float:
        """Where a value stands, in percent of the length."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0), 1), 2)

    @property
    def tick(self) -> float:
        """Length of a step in percent."""
        return round(100 * self.step / (self.high - self.low), 4)

    @property
    def ticks(self) -> list[float]:
        """Values that are written at the axis."""
        return [self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)]


PERCENT = Scale(0, 1, 0.25)
