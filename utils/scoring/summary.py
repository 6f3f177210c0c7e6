"""From the scores of samples to what a report says: tables with intervals, differences, parts, curves, reliability.

Everything here is plain JSON (dictionaries of numbers and texts), the layout of results.json:

    number: {"value": ..., "low": ..., "high": ...}, fractions; null where undefined; or {"refused": why}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import combinations
from operator import attrgetter
from typing import Any

import numpy as np

from utils.scoring.abstaining import Confrontation, confront, curves
from utils.scoring.bootstrap import CONFIDENCE, by_group, difference, draw_weights, estimate
from utils.scoring.columns import Column, mean_over_samples, share_of_samples
from utils.scoring.extent import mean_lost
from utils.scoring.protocol_columns import Setting, honest, j_lost_column
from utils.scoring.protocols import PROTOCOLS, applicable
from utils.scoring.reliability import reliability
from utils.scoring.sample_scores import CURVE_THRESHOLDS, SampleScores
from utils.types import Entry

HEADLINE = honest(
    "IoU",
    "Mean IoU at the fixed threshold; for empty ground truth the share of pixels rightly left empty (AVSBench).",
    mean_over_samples(attrgetter("avsbench_iou")),
)
AREA = honest("area", "Share of the image found at the fixed threshold.", mean_over_samples(attrgetter("area")))
EMPTY = honest("empty", "Share of samples with an empty answer.", share_of_samples(attrgetter("prediction_empty")))
HARD = "most of its maps are hard (two values at most), and this column takes its threshold from a soft one"
NAMED_SAMPLES = 8  # best and worst


@dataclass(frozen=True)
class Summary:
    """What a report says; each attribute is a key of results.json.

    Attributes:
        protocols: name -> {"summary", "refused", "columns": [{"title", "kind", "better", "definition"}]}.
        scores: method -> protocol -> column -> number, or {"refused": why}.
        differences: [{"first", "second", "column", "value", "low", "high", "certain"}], first minus second.
        categories, scenarios: name -> {"samples", "groups", "scores": method -> column -> number}.
        controls: control -> method -> {"IoU", "area", "empty", "change"}: change is against the original sound.
        curves: method -> {"thresholds", "iou"}.
        histograms: method -> {"edges", "counts"} of the IoU.
        reliability: method -> {"asked", "samples", "bins", "auroc_right", "auroc_in_view"}.
        samples: method -> {"best", "worst"}: [{"id", "iou"}].
        intervals: confidence, draws, seed, unit of the bootstrap, and the headline column.
        extent: method -> what is found, and lost by kind of error, see `utils.scoring.extent.mean_lost`; absent from
            older runs.
        abstaining: method -> what a threshold on its confidence would do, see `utils.scoring.abstaining.curves`, and
            "j_lost", a number; absent from older runs.
    """

    protocols: dict[str, Any]
    scores: dict[str, Any]
    differences: list[dict[str, Any]]
    categories: dict[str, Any]
    scenarios: dict[str, Any]
    controls: dict[str, Any]
    curves: dict[str, Any]
    histograms: dict[str, Any]
    reliability: dict[str, Any]
    samples: dict[str, Any]
    intervals: dict[str, Any]
    extent: dict[str, Any] = field(default_factory=dict, kw_only=True)
    abstaining: dict[str, Any] = field(default_factory=dict, kw_only=True)


def summarise(
    answers: Mapping[str, Mapping[str, Sequence[SampleScores]]],
    ids: Sequence[str],
    entries: Sequence[Entry],
    *,
    group_unit: str,
    threshold: float,
    protocols: Sequence[str] = (),
    draws: int = 1000,
) -> Summary:
    """Computes everything a report says.

    Args:
        answers: control -> method -> the scores of every sample; "original" is always there.
        ids, entries: of the samples, and what is known of each.
        group_unit: what a group is ("clip", "image", "video", "sample").
        threshold: the fixed threshold.
        protocols, draws: names, empty for all; of the bootstrap.
    """
    original, groups = answers["original"], by_group(range(len(entries)), lambda i: entries[i].group)
    sizes, weights = list(map(len, groups)), draw_weights(len(groups), draws)
    blank = sum(one.gt_empty for one in next(iter(original.values())))
    found = confront(answers, entries, groups)
    setting = Setting(threshold, group_unit, max(sizes), blank, min(sizes), found.kinds)
    columns, refused = applicable(protocols, setting)
    tables = _tables(original, groups, weights)
    tables_of = {"negatives": _tables(found.answers, found.groups, weights)}
    listening = {control: _tables(one, groups, weights) for control, one in answers.items() if control != "original"}
    categories = sorted({category for entry in entries for category in entry.categories})
    scenarios = dict.fromkeys(entry.scenario for entry in entries if entry.scenario)
    part = partial(_part, original, entries, groups, draws)

    return Summary(
        protocols={name: _described(name, columns.get(name, ()), refused.get(name)) for name in (*columns, *refused)},
        scores={
            method: {
                name: {one.title: tables_of.get(name, tables)[method].number(one) for one in own}
                for name, own in columns.items()
            }
            for method in tables
        },
        differences=[
            {"first": a, "second": b, "column": HEADLINE.title, **tables[a].minus(tables[b])}
            for a, b in combinations(tables, 2)
        ],
        categories={name: part(lambda entry, name=name: name in entry.categories) for name in categories},
        scenarios={name: part(lambda entry, name=name: entry.scenario == name) for name in scenarios},
        controls={name: _against(tables, own) for name, own in {"original": tables, **listening}.items()},
        curves={method: _curve(of_method) for method, of_method in original.items()},
        histograms={method: iou_histogram(of_method) for method, of_method in original.items()},
        reliability={method: said for method, one in original.items() if (said := reliability(one)) is not None},
        samples={method: _named(ids, of_method) for method, of_method in original.items()},
        intervals={
            **{"confidence": CONFIDENCE, "draws": draws, "seed": 0, "unit": group_unit, "units": len(sizes)},
            "headline": {"title": HEADLINE.title, "definition": HEADLINE.definition},
        },
        extent={name: mean_lost((one.lost, one.union) for one in own) for name, own in original.items()},
        abstaining=_abstaining(found, tables_of["negatives"]),
    )


def _tables(
    answers: Mapping[str, Sequence[SampleScores]], groups: Sequence[Sequence[int]], weights: np.ndarray
) -> dict[str, _Table]:
    """Method -> its scores on the samples at these positions."""
    return {name: _Table([[own[i] for i in group] for group in groups], weights) for name, own in answers.items()}


def _part(
    answers: Mapping[str, Sequence[SampleScores]],
    entries: Sequence[Entry],
    groups: Sequence[Sequence[int]],
    draws: int,
    holds: Callable[[Entry], bool],
) -> dict[str, Any]:
    """An overview of the samples of which something holds."""
    own = [[i for i in group if holds(entries[i])] for group in groups]
    own = [group for group in own if group]
    scores = {name: one.overview() for name, one in _tables(answers, own, draw_weights(len(own), draws)).items()}
    return {"samples": sum(map(len, own)), "groups": len(own), "scores": scores}


class _Table:
    """One method's scores by group.

    A method is hard when most of its maps that find anything are: a soft one may have two values by chance, a hard one
    three where two detections meet. A map without contrast and foreground is an abstention and says nothing of it.
    """

    def __init__(self, groups: Sequence[Sequence[SampleScores]], weights: np.ndarray) -> None:
        self._groups, self._weights = groups, weights
        hard = [one.levels < 3 for group in groups for one in group if one.levels > 1 or not one.prediction_empty]
        self._hard = 2 * sum(hard) > len(hard)
        self._headline = self._totals(HEADLINE)  # asked for again for every other method

    def overview(self) -> dict[str, Any]:
        return {one.title: self.number(one) for one in (HEADLINE, AREA, EMPTY)}

    def number(self, column: Column) -> dict[str, Any]:
        if column.soft and self._hard:
            return {"refused": HARD}
        totals = self._headline if column is HEADLINE else self._totals(column)
        return asdict(estimate(column, totals, self._weights))

    def minus(self, other: _Table) -> dict[str, Any]:
        """The headline's difference."""
        found = difference(HEADLINE, self._headline, other._headline, self._weights)
        return {**asdict(found), "certain": found.certain}

    def _totals(self, column: Column) -> np.ndarray:
        return np.array([column.totals(group) for group in self._groups])


