"""The evaluation protocols of the field by name: whose each is, when it says something, and what its columns mean.

All of them are computed from one set of predictions; their columns are in `utils.scoring.protocol_columns`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import indent, wrap

from utils.errors import UserError
from utils.scoring import protocol_columns as columns_of
from utils.scoring.abstaining import KINDS
from utils.scoring.columns import Column
from utils.scoring.protocol_columns import Setting

WIDTH = 96  # characters of an explanation's line


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


def _no_pairs(setting: Setting) -> str | None:
    if setting.group_unit == "image" and setting.largest_group > 1:
        return None
    return "it needs images that are heard with several sounds, and a manifest that says which belong together"


_NO_NEGATIVES = "no sample has an empty ground truth, and no sound was replaced by silence, noise or one from offscreen"

PROTOCOLS: Mapping[str, Protocol] = {
    "paper": Protocol(
        "The six columns of the paper's table (arXiv 2506.06537); the first four know the ground truth's area. A "
        "sample with nothing to find has IoU and F 0 here, whatever the answer. AUC is never below 2.5 percent.",
        columns_of.paper,
    ),
    "avsbench": Protocol(
        "AVSBench (ECCV 2022): a sample with nothing to find is scored for leaving the image empty; F is a maximum "
        "over thresholds, so its number depends on what the maximum is taken over, which its name says.",
        columns_of.avsbench,
    ),
    "sweep": Protocol(
        "AVSBench as TACO (arXiv 2412.01488) reports it, with the evaluator of ACL-SSL (WACV 2024): one threshold for "
        "the whole set, the one that turns out best on it. Maps are cut as the method gives them, as ACL-SSL's are; "
        "TACO stretches each of its maps to [0, 1] before.",
        columns_of.sweep,
    ),
    "ssl": Protocol(
        "Sound source localisation (LVS, EZ-VSL and after): the threshold comes from the map itself. Theirs are "
        "heat maps scored against boxes; beside masks these columns are stricter. A sample with nothing to find "
        "has IoU 0. AUC is never below 2.5 percent.",
        columns_of.ssl,
    ),
    "pairs": Protocol(
        "Interactive localisation (IS3): an image counts only when every one of its things is found by its sound, "
        "which a method that ignores the sound cannot do where its things lie apart. Images with one thing do not "
        "count, nor do sounds of nothing in view. iAUC is never below 2.5 percent.",
        columns_of.pairs,
        _no_pairs,
    ),
    "dataset": Protocol(
        "Intersections and unions summed over the set before the division, as CAVP and VPO papers do. Not "
        "comparable with means over images: the same weights have 78.8 here and 89.4 there on S4.",
        columns_of.dataset,
    ),
    "negatives": Protocol(
        "What happens where nothing in view sounds: how much is found all the same, how often a method rightly says "
        "nothing, and what saying it more often would cost. Negatives are the samples with empty ground truth and, of "
        "the others, what the audio controls silence, noise and offscreen make of them.",
        columns_of.negatives,
        lambda setting: None if setting.blank or setting.negatives else _NO_NEGATIVES,
    ),
}


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
