"""The columns of each evaluation protocol, made for a run: titles, definitions in words, and statistics.

A column is called an oracle where its threshold knows the ground truth. References: `utils.scoring.metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from utils.scoring.abstaining import REFUSED, hardest, j_lost
from utils.scoring.columns import (
    Column,
    Get,
    Statistic,
    area_under_success,
    best_f,
    best_f_of_group,
    best_iou,
    every_member,
    mean_over_samples,
    ratio,
    set_f,
    share_of_samples,
)

ADAPTIVE, MEDIAN, RELATIVE, FIXED = map(attrgetter, ("iou_adaptive", "iou_median", "iou_relative", "iou_fixed"))
STEPS = "Area under the share of samples with IoU >= 0, 0.05, ..., 1"


@dataclass(frozen=True)
class Setting:
    """What a protocol has to know of the run.

    Attributes:
        threshold: the fixed threshold.
        group_unit: what a group of samples is: "clip", "image", "video"; "sample" where nothing groups them.
        largest_group, smallest_group: number of samples of the largest and of the smallest group; None where all are
            as large as the largest.
        blank: number of samples with empty ground truth.
        negatives: kinds of sounds that nothing in view makes, of `utils.scoring.abstaining.KINDS`.
    """

    threshold: float = 0.5
    group_unit: str = "sample"
    largest_group: int = 1
    blank: int = 0
    smallest_group: int | None = None
    negatives: Sequence[str] = ()

    @property
    def group_size(self) -> str:
        """The number of samples of a group in print, "5", or "1 to 2" where groups differ."""
        same = self.smallest_group in (None, self.largest_group)
        return str(self.largest_group) if same else f"{self.smallest_group} to {self.largest_group}"

    @property
    def fixed(self) -> str:
        """The fixed threshold in print."""
        return f"the fixed threshold {self.threshold:g}"


def _column(kind: str, title: str, definition: str, statistic: Statistic, **further) -> Column:
    return Column(title, kind, definition, *statistic, **further)


oracle, honest = partial(_column, "oracle"), partial(_column, "honest")


def _success(get: Get) -> Statistic:
    return share_of_samples(lambda one: get(one) >= 0.5)


def paper(setting: Setting) -> list[Column]:
    at = "at the adaptive threshold, which gives the mask just under the area of the ground truth"
    mean_f = mean_over_samples(attrgetter("f_fixed"))
    return [
        oracle("cIoU", f"Share of samples with IoU >= 0.5 {at}.", _success(ADAPTIVE), soft=True),
        oracle("AUC", f"{STEPS} {at}.", area_under_success(ADAPTIVE), soft=True),
        oracle("mIoU", f"Mean IoU {at}.", mean_over_samples(ADAPTIVE), soft=True),
        oracle("Fscore", f"Mean F {at}.", mean_over_samples(attrgetter("f_adaptive")), soft=True),
        honest("J", f"Mean IoU at {setting.fixed}; 0 for empty ground truth.", mean_over_samples(FIXED)),
        honest("F", f"Mean F (beta squared 0.3) at {setting.fixed}; 0 where undefined.", mean_f),
    ]


def avsbench(setting: Setting) -> list[Column]:
    unit = setting.group_unit
    beware = (
        "As published the lowest threshold keeps every pixel, so no answer, an empty one included, is below "
        "everything. The maximum is chosen on the ground truth, so this is an oracle too."
    )
    columns = [
        honest(
            "IoU",
            f"Mean IoU at {setting.fixed}; for empty ground truth the share of pixels rightly left empty, so an answer "
            "of nothing counts 1 there.",
            mean_over_samples(attrgetter("avsbench_iou")),
        ),
        oracle(
            "F max (whole set)",
            "The best of 255 thresholds for the mean F over all samples with foreground. It depends on no batch. "
            f"{beware}",
            best_f(),
        ),
        oracle(
            f"F max (per {unit} of {setting.group_size})",
            f"The best of 255 thresholds for the mean F of each {unit}'s samples with foreground, averaged over all "
            f"{unit}s; one without any foreground counts 0. With clips of five frames this is the released test's "
            f"default. {beware}",
            best_f_of_group(),
        ),
    ]
    return columns if setting.largest_group > 1 else columns[:2]


def sweep(setting: Setting) -> list[Column]:
    return [
        oracle(
            "mIoU (best of 19)",
            "The best of the thresholds 0.05, 0.1, ..., 0.95, one for the whole set, for the mean IoU of all samples; "
            "for empty ground truth the share of pixels rightly left empty. It is chosen on the ground truth, and anew "
            "in every draw of the interval.",
            best_iou(),
        ),
        oracle(
            "F (best of 255)",
            "The best of 255 thresholds for the mean F over all samples with foreground, whichever threshold is best "
            "for IoU: the same number as F max (whole set) of avsbench, with the same warning.",
            best_f(),
        ),
    ]


def ssl(setting: Setting) -> list[Column]:
    columns = []
    for name, get, how in (
        ("median", MEDIAN, "the map's median, so that just under half of the image is foreground"),
        ("relative", RELATIVE, "half way between the map's smallest and largest value"),
    ):
        at = f"at {how}. Only a constant map finds nothing, and abstaining is never right here."
        columns += [
            honest(f"cIoU@0.5 ({name})", f"Share of samples with IoU >= 0.5 {at}", _success(get), soft=True),
            honest(f"AUC ({name})", f"{STEPS} {at}", area_under_success(get), soft=True),
        ]
    return columns


def pairs(setting: Setting) -> list[Column]:
    images = "images with several things all of which have IoU >="
    columns = []
    for name, get, column, how in (
        ("adaptive", ADAPTIVE, oracle, "the adaptive threshold"),
        ("median", MEDIAN, honest, "the map's median"),
        ("fixed", FIXED, honest, setting.fixed),
    ):
        share = f"Share of {images} 0.5, each heard with its own sound, at {how}."
        area = f"Area under the share of {images} 0, 0.05, ..., 1 at {how}."
        soft = name != "fixed"
        columns += [
            column(f"iIoU ({name})", share, every_member(_success, get), soft=soft),
            column(f"iAUC ({name})", area, every_member(area_under_success, get), soft=soft),
        ]
    return columns


def dataset(setting: Setting) -> list[Column]:
    return [
        honest(
            "set IoU",
            f"Sum of all intersections over the sum of all unions at {setting.fixed}: large things count more. "
            "Foreground against background, without classes, so not the semantic mIoU of CAVP either. What is found "
            "where nothing is to be found counts in the unions.",
            ratio(attrgetter("intersection"), attrgetter("union")),
        ),
        honest("set F", f"F (beta squared 0.3) of all pixels of the set at once at {setting.fixed}.", set_f()),
    ]


def negatives(setting: Setting) -> list[Column]:
    blank, empty = attrgetter("gt_empty"), attrgetter("prediction_empty")
    answered = f"that get an empty answer at {setting.fixed}"
    kinds = setting.negatives
    n_acc = f"Accuracy on negatives, the share of them {answered}. GRES (CVPR 2023) calls it N-acc."
    columns = [
        honest(
            "false area",
            f"Share of the image that is found at {setting.fixed} where nothing is to be found; mean over negatives.",
            mean_over_samples(attrgetter("area"), blank),
            better="lower",
        ),
        honest("N-acc", n_acc, share_of_samples(empty, blank)),
        *(_n_acc(kind, answered) for kind in kinds if len(kinds) > 1),
        honest(
            "missed",
            f"Share of the samples with something to find {answered}; 1 - T-acc of GRES.",
            share_of_samples(empty, lambda one: not one.gt_empty),
            better="lower",
        ),
    ]
    return [*columns, j_lost_column(hardest(kinds))] if kinds else columns


def _n_acc(kind: str, answered: str) -> Column:
    said = {"other": "whose scenario no manifest names"}.get(kind, f"of the kind {kind}")
    return honest(
        f"N-acc ({kind})",
        f"Share of the negatives {said} {answered}.",
        share_of_samples(attrgetter("prediction_empty"), lambda one: one.kind == kind),
    )


def j_lost_column(kind: str) -> Column:
    """The J that refusing most negatives of a kind costs, see `utils.scoring.abstaining`."""
    share = f"{100 * REFUSED:.0f} %"
    return oracle(
        f"J lost ({kind})",
        f"Share of J that is lost by the least threshold on the confidence that leaves {share} of the {kind} negatives "
        f"without an answer; 0 where as many have none anyway. The threshold is chosen on these samples, and anew in "
        f"every draw of the interval. On an OSCR curve (Dhamija et al., NeurIPS 2018), with IoU for correctness, it is "
        "what is missing at a false positive rate of 20 %, beside no threshold. Undefined where all answers have one "
        "confidence.",
        j_lost(kind),
        better="lower",
    )