def _against(tables: Mapping[str, _Table], heard: Mapping[str, _Table]) -> dict[str, Any]:
    """Methods under an audio control, and how that differs from the original sound."""
    return {name: {**own.overview(), "change": own.minus(tables[name])} for name, own in heard.items()}


def _abstaining(found: Confrontation, tables: Mapping[str, _Table]) -> dict[str, Any]:
    """What refusing more costs each method that has confidences."""
    return {
        method: {**one, "j_lost": tables[method].number(j_lost_column(one["kind"]))}
        for method, one in curves(found).items()
    }


def _described(name: str, columns: Sequence[Column], refused: str | None) -> dict[str, Any]:
    told = [{key: getattr(one, key) for key in ("title", "kind", "better", "definition")} for one in columns]
    return {"summary": PROTOCOLS[name].summary, "refused": refused, "columns": told}


def _curve(of_method: Sequence[SampleScores]) -> dict[str, Any]:
    """Mean IoU at every fixed threshold; 0 for empty ground truth."""
    mean = np.mean([one.iou_curve * (not one.gt_empty) for one in of_method], axis=0, dtype=float)
    return {"thresholds": [round(float(t), 4) for t in CURVE_THRESHOLDS], "iou": mean.tolist()}


def _named(ids: Sequence[str], of_method: Sequence[SampleScores]) -> dict[str, Any]:
    """The best and the worst samples with something to find."""
    ranked = sorted(
        ((one.iou_fixed, name) for name, one in zip(ids, of_method, strict=True) if not one.gt_empty),
        key=lambda pair: (-pair[0], pair[1]),
    )
    rows = [{"id": name, "iou": iou} for iou, name in ranked]
    return {"best": rows[:NAMED_SAMPLES], "worst": rows[::-1][:NAMED_SAMPLES]}


def iou_histogram(of_method: Sequence[SampleScores]) -> dict[str, Any]:
    """IoU at the fixed threshold of the samples with something to find, in twenty bins."""
    ious = [one.iou_fixed for one in of_method if not one.gt_empty]
    counts, edges = np.histogram(ious, bins=20, range=(0, 1))
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": counts.tolist()}
