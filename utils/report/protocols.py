"""One table for each protocol, its columns told apart as oracle and honest, and what each of them means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils.report.blocks import Cell, Definitions, Fold, Header, Paragraph, Section, Strong, Subsection, Table
from utils.report.numbers import cell
from utils.report.ranking import resolution
from utils.report.verdicts import methods_that_listen, ranked

__all__ = ["protocol_section"]

KINDS = {
    "oracle": "oracle: its threshold is chosen with the ground truth, so no user would get this number",
    "honest": "honest: its threshold does not know the ground truth",
}


def protocol_section(results: Mapping[str, Any]) -> Section:
    """All protocols of the run; those that say nothing about it with the reason."""
    blocks: list[object] = [
        Paragraph(
            f"All tables are made from the same predictions, in percent, compared at {resolution(results)}, with "
            "intervals. A column headed oracle has a threshold that is chosen with the ground truth: no "
            "user would get its number. Names in brackets are baselines, which do not listen. Bold is the best value "
            "among the methods that listen, certain or not."
        )
    ]
    refused = {name: one["refused"] for name, one in results["protocols"].items() if one["refused"]}
    for number, (name, protocol) in enumerate(results["protocols"].items()):
        if name not in refused:
            blocks.append(Subsection(f"protocol-{number}", name, _of_protocol(name, protocol, number, results)))
    if refused:
        blocks.append(
            Subsection(
                "refused",
                "Protocols that say nothing about this run",
                [Paragraph((Strong(name), f": not shown, {reason}.")) for name, reason in refused.items()],
            )
        )
    return Section("protocols", "Tables by protocol", blocks)


def _of_protocol(name: str, protocol: Mapping[str, Any], number: int, results: Mapping[str, Any]) -> list[object]:
    columns = protocol["columns"]
    scores = {method: results["scores"][method][name] for method in ranked(results)}
    own = methods_that_listen(results)
    tops = {column["title"]: _top(column, [scores[method][column["title"]] for method in own]) for column in columns}
    headers = [Header("method")] + [
        Header(one["title"], _remarks(one), f"column-{number}-{i}") for i, one in enumerate(columns)
    ]
    rows = [
        [Cell(method if method in own else f"({method})")]
        + [_cell(scores[method][title], method in own, top) for title, top in tops.items()]
        for method in scores
    ]
    blocks: list[object] = [
        Paragraph(protocol["summary"]),
        Table((f"Protocol {name}, percent, at {resolution(results)}.",), headers, rows),
    ]
    for reason in dict.fromkeys(one["refused"] for of in scores.values() for one in of.values() if "refused" in one):
        blocks.append(Paragraph((Strong("hard"), f": not a number, because {reason}."), "note"))
    if any(one.get("value", 0) is None for of in scores.values() for one in of.values()):
        blocks.append(Paragraph((Strong("–"), ": undefined, there is nothing to take the mean of."), "note"))
    meanings = [
        (f"column-{number}-{i}", one["title"], f"{one['definition']} {_sentence(one)}") for i, one in enumerate(columns)
    ]
    return [*blocks, Fold(f"What the columns of {name} mean", [Definitions(meanings)])]


def _remarks(column: Mapping[str, Any]) -> list[str]:
    lower = ["lower is better"] if column["better"] == "lower" else []
    return [column["kind"], *lower]


def _sentence(column: Mapping[str, Any]) -> str:
    kind = KINDS.get(column["kind"], column["kind"])
    return f"{kind[0].upper()}{kind[1:]}; {column['better']} is better."


def _top(column: Mapping[str, Any], numbers: list[Mapping[str, Any]]) -> float | None:
    """The best value of those that listen; None where it would say nothing."""
    values = [one["value"] for one in numbers if one.get("value") is not None]
    if len(numbers) < 2 or len(set(values)) < 2:
        return None
    return min(values) if column["better"] == "lower" else max(values)


def _cell(number: Mapping[str, Any], listens: bool, top: float | None) -> Cell:
    return cell(number, bold=listens and top is not None and number.get("value") == top)
