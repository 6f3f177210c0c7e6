"""The evaluation protocols of the field by name: which columns each has, and what exactly they mean.

All of them are computed from one set of predictions. A column is called an oracle where its threshold knows the ground
truth. References: `utils.scoring.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import indent, wrap

from utils.errors import UserError
from utils.scoring.columns import (
    Column,
    area_under_success,
    best_f,
    best_f_of_group,
    every_member,
    mean_over_samples,
    ratio,
    set_f,
    share_of_samples,
)
from utils.scoring.sample_scores import SampleScores

__all__ = ["PROTOCOLS", "Protocol", "Setting", "applicable", "explain"]

Get = Callable[[SampleScores], float]


@dataclass(frozen=True)
class Setting:
    """What a protocol has to know of the run.

    Attributes:
        threshold: the fixed threshold.
        group_unit: what a group of samples is: "clip", "image", "video"; "sample" where nothing groups them.
        largest_group, smallest_group: number of samples of the largest and of the smallest group; None where all are
            as large as the largest.
        blank: number of samples with empty ground truth.
    """

    threshold: float = 0.5
    group_unit: str = "sample"
    largest_group: int = 1
    blank: int = 0
    smallest_group: int | None = None

    @property
    def group_size(self) -> str:
        """The number of samples of a group in print, "5", or "1 to 2" where groups differ."""
        same = self.smallest_group in (None, self.largest_group)
        return str(self.largest_group) if same else f"{self.smallest_group} to {self.largest_group}"


@dataclass(frozen=True)
class Protocol:
    """A way of scoring that papers share.

    Attributes:
        name: on the command line.
        summary: whose it is and what to know of it.
        columns: made for a run.
        refusal: why it says nothing about a run; None where it does.
    """

    name: str
    summary: str
    columns: Callable[[Setting], Sequence[Column]]
    refusal: Callable[[Setting], str | None] = lambda setting: None


def _success(get: Get) -> tuple:
    return share_of_samples(lambda one: get(one) >= 0.5)


def _adaptive(one: SampleScores) -> float:
    return one.iou_adaptive


def _median(one: SampleScores) -> float:
    return one.iou_median


def _relative(one: SampleScores) -> float:
    return one.iou_relative


def _fixed(one: SampleScores) -> float:
    return one.iou_fixed


def _paper(setting: Setting) -> list[Column]:
    at = f"the fixed threshold {setting.threshold:g}"
    oracle = "at the adaptive threshold, which gives the mask just under the area of the ground truth"
    return [
        Column("cIoU", "oracle", f"Share of samples with IoU >= 0.5 {oracle}.", *_success(_adaptive), soft=True),
        Column(
            "AUC",
            "oracle",
            f"Area under the share of samples with IoU >= 0, 0.05, ..., 1 {oracle}.",
            *area_under_success(_adaptive),
            soft=True,
        ),
        Column("mIoU", "oracle", f"Mean IoU {oracle}.", *mean_over_samples(_adaptive), soft=True),
        Column("Fscore", "oracle", f"Mean F {oracle}.", *mean_over_samples(lambda one: one.f_adaptive), soft=True),
        Column("J", "honest", f"Mean IoU at {at}; 0 for empty ground truth.", *mean_over_samples(_fixed)),
        Column(
            "F",
            "honest",
            f"Mean F (beta squared 0.3) at {at}; 0 where undefined.",
            *mean_over_samples(lambda one: one.f_fixed),
        ),
    ]


def _avsbench(setting: Setting) -> list[Column]:
    chosen = "The maximum is chosen on the ground truth, so this is an oracle too."
    least = (
        "As published the lowest threshold keeps every pixel, so no answer, an empty one included, is below everything."
    )
    columns = [
        Column(
            "IoU",
            "honest",
            f"Mean IoU at the fixed threshold {setting.threshold:g}; for empty ground truth the share of pixels "
            "rightly left empty, so an answer of nothing counts 1 there.",
            *mean_over_samples(lambda one: one.avsbench_iou),
        ),
        Column(
            "F max (whole set)",
            "oracle",
            "The best of 255 thresholds for the mean F over all samples with foreground. It depends on no batch. "
            f"{least} {chosen}",
            *best_f(),
        ),
    ]
    if setting.largest_group > 1:
        columns.append(
            Column(
                f"F max (per {setting.group_unit} of {setting.group_size})",
                "oracle",
                f"The best of 255 thresholds for the mean F of each {setting.group_unit}'s samples with foreground, "
                f"averaged over all {setting.group_unit}s; one without any foreground counts 0. With clips of five "
                f"frames this is the released test's default. {least} {chosen}",
                *best_f_of_group(),
            )
        )
    return columns


def _ssl(setting: Setting) -> list[Column]:
    columns = []
    for name, get, how in (
        ("median", _median, "the map's median, so that just under half of the image is foreground"),
        ("relative", _relative, "half way between the map's smallest and largest value"),
    ):
        always = "Only a constant map finds nothing, and abstaining is never right here."
        columns += [
            Column(
                f"cIoU@0.5 ({name})",
                "honest",
                f"Share of samples with IoU >= 0.5 at {how}. {always}",
                *_success(get),
                soft=True,
            ),
            Column(
                f"AUC ({name})",
                "honest",
                f"Area under the share of samples with IoU >= 0, 0.05, ..., 1 at {how}. {always}",
                *area_under_success(get),
                soft=True,
            ),
        ]
    return columns


def _pairs(setting: Setting) -> list[Column]:
    columns = []
    for name, get, kind, how in (
        ("adaptive", _adaptive, "oracle", "the adaptive threshold"),
        ("median", _median, "honest", "the map's median"),
        ("fixed", _fixed, "honest", f"the fixed threshold {setting.threshold:g}"),
    ):
        soft = name != "fixed"
        columns += [
            Column(
                f"iIoU ({name})",
                kind,
                f"Share of images with several things all of which have IoU >= 0.5, each heard with its own sound, at "
                f"{how}.",
                *every_member(_success, get),
                soft=soft,
            ),
            Column(
                f"iAUC ({name})",
                kind,
                f"Area under the share of images with several things all of which have IoU >= 0, 0.05, ..., 1 at "
                f"{how}.",
                *every_member(area_under_success, get),
                soft=soft,
            ),
        ]
    return columns


def _dataset(setting: Setting) -> list[Column]:
    at = f"at the fixed threshold {setting.threshold:g}"
    return [
        Column(
            "set IoU",
            "honest",
            f"Sum of all intersections over the sum of all unions {at}: large things count more. Foreground against "
            "background, without classes, so not the semantic mIoU of CAVP either. What is found where nothing is to "
            "be found counts in the unions.",
            *ratio(lambda one: one.intersection, lambda one: one.union),
        ),
        Column("set F", "honest", f"F (beta squared 0.3) of all pixels of the set at once {at}.", *set_f()),
    ]


def _negatives(setting: Setting) -> list[Column]:
    at = f"at the fixed threshold {setting.threshold:g}"
    return [
        Column(
            "false area",
            "honest",
            f"Share of the image that is found {at} where nothing is to be found; mean over samples with empty ground "
            "truth.",
            *mean_over_samples(lambda one: one.area, lambda one: one.gt_empty),
            better="lower",
        ),
        Column(
            "abstained",
            "honest",
            f"Share of the samples with empty ground truth that get an empty answer {at}.",
            *share_of_samples(lambda one: one.prediction_empty, lambda one: one.gt_empty),
        ),
        Column(
            "missed",
            "honest",
            f"Share of the samples with something to find that get an empty answer {at}.",
            *share_of_samples(lambda one: one.prediction_empty, lambda one: not one.gt_empty),
            better="lower",
        ),
    ]


def _no_pairs(setting: Setting) -> str | None:
    if setting.group_unit == "image" and setting.largest_group > 1:
        return None
    return "it needs images that are heard with several sounds, and a manifest that says which belong together"


def _no_blanks(setting: Setting) -> str | None:
    return None if setting.blank else "no sample has an empty ground truth"


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "paper",
            "The six columns of the paper's table (arXiv 2506.06537); the first four know the ground truth's area. A "
            "sample with nothing to find has IoU and F 0 here, whatever the answer. AUC is never below 2.5 percent.",
            _paper,
        ),
        Protocol(
            "avsbench",
            "AVSBench (ECCV 2022): a sample with nothing to find is scored for leaving the image empty; F is a maximum "
            "over thresholds, so its number depends on what the maximum is taken over, which its name says.",
            _avsbench,
        ),
        Protocol(
            "ssl",
            "Sound source localisation (LVS, EZ-VSL and after): the threshold comes from the map itself. Theirs are "
            "heat maps scored against boxes; beside masks these columns are stricter. A sample with nothing to find "
            "has IoU 0. AUC is never below 2.5 percent.",
            _ssl,
        ),
        Protocol(
            "pairs",
            "Interactive localisation (IS3): an image counts only when every one of its things is found by its sound, "
            "which a method that ignores the sound cannot do where its things lie apart. Images with one thing do not "
            "count, nor do sounds of nothing in view. iAUC is never below 2.5 percent.",
            _pairs,
            _no_pairs,
        ),
        Protocol(
            "dataset",
            "Intersections and unions summed over the set before the division, as CAVP and VPO papers do. Not "
            "comparable with means over images: the same weights have 78.8 here and 89.4 there on S4.",
            _dataset,
        ),
        Protocol(
            "negatives",
            "What happens where nothing in view sounds: how much is found all the same, and how often a method rightly "
            "says nothing.",
            _negatives,
            _no_blanks,
        ),
    )
}


def applicable(names: Sequence[str], setting: Setting) -> tuple[dict[str, Sequence[Column]], dict[str, str]]:
    """The columns of the protocols that say something about a run.

    Args:
        names: of PROTOCOLS; empty for all.
        setting: the run.

    Returns:
        columns: protocol -> its columns.
        refused: protocol -> why it has none.

    Raises:
        UserError: there is no such protocol.
    """
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise UserError(f'there is no protocol "{unknown[0]}"; choose from: {", ".join(PROTOCOLS)}')
    columns, refused = {}, {}
    for name in names or PROTOCOLS:
        reason = PROTOCOLS[name].refusal(setting)
        if reason is None:
            columns[name] = PROTOCOLS[name].columns(setting)
        else:
            refused[name] = reason
    return columns, refused


def explain(names: Sequence[str] = (), setting: Setting | None = None) -> str:
    """The definitions of protocols and their columns, for a terminal.

    Raises:
        UserError: there is no such protocol.
    """
    setting = setting or Setting(group_unit="clip", largest_group=5, blank=1)
    applicable(names, setting)
    lines = []
    for name in dict.fromkeys(names or PROTOCOLS):
        lines += [name, *_paragraph(PROTOCOLS[name].summary, "  ")]
        for column in PROTOCOLS[name].columns(setting):
            lines += ["", f"  {column.title}  [{column.kind}, {column.better} is better]"]
            lines += _paragraph(column.definition, "    ")
        lines.append("")
    return "\n".join(lines).rstrip()


def _paragraph(text: str, margin: str) -> list[str]:
    return indent("\n".join(wrap(text, 96)), margin).splitlines()
