"""The evaluation protocols of the field by name: which columns each has, and what exactly they mean.

All of them are computed from one set of predictions. A column is called an oracle where its threshold knows the ground
truth. References: `utils.scoring.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from textwrap import indent, wrap

from utils.errors import UserError
from utils.scoring.abstaining import KINDS, REFUSED, hardest, j_lost
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

WIDTH = 96  # characters of an explanation's line
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


@dataclass(frozen=True)
class Protocol:
    """A way of scoring that papers share.

    Attributes:
        summary: whose it is and what to know of it.
        columns: made for a run.
        refusal: why it says nothing about a run; None where it does.
    """

    summary: str
    columns: Callable[[Setting], Sequence[Column]]
    refusal: Callable[[Setting], str | None] = lambda setting: None


def _column(kind: str, title: str, definition: str, statistic: Statistic, **further) -> Column:
    return Column(title, kind, definition, *statistic, **further)


oracle, honest = partial(_column, "oracle"), partial(_column, "honest")


def _success(get: Get) -> Statistic:
    return share_of_samples(lambda one: get(one) >= 0.5)


def _paper(setting: Setting) -> list[Column]:
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


def _avsbench(setting: Setting) -> list[Column]:
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


def _sweep(setting: Setting) -> list[Column]:
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


def _ssl(setting: Setting) -> list[Column]:
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


def _pairs(setting: Setting) -> list[Column]:
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


def _dataset(setting: Setting) -> list[Column]:
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


def _negatives(setting: Setting) -> list[Column]:
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


def _no_pairs(setting: Setting) -> str | None:
    if setting.group_unit == "image" and setting.largest_group > 1:
        return None
    return "it needs images that are heard with several sounds, and a manifest that says which belong together"


_NO_NEGATIVES = "no sample has an empty ground truth, nor was silence, noise or offscreen among the audio controls"

PROTOCOLS: Mapping[str, Protocol] = {
    "paper": Protocol(
        "The six columns of the paper's table (arXiv 2506.06537); the first four know the ground truth's area. A "
        "sample with nothing to find has IoU and F 0 here, whatever the answer. AUC is never below 2.5 percent.",
        _paper,
    ),
    "avsbench": Protocol(
        "AVSBench (ECCV 2022): a sample with nothing to find is scored for leaving the image empty; F is a maximum "
        "over thresholds, so its number depends on what the maximum is taken over, which its name says.",
        _avsbench,
    ),
    "sweep": Protocol(
        "AVSBench as TACO (arXiv 2412.01488) reports it, with the evaluator of ACL-SSL (WACV 2024): one threshold for "
        "the whole set, the one that turns out best on it. Maps are cut as the method gives them, as ACL-SSL's are; "
        "TACO stretches each of its maps to [0, 1] before.",
        _sweep,
    ),
    "ssl": Protocol(
        "Sound source localisation (LVS, EZ-VSL and after): the threshold comes from the map itself. Theirs are "
        "heat maps scored against boxes; beside masks these columns are stricter. A sample with nothing to find "
        "has IoU 0. AUC is never below 2.5 percent.",
        _ssl,
    ),
    "pairs": Protocol(
        "Interactive localisation (IS3): an image counts only when every one of its things is found by its sound, "
        "which a method that ignores the sound cannot do where its things lie apart. Images with one thing do not "
        "count, nor do sounds of nothing in view. iAUC is never below 2.5 percent.",
        _pairs,
        _no_pairs,
    ),
    "dataset": Protocol(
        "Intersections and unions summed over the set before the division, as CAVP and VPO papers do. Not "
        "comparable with means over images: the same weights have 78.8 here and 89.4 there on S4.",
        _dataset,
    ),
    "negatives": Protocol(
        "What happens where nothing in view sounds: how much is found all the same, how often a method rightly says "
        "nothing, and what saying it more often would cost. Negatives are the samples with empty ground truth and, of "
        "the others, what the audio controls silence, noise and offscreen make of them.",
        _negatives,
        lambda setting: None if setting.blank or setting.negatives else _NO_NEGATIVES,
    ),
}


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


def applicable(names: Sequence[str], setting: Setting) -> tuple[dict[str, Sequence[Column]], dict[str, str]]:
    """The columns of the named protocols, or of all, that say something about a run.

    Returns:
        columns: protocol -> its columns.
        refused: protocol -> why it has none.

    Raises:
        UserError: there is no such protocol.
    """
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise UserError(f'there is no protocol "{unknown[0]}"; choose from: {", ".join(PROTOCOLS)}')
    reasons = {name: PROTOCOLS[name].refusal(setting) for name in names or PROTOCOLS}
    columns = {name: PROTOCOLS[name].columns(setting) for name, reason in reasons.items() if reason is None}
    return columns, {name: reason for name, reason in reasons.items() if reason is not None}


def explain(names: Sequence[str] = ()) -> str:
    """The definitions of protocols and their columns, for a terminal; raises as `applicable` does."""
    setting = Setting(group_unit="clip", largest_group=5, blank=1, negatives=KINDS)
    applicable(names, setting)
    paragraphs = []
    for name in dict.fromkeys(names or PROTOCOLS):
        paragraphs.append(f"{name}\n{_wrapped(PROTOCOLS[name].summary, '  ')}")
        for one in PROTOCOLS[name].columns(setting):
            heading = f"  {one.title}  [{one.kind}, {one.better} is better]"
            paragraphs.append(f"{heading}\n{_wrapped(one.definition, '    ')}")
    return "\n\n".join(paragraphs)


def _wrapped(text: str, margin: str) -> str:
    return indent("\n".join(wrap(text, WIDTH)), margin)
