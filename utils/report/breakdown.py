"""How good the methods are on each kind of sample: by scenario and by category of what sounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils.report.blocks import Bullets, Cell, Fold, Header, Paragraph, Section, Subsection, Table
from utils.report.charts import DotChart, Panels
from utils.report.numbers import cell, counted, few, percent, row
from utils.report.verdicts import best_method, methods_that_listen, ranked
from utils.scoring.bootstrap import LEAST_GROUPS

__all__ = ["kinds_section"]


def kinds_section(results: Mapping[str, Any]) -> Section:
    """Scenarios and categories, as far as the data set says which there are."""
    blocks: list[object] = []
    if results["scenarios"]:
        blocks.append(_scenarios(results))
    if results["categories"]:
        blocks.append(_categories(results))
    if not blocks:
        blocks.append(
            Paragraph("The data set has no manifest that says what sounds, so there are no categories and scenarios.")
        )
    return Section("kinds", "Kinds of samples", blocks)


def _scenarios(results: Mapping[str, Any]) -> Subsection:
    scenarios, order = results["scenarios"], ranked(results)
    own = methods_that_listen(results)
    strongest = [name for name in order if name not in own][:1]
    shown = [name for name in order if name in own] + strongest
    charts = [
        DotChart(
            f"{name}: {counted(one['samples'], 'sample')}{_few(one)}",
            [row(method, one["scores"][method]["IoU"], *_looks(one, method in own)) for method in shown],
        )
        for name, one in scenarios.items()
    ]
    return Subsection(
        "scenarios",
        "By scenario",
        [
            Paragraph("Mean IoU (the headline), percent, by how the sample came about."),
            *_overtaken(scenarios, shown, own),
            Panels("Dots with intervals; the hollow diamond is the strongest baseline, which does not listen.", charts),
            Fold("All methods and baselines, by scenario", [_table("scenario", scenarios, order, own)]),
        ],
    )


def _overtaken(scenarios: Mapping[str, Any], shown: list[str], own: list[str]) -> list[object]:
    """Says where a baseline is above all methods that listen."""
    found = []
    for name, one in scenarios.items():
        values = {method: one["scores"][method]["IoU"]["value"] for method in shown}
        values = {method: value for method, value in values.items() if value is not None}
        if not values or not own:
            continue
        top = max(values, key=values.__getitem__)
        if top not in own:
            best = max((value for method, value in values.items() if method in own), default=None)
            found.append(
                f"In {name} the baseline {top} ({percent(values[top])}) is above every method that listens, the "
                f"best of which has {percent(best)}."
            )
    return [Bullets(found)] if found else []


def _categories(results: Mapping[str, Any]) -> Subsection:
    own = methods_that_listen(results)
    order = ranked(results)
    best = best_method(results) or order[0]
    parts = dict(sorted(results["categories"].items(), key=lambda item: _rank(item[1]["scores"][best]["IoU"])))
    unsure = sum(few(one) for one in parts.values())
    said = (
        f"Mean IoU (the headline), percent, of the samples in which a category sounds; {len(parts)} categories, best "
        f"first by {best}. A sample with several sounding categories counts in each of them."
    )
    if unsure:
        said += (
            f" {unsure} of them are hollow and say few: with fewer than {LEAST_GROUPS} independent groups a number is "
            "an anecdote."
        )
    shown = [best, *(name for name in order if name in own and name != best)]
    charts = [_chart(name, parts) for name in shown]
    return Subsection(
        "categories",
        "By category",
        [
            Paragraph(said),
            charts[0],
            *(Fold(f"The same for {name}", [chart]) for name, chart in zip(shown[1:], charts[1:], strict=True)),
            Fold("All categories as a table", [_table("category", parts, shown, own)]),
        ],
    )


def _chart(method: str, parts: Mapping[str, Any]) -> DotChart:
    rows = [
        row(name, one["scores"][method]["IoU"], _look(one), f"n = {one['samples']}{_few(one)}")
        for name, one in parts.items()
    ]
    return DotChart(f"{method}: mean IoU by category, with intervals and the number of samples", rows, dense=True)


def _table(kind: str, parts: Mapping[str, Any], methods: list[str], own: list[str]) -> Table:
    return Table(
        f"Mean IoU by {kind}, percent.",
        [Header(kind), Header("samples"), *(Header(name if name in own else f"({name})") for name in methods)],
        [
            [
                Cell(name),
                Cell(f"{one['samples']}{_few(one)}"),
                *(cell(one["scores"][method]["IoU"]) for method in methods),
            ]
            for name, one in parts.items()
        ],
    )


def _few(part: Mapping[str, Any]) -> str:
    return ", few" if few(part) else ""


def _look(part: Mapping[str, Any]) -> str:
    return "few" if few(part) else "method"


def _looks(part: Mapping[str, Any], listens: bool) -> tuple[str, str]:
    """How a row of a scenario is drawn, and what is said of it."""
    return (_look(part), "") if listens else ("baseline", "does not listen")


def _rank(number: Mapping[str, Any]) -> float:
    return float("inf") if number["value"] is None else -number["value"]
