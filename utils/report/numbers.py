"""Numbers of results.json as a reader sees them: percent with one decimal, their intervals, and rows of a chart.

Conventions:
    number: {"value", "low", "high"} as fractions, any of them None; or {"refused": why}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils.report.blocks import Cell
from utils.report.charts import DotRow
from utils.scoring.bootstrap import LEAST_GROUPS

__all__ = ["NOTHING", "cell", "counted", "few", "interval", "percent", "points", "row"]

NOTHING = "–"  # where there is no number


def percent(value: float | None) -> str:
    """0.6993 -> "69.9"."""
    return NOTHING if value is None else f"{100 * value:.1f}".replace("-0.0", "0.0")


def points(value: float | None) -> str:
    """A difference, with its sign: 0.027 -> "+2.7"."""
    if value is None:
        return NOTHING
    return f"{100 * value:+.1f}" if abs(value) >= 0.0005 else "0.0"


def interval(number: Mapping[str, Any]) -> str:
    """ "63.4 to 76.4"; empty where there is no interval."""
    if number.get("low") is None:
        return ""
    return f"{percent(number['low'])} to {percent(number['high'])}"


def cell(number: Mapping[str, Any], bold: bool = False) -> Cell:
    """A number in a table, its interval below it."""
    if "refused" in number:
        return Cell("hard")
    return Cell(percent(number["value"]), interval(number), bold=bold)


def row(label: str, number: Mapping[str, Any], look: str = "method", tag: str = "") -> DotRow:
    """A number in a chart."""
    note = interval(number) or ("" if number["value"] is None else "no interval")
    return DotRow(label, number["value"], number["low"], number["high"], percent(number["value"]), note, tag, look)


def few(part: Mapping[str, Any]) -> bool:
    """Whether a part of the samples has too few independent groups to be sure of its number."""
    return part["groups"] < LEAST_GROUPS


def counted(number: int, thing: str) -> str:
    """1, "sample" -> "1 sample"; 11000 -> "11,000 samples"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
