"""Where the IoU is lost: one bar a method, from what is found to the last kind of error."""

from __future__ import annotations

from typing import Any

from utils.report.elements import Part, ReportedRun, header, listed, percent
from utils.scoring.extent import KINDS

FOUND = ("found", "found", "the mean IoU of the samples with something to find")
TITLES = {
    "nothing": "nothing found",
    "wrong_thing": "wrong thing",
    "other_thing": "another thing as well",
    "missed_part": "a thing missed",
    "too_small": "too small",
    "too_large": "too large",
    "ragged": "ragged outline",
}
NAMING = ("nothing", "wrong_thing", "other_thing", "missed_part")  # errors of which thing


def extent(run: ReportedRun) -> Part | None:
    """Bars, their legend and the same as a table; None where nothing is to be found, or an older run does not say."""
    found = {name: one for name, one in run.results.get("extent", {}).items() if one["samples"]}
    ranked = [name for name in run.ranked if name in found]
    if not ranked:
        return None
    pieces = [FOUND, *((kind, TITLES[kind], meaning) for kind, meaning in KINDS.items())]
    shares = {name: {"found": found[name]["found"], **found[name]["lost"]} for name in ranked}
    return {
        "said": [_said(name, found[name]) for name in ranked if name in run.methods],
        "legend": pieces,
        "terms": [(f"lost-{kind}", title, f"{meaning}.") for kind, title, meaning in pieces],
        "bars": [_bar(name, shares[name], run) for name in ranked],
        "headers": ["method", *(header(title) for _, title, _ in pieces)],
        "rows": [[run.label(name), *(percent(shares[name][kind]) for kind, _, _ in pieces)] for name in ranked],
    }


def _bar(name: str, shares: dict[str, float], run: ReportedRun) -> Part:
    """A bar: pieces of a kind and a length in percent, and all of it in words, for who points at it."""
    pieces = [(kind, round(100 * share, 2)) for kind, share in shares.items() if share > 0]
    told = ", ".join(f"{TITLES.get(kind, kind)} {percent(share)}" for kind, share in shares.items() if share > 0)
    tag = "" if name in run.methods else "does not listen"
    return {"label": name, "tag": tag, "text": percent(shares["found"]), "pieces": pieces, "told": told}


def _said(name: str, one: dict[str, Any]) -> str:
    """What a method loses most to, in a sentence."""
    lost = one["lost"]
    naming = sum(lost[kind] for kind in NAMING)
    extent = sum(lost.values()) - naming
    if naming + extent < 0.0005:
        return f"{name} loses nothing."
    most = sorted((kind for kind in lost if lost[kind] > 0), key=lost.__getitem__, reverse=True)[:2]
    largest = listed([f"{TITLES[kind]} ({percent(lost[kind])})" for kind in most])
    return (
        f"{name} loses {percent(naming + extent)}: {percent(naming)} over which thing, {percent(extent)} over how much "
        f"of it; most to {largest}."
    )
