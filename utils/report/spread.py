"""How answers spread: the IoU of each sample, at each threshold, and by the confidence it was given with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from utils.report.blocks import Cell, ChartTable, Fold, Header, Paragraph, Section, Subsection, Table
from utils.report.charts import Curves, DotChart, DotRow, Histogram, Line, Panels, Scale
from utils.report.numbers import NOTHING, counted, percent
from utils.report.verdicts import methods_that_listen, ranked

__all__ = ["spread_section"]

HEIGHTS = "Each picture has its own height; blue bars are the samples with an IoU of at least 50."


def spread_section(results: Mapping[str, Any]) -> Section:
    """Histograms, threshold curves and reliability."""
    return Section("spread", "How answers spread", [_histograms(results), _thresholds(results), _reliability(results)])


def _histograms(results: Mapping[str, Any]) -> Subsection:
    own = methods_that_listen(results)
    order = [name for name in ranked(results) if name in results["histograms"]]
    shown = [name for name in order if name in own]
    if not any(sum(one["counts"]) for one in results["histograms"].values()):
        return Subsection("ious", "IoU of single samples", [Paragraph("No sample has anything to find.")])
    charts = {name: _histogram(name, results["histograms"][name]) for name in order}
    baselines = [charts[name] for name in order if name not in shown]
    blocks: list[object] = [
        Paragraph(
            "How many samples have which IoU at the fixed threshold, among those with something to find. A heap at the "
            "left is things missed altogether; a mean says nothing of it."
        )
    ]
    blocks += [Panels(HEIGHTS, [charts[name] for name in shown])] if shown else []
    blocks += [Fold("The same for the baselines", [Panels(HEIGHTS, baselines)])] if baselines else []
    return Subsection("ious", "IoU of single samples", blocks)


def _histogram(name: str, one: Mapping[str, Any]) -> Histogram:
    counts, edges = one["counts"], one["edges"]
    right = sum(count for count, edge in zip(counts, edges[:-1], strict=True) if edge >= 0.5)
    said = (
        f"{right} of {sum(counts)} have an IoU of at least 50; {counts[0]} of {sum(counts)} are below "
        f"{percent(edges[1])}. The highest bar is {max(counts)}."
    )
    return Histogram(name, edges, counts, said)


def _thresholds(results: Mapping[str, Any]) -> Subsection:
    curves, own = results["curves"], methods_that_listen(results)
    order = [name for name in ranked(results) if name in curves]
    used = results["measurement"]["threshold"]
    grid = curves[order[0]]["thresholds"]
    nearest = min(range(len(grid)), key=lambda i: abs(grid[i] - used))
    near = f"at {grid[nearest]:g}" + ("" if abs(grid[nearest] - used) < 1e-9 else f", the nearest to {used:g}")
    kinds = [[name for name in order if name in own], [name for name in order if name not in own]]
    numbers = {name: i for kind in kinds for i, name in enumerate(kind)}
    lines = [
        Line(
            name,
            list(zip(curves[name]["thresholds"], curves[name]["iou"], strict=True)),
            numbers[name],
            name not in own,
        )
        for name in order
    ]
    rows = []
    for name in order:
        ious = curves[name]["iou"]
        best = max(range(len(ious)), key=ious.__getitem__)
        rows.append(
            [
                Cell(name if name in own else f"({name})"),
                Cell(percent(ious[nearest])),
                Cell(percent(ious[best])),
                Cell(f"{grid[best]:g}"),
            ]
        )
    top = max(value for one in curves.values() for value in one["iou"])
    return Subsection(
        "thresholds",
        "IoU at every fixed threshold",
        [
            Paragraph(
                "Mean IoU of all samples if another fixed threshold had been used; samples with nothing to find count "
                "0 here, as in column J, so this lies below the headline wherever there are such samples. A flat line "
                "means that the threshold hardly matters."
            ),
            Curves(
                "Mean IoU in percent at fixed thresholds from 0 to 0.95.",
                ("threshold", Scale(0, 1, 0.25)),
                ("mean IoU", Scale.around([top], 0.1)),
                lines,
                (used, f"{used:g}, the threshold that was used"),
            ),
            Table(
                "Where each method would have been best; that choice knows the ground truth, so it is an oracle.",
                [Header("method"), Header(near), Header("best", ("oracle",)), Header("at threshold")],
                rows,
            ),
            Fold(
                "All thresholds as a table",
                [
                    Table(
                        "Mean IoU in percent by threshold.",
                        [Header("threshold"), *(Header(name if name in own else f"({name})") for name in order)],
                        [
                            [Cell(f"{threshold:g}"), *(Cell(percent(curves[name]["iou"][i])) for name in order)]
                            for i, threshold in enumerate(grid)
                        ],
                    )
                ],
            ),
        ],
    )


def _reliability(results: Mapping[str, Any]) -> Subsection:
    found, own = results["reliability"], methods_that_listen(results)
    order = [name for name in ranked(results) if name in found]
    silent = [name for name in ranked(results) if name in own and name not in found]
    blocks: list[object] = [
        Paragraph(
            "A method's confidence is the score of its best query; an answer is right where its IoU is at least 50, "
            "or where it is empty and nothing is to be found. Answers are sorted by confidence and cut into parts of "
            "about the same size."
        )
    ]
    if order:
        charts = [_bins(name, found[name]["bins"]) for name in order]
        blocks.append(Panels("If confidence means something, the bars grow from top to bottom.", charts))
        blocks += [ChartTable(_bins_table(order, found)), _aurocs(order, found)]
        blocks.append(
            Paragraph(
                "AUROC for right: how often a right answer has a higher confidence than a wrong one; 50 is chance, 100 "
                "perfect. AUROC for in view: the same for samples with something to find against those with nothing; "
                f"{NOTHING} where only one of the two kinds was asked about.",
                "note",
            )
        )
    if silent:
        said = f"No confidence to judge for {', '.join(silent)}: all answers have the same one, or too few were asked."
        blocks.append(Paragraph(said))
    return Subsection("reliability", "Does a method know when it is right?", blocks)


def _bins(name: str, bins: Sequence[Mapping[str, Any]]) -> DotChart:
    rows = [
        DotRow(
            f"{one['low']:.2f} to {one['high']:.2f}",
            one["right"],
            None,
            None,
            percent(one["right"]),
            tag=f"n = {one['samples']}",
            look="bar",
        )
        for one in bins
    ]
    return DotChart(f"{name}: share of right answers by confidence", rows, dense=True)


def _bins_table(order: Sequence[str], found: Mapping[str, Any]) -> Table:
    rows, starts = [], set()
    for name in order:
        starts.add(len(rows))
        for one in found[name]["bins"]:
            between = f"{one['low']:.2f} to {one['high']:.2f}"
            rows.append([Cell(name), Cell(between), Cell(str(one["samples"])), Cell(percent(one["right"]))])
    headers = [Header("method"), Header("confidence"), Header("samples"), Header("right")]
    return Table("Share of right answers by confidence, in percent.", headers, rows, starts=frozenset(starts))


def _aurocs(order: Sequence[str], found: Mapping[str, Any]) -> Table:
    return Table(
        "Whether confidence tells right from wrong, in percent; without intervals.",
        [Header("method"), Header("asked"), Header("AUROC for right"), Header("AUROC for in view")],
        [
            [
                Cell(name),
                Cell(f"{found[name]['asked']:,} of {counted(found[name]['samples'], 'sample')}"),
                Cell(percent(found[name]["auroc_right"])),
                Cell(percent(found[name]["auroc_in_view"])),
            ]
            for name in order
        ],
    )
