"""What it would cost a method to answer less: J against the sounds of nothing in view that get no answer."""

from __future__ import annotations

import numpy as np

from utils.report.elements import Part, ReportedRun, Scale, number_cell, percent
from utils.scoring.abstaining import REFUSED, first_refusing

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)  # of the negatives refused, in the table


def abstaining(run: ReportedRun) -> Part:
    """The trade-off as lines and as a table, and which methods have no confidence to put a threshold on."""
    found = run.results.get("abstaining", {})
    shown = [name for name in run.ranked if name in found]
    lines, rows = [], []
    for name in shown:
        one, listens = found[name], name in run.methods
        number = sum(line["listens"] is listens for line in lines)  # chooses colour and dashes among its like
        points = list(zip(one["refused"], one["kept"], strict=True))
        lines.append({"name": name, "points": points, "number": number, "listens": listens})
        kept = [percent(one["kept"][first_refusing(np.array(one["refused"]), share)]) for share in SHARES]
        rows.append([run.label(name), percent(one["refused"][0]), number_cell(one["j_lost"]), *kept])
    share, kept_at = f"{100 * REFUSED:.0f} %", [f"J kept at {100 * one:.0f} %" for one in SHARES]
    return {
        "any": bool(shown),
        "kind": found[shown[0]]["kind"] if shown else "",
        "negatives": found[shown[0]]["negatives"] if shown else 0,
        "share": share,
        "silent": [name for name in run.listening if name not in found],
        "lines": lines,
        "height": Scale(0, 1, 0.25),
        "mark": (REFUSED, f"{share} refused"),
        "headers": ["method", "refused as it ran", f"J lost at {share}", *kept_at],
        "rows": rows,
    }
