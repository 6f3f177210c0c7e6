"""What is wrong with a dataset's images, sounds and masks: the conditions are here, the sentences in `findings.csv`."""

from __future__ import annotations

import csv
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from datasets.findings import Finding, count
from datasets.layout import Layout
from datasets.manifest import Manifest
from datasets.masks import MISREAD, misfit
from utils.media.sounds import WINDOW_SECONDS
from utils.scoring.sample_scores import EVAL_SIZE
from utils.types import Entry

SMALL_SIDE = 32  # pixels; below it networks have next to nothing to see
SHORT_SECONDS = 0.5
CLIPPED_FRACTION = 0.001
INVERTED_FROM = 2 / 3  # of the border: a thing that is seen whole, or cut on one side or two, leaves more of it
NUMBERS = {
    "small_side": SMALL_SIDE,
    "short_seconds": SHORT_SECONDS,
    "least_seconds": WINDOW_SECONDS,
    "scored": f"{EVAL_SIZE[1]} x {EVAL_SIZE[0]}",
}


@dataclass(frozen=True)
class Survey:
    """A dataset folder and what was learnt of its files."""

    layout: Layout
    stems: tuple[str, ...]  # the samples that were looked at
    facts: Mapping[str, Mapping[str, Any]]  # role -> stem -> PictureFacts or SoundFacts, of files without partners too
    manifest: Manifest | None  # what the folder says of itself; None where it says nothing or cannot be read

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Stem (Unicode NFC) -> entry of the manifest."""
        entries = {} if self.manifest is None else self.manifest.samples
        return {unicodedata.normalize("NFC", stem): entry for stem, entry in entries.items()}

    @cached_property
    def blank(self) -> set[str]:
        """The stems whose masks are known to have no foreground."""
        return {stem for stem, values in self.values("masks").items() if values.fraction == 0}

    def values(self, role: str) -> dict[str, Any]:
        """Stem -> MaskValues; empty where only headers were read."""
        return {stem: facts.values for stem, facts in self.facts[role].items() if facts.values is not None}

    def readable(self, role: str) -> dict[str, Any]:
        """Stem -> facts of the files that can be read."""
        return {stem: facts for stem, facts in self.facts[role].items() if not facts.problem}

    def findings(self, role: str, found: Mapping[str, Iterable[str]]) -> Iterator[Finding]:
        """One finding for each kind, in the files of its stems; a mapping says what is special about each of them."""
        for kind, stems in found.items():
            remarks = stems if isinstance(stems, Mapping) else dict.fromkeys(stems)
            paths = (self.layout.files[role][stem].relative_to(self.layout.root).as_posix() for stem in remarks)
            pairs = zip(paths, remarks.values(), strict=True)
            yield from several(kind, [f"{path}: {text}" if text else path for path, text in pairs])


def several(kind: str, names: Iterable[str]) -> Iterator[Finding]:
    """One finding, "3 masks without foreground", where there are names; otherwise none."""
    if names := tuple(sorted(names)):
        row = _sentences()[kind]
        found = f"{count(len(names), row['noun'])} {row['what'].format(**NUMBERS)}"
        yield Finding(row["severity"], kind, found, names, row["advice"], row["command"] or "")


@cache
def _sentences() -> dict[str, dict[str, str]]:
    """Kind -> severity, noun, what, advice and command, None for none."""
    with Path(__file__).with_name("findings.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["kind"]: row for row in csv.DictReader(file)}
    for kind, row in rows.items():
        row["what"], row["advice"] = MISREAD.get(kind.removesuffix("_in_ignore"), (row["what"], row["advice"]))
    return rows


def find_unreadable(survey: Survey) -> Iterator[Finding]:
    """Files that cannot be opened or decoded."""
    for role, of_role in survey.facts.items():
        problems = {stem: one.problem for stem, one in of_role.items() if one.problem}
        yield from survey.findings(role, {f"unreadable_{role}": problems})


def find_in_images(survey: Survey) -> Iterator[Finding]:
    """Images that are tiny or turned."""
    images = survey.readable("images")
    tiny = [stem for stem, one in images.items() if min(one.size) < SMALL_SIDE]
    turned = [stem for stem, one in images.items() if one.orientation != 1]
    broken = [stem for stem, one in images.items() if one.broken_exif]
    return survey.findings("images", {"tiny_images": tiny, "turned_images": turned, "broken_exif": broken})


def find_in_masks(survey: Survey) -> Iterator[Finding]:
    """Masks that do not lie over their images, that are read otherwise than meant, or that hold nothing or all."""
    for role, suffix in (("masks", ""), ("ignores", "_in_ignore")):
        yield from survey.findings(role, _misfits(survey, role))
        for kind in _sentences():  # in the order of the table
            shown = {stem: one.shown for stem, one in survey.values(role).items() if one.kind + suffix == kind}
            yield from survey.findings(role, {kind: shown})
    sounds, blank = survey.facts["sounds"], survey.blank
    understood = {stem: one for stem, one in survey.values("masks").items() if one.kind not in MISREAD}
    known = {stem for stem in blank if stem in survey.entries and survey.entries[stem].blank}
    silent = {stem for stem in blank if stem in sounds and sounds[stem].silent}
    found = {
        "blank_masks": (blank & understood.keys()) - known - silent,
        "known_blank_masks": known,
        "full_masks": [stem for stem, one in understood.items() if one.fraction == 1],
        "inverted_masks": [stem for stem, one in understood.items() if one.border > INVERTED_FROM and one.fraction < 1],
        "lost_foreground": [stem for stem, one in understood.items() if one.fraction > 0 and one.fraction_scored == 0],
    }
    yield from survey.findings("masks", found)
    all_ignored = [stem for stem, one in survey.values("ignores").items() if one.fraction_scored == 1]
    yield from survey.findings("ignores", {"ignores_everything": all_ignored})
    if not survey.layout.has_gt:
        said = f"no folder gt_seg in {survey.layout.root}, and without ground truth there is no score"
        yield Finding("error", "no_gt", said, (), "add the masks")


def _misfits(survey: Survey, role: str) -> dict[str, dict[str, str]]:
    """Kind of finding -> stem -> both sizes, where a mask and its image differ."""
    images, found = survey.readable("images"), defaultdict(dict)
    for stem, mask in survey.readable(role).items():
        if stem in images and (kind := misfit(mask.size, images[stem].size)):
            (height, width), (image_height, image_width) = mask.size, images[stem].size
            found[kind][stem] = f"{width}x{height} over {image_width}x{image_height}"
    return {f"{role}_{kind}": found[kind] for kind in ("across", "of_other_shape", "resized")}


def find_in_sounds(survey: Survey) -> Iterator[Finding]:
    """Sounds that are cut, empty, short, clipped or silent."""
    sounds = survey.readable("sounds")
    silent = {stem for stem, one in sounds.items() if one.silent and one.seconds}
    found = {
        "cut_sounds": {stem: one.missing for stem, one in sounds.items() if one.missing},
        "empty_sounds": [stem for stem, one in sounds.items() if one.seconds == 0],
        "too_short_sounds": [stem for stem, one in sounds.items() if 0 < one.seconds < WINDOW_SECONDS],
        "short_sounds": [stem for stem, one in sounds.items() if WINDOW_SECONDS <= one.seconds < SHORT_SECONDS],
        "clipped_sounds": [stem for stem, one in sounds.items() if (one.clipped or 0) >= CLIPPED_FRACTION],
        "cancelling_channels": {stem: one.cancelling for stem, one in sounds.items() if one.cancelling},
        "misnamed_sounds": {stem: one.misnamed for stem, one in sounds.items() if one.misnamed},
        "silent_sounds": silent - survey.blank,
        "silent_and_blank": silent & survey.blank,
    }
    return survey.findings("sounds", found)
