"""From the scores of samples to what a report says: tables with intervals, differences, categories, controls, curves.

Everything here is plain JSON (dictionaries of numbers and texts), the layout of results.json:

    number: {"value": ..., "low": ..., "high": ...}, fractions; null where undefined; or {"refused": why}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.scoring.bootstrap import CONFIDENCE, difference, draw_weights, estimate
from utils.scoring.columns import Column, mean_over_samples, share_of_samples
from utils.scoring.protocols import PROTOCOLS, Setting, applicable
from utils.scoring.reliability import Answer, iou_histogram, reliability
from utils.scoring.sample_scores import CURVE_THRESHOLDS, SampleScores

if TYPE_CHECKING:
    from utils.types import Entry

__all__ = ["Summary", "summarise"]

HEADLINE = Column(
    "IoU",
    "honest",
    "Mean IoU at the fixed threshold; for empty ground truth the share of pixels rightly left empty (AVSBench).",
    *mean_over_samples(lambda one: one.avsbench_iou),
)
AREA = Column(
    "area",
    "honest",
    "Share of the image that is found at the fixed threshold.",
    *mean_over_samples(lambda one: one.area),
)
EMPTY = Column(
    "empty",
    "honest",
    "Share of samples with an empty answer.",
    *share_of_samples(lambda one: one.prediction_empty),
)
HARD = "most of its maps are hard (two values at most), and this column takes its threshold from a soft one"
NAMED_SAMPLES = 8  # best and worst


@dataclass(frozen=True)
class Summary:
    """See the module; each attribute is a key of results.json."""

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


def summarise(
    answers: Mapping[str, Mapping[str, Sequence[Answer]]],
    ids: Sequence[str],
    entries: Sequence[Entry],
    *,
    group_unit: str,
    threshold: float,
    protocols: Sequence[str] = (),
    draws: int = 1000,
    seed: int = 0,
) -> Summary:
    """Computes everything a report says.

    Args:
        answers: control -> method -> one Answer per sample; "original" is always there.
        ids: of the samples.
        entries: what is known of each sample, in the order of `ids`.
        group_unit: what a group is ("clip", "image", "video", "sample").
        threshold: the fixed threshold.
        protocols: names; empty for all.
        draws, seed: of the bootstrap.
    """
    original = answers["original"]
    groups = _groups([entry.group for entry in entries])
    blank = sum(one.scores.gt_empty for one in next(iter(original.values())))
    setting = Setting(threshold, group_unit, max(map(len, groups)), blank, min(map(len, groups)))
    columns, refused = applicable(protocols, setting)
    weights = draw_weights(len(groups), draws, seed)
    tables = {name: _Table([one.scores for one in of_method], groups, weights) for name, of_method in original.items()}
    listening = {
        control: {
            name: tables[name] if control == "original" else _Table([one.scores for one in of_method], groups, weights)
            for name, of_method in of_control.items()
        }
        for control, of_control in answers.items()
    }
    return Summary(
        protocols={
            name: {
                "summary": PROTOCOLS[name].summary,
                "refused": refused.get(name),
                "columns": [
                    {"title": one.title, "kind": one.kind, "better": one.better, "definition": one.definition}
                    for one in columns.get(name, ())
                ],
            }
            for name in (*columns, *refused)
        },
        scores={
            method: {name: {one.title: table.number(one) for one in own} for name, own in columns.items()}
            for method, table in tables.items()
        },
        differences=[
            {"first": a, "second": b, "column": HEADLINE.title, **tables[a].minus(tables[b], HEADLINE)}
            for a, b in combinations(tables, 2)
        ],
        categories=_by(
            {name: [i for i, entry in enumerate(entries) if name in entry.categories] for name in _categories(entries)},
            original,
            entries,
            draws,
            seed,
        ),
        scenarios=_by(
            {
                name: [i for i, entry in enumerate(entries) if entry.scenario == name]
                for name in dict.fromkeys(entry.scenario for entry in entries if entry.scenario)
            },
            original,
            entries,
            draws,
            seed,
        ),
        controls={
            control: {
                method: {
                    **{one.title: table.number(one) for one in (HEADLINE, AREA, EMPTY)},
                    "change": table.minus(tables[method], HEADLINE),
                }
                for method, table in of_control.items()
            }
            for control, of_control in listening.items()
        },
        curves={
            method: {
                "thresholds": [round(float(t), 4) for t in CURVE_THRESHOLDS],
                "iou": np.mean([one.scores.iou_curve for one in of_method], axis=0, dtype=float).tolist(),
            }
            for method, of_method in original.items()
        },
        histograms={method: iou_histogram(of_method) for method, of_method in original.items()},
        reliability={method: found for method, one in original.items() if (found := reliability(one)) is not None},
        samples={method: _named(ids, of_method) for method, of_method in original.items()},
        intervals={
            "confidence": CONFIDENCE,
            "draws": draws,
            "seed": seed,
            "unit": group_unit,
            "units": len(groups),
            "headline": {"title": HEADLINE.title, "definition": HEADLINE.definition},
        },
    )


class _Table:
    """One method's scores by group.

    A method is hard when most of its maps that find anything are: a soft one may have two values by chance, a hard one
    three where two detections meet. A map without contrast and foreground is an abstention and says nothing of it.
    """

    def __init__(self, scores: Sequence[SampleScores], groups: Sequence[Sequence[int]], weights: np.ndarray) -> None:
        self._groups = [[scores[i] for i in group] for group in groups]
        self._weights = weights
        hard = [one.levels < 3 for one in scores if one.levels > 1 or not one.prediction_empty]
        self._hard = 2 * sum(hard) > len(hard)

    def number(self, column: Column) -> dict[str, Any]:
        if column.soft and self._hard:
            return {"refused": HARD}
        return asdict(estimate(column, self._totals(column), self._weights))

    def minus(self, other: _Table, column: Column) -> dict[str, Any]:
        found = difference(column, self._totals(column), other._totals(column), self._weights)
        return {**asdict(found), "certain": found.certain}

    def _totals(self, column: Column) -> np.ndarray:
        return self._headline if column is HEADLINE else self._count(column)

    @cached_property
    def _headline(self) -> np.ndarray:
        return self._count(HEADLINE)  # asked for again for every other method

    def _count(self, column: Column) -> np.ndarray:
        return np.array([column.totals(group) for group in self._groups])


def _groups(names: Sequence[str]) -> list[list[int]]:
    """Indices of the samples of each group, groups in order of name."""
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(name, []).append(index)
    return [members[name] for name in sorted(members)]


def _categories(entries: Sequence[Entry]) -> list[str]:
    return sorted({category for entry in entries for category in entry.categories})


def _by(
    parts: Mapping[str, Sequence[int]],
    original: Mapping[str, Sequence[Answer]],
    entries: Sequence[Entry],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Part of the samples -> number of samples and each method's headline and area there."""
    found = {}
    for name, chosen in parts.items():
        groups = _groups([entries[i].group for i in chosen])
        weights = draw_weights(len(groups), draws, seed)
        tables = {
            method: _Table([of_method[i].scores for i in chosen], groups, weights)
            for method, of_method in original.items()
        }
        found[name] = {
            "samples": len(chosen),
            "groups": len(groups),
            "scores": {
                method: {one.title: table.number(one) for one in (HEADLINE, AREA, EMPTY)}
                for method, table in tables.items()
            },
        }
    return found


def _named(ids: Sequence[str], of_method: Sequence[Answer]) -> dict[str, Any]:
    """The best and the worst samples with something to find."""
    ranked = sorted(
        ((one.scores.iou_fixed, name) for name, one in zip(ids, of_method, strict=True) if not one.scores.gt_empty),
        key=lambda pair: (-pair[0], pair[1]),
    )
    rows = [{"id": name, "iou": iou} for iou, name in ranked]
    return {"best": rows[:NAMED_SAMPLES], "worst": rows[::-1][:NAMED_SAMPLES]}
