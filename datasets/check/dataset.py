"""What can be said of a dataset as a whole: what is there twice, what its manifest claims, what it is made of."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from datasets.check.samples import Survey, several
from datasets.findings import Finding, count
from datasets.labels import LABELS, unread_columns
from datasets.layout import fingerprint

FRAME = re.compile(r"_[1-9]\d?$")  # of a clip: VIDEO_1, VIDEO_2, ...
DUPLICATES = {"sample": ("images", "sounds", "masks"), "image": ("images",), "sound": ("sounds",)}  # noun -> same files


def digest_of(survey: Survey) -> str | None:
    """The fingerprint of all files, see `datasets.layout`; None where one could not be opened."""
    digests = {
        role: {survey.layout.name(role, stem): facts.digest for stem, facts in of_role.items()}
        for role, of_role in survey.facts.items()
    }
    whole = all(digest for of_role in digests.values() for digest in of_role.values())
    return fingerprint(digests) if whole else None


def find_duplicates(survey: Survey) -> Iterator[Finding]:
    """Files with the same bytes; the samples of one group may have an image or a sound in common: only counted.

    Where the manifest says nothing of groups, stems that differ only in a last _1 to _99 are one: frames of a clip.
    """
    stems = set(survey.stems)
    groups = {stem: FRAME.sub("", stem) for stem in stems} | {stem: one.group for stem, one in survey.entries.items()}
    for noun, roles in DUPLICATES.items():
        same = defaultdict(list)  # digests -> stems
        for stem in sorted(stems):
            digests = tuple(survey.facts[role][stem].digest for role in roles if stem in survey.facts[role])
            if all(digests):
                same[digests].append(stem)
        clusters = [cluster for cluster in same.values() if len(cluster) > 1]
        first_of_groups = [{groups[stem]: stem for stem in reversed(cluster)} for cluster in clusters]
        apart = [" = ".join(sorted(firsts.values())) for firsts in first_of_groups if len(firsts) > 1]
        yield from several(f"same_{noun}", apart)
        if len(apart) < len(clusters):
            found = f"{count(len(clusters) - len(apart), noun)} shared within a group, as expected"
            yield Finding("note", f"same_{noun}_in_group", found)
        if noun == "sample":  # told once: what follows looks at one of them
            stems -= {stem for cluster in clusters for stem in cluster[1:]}


def find_in_manifest(survey: Survey) -> Iterator[Finding]:
    """What the manifest says and the folder does not bear out, and what it says was left out."""
    if survey.manifest is None:
        return
    entries, files = survey.entries, survey.layout.files
    there = files["images"].keys() | files["sounds"].keys() | files["masks"].keys()
    by_hand = survey.manifest.file == LABELS
    yield from several("lost_labels" if by_hand else "lost_samples", entries.keys() - there)
    yield from several(
        "unlabelled_samples" if by_hand else "unknown_samples", set(survey.layout.stems) - entries.keys()
    )
    if by_hand:
        yield from several("unread_columns", unread_columns(survey.layout.root / LABELS))
    wrong = [
        f"{stem}: {'blank' if stem in survey.blank else 'not blank'}"
        for stem in entries.keys() & survey.values("masks").keys()
        if entries[stem].blank not in (None, stem in survey.blank)
    ]
    yield from several("wrong_blank_flags", wrong)
    yield from several("left_out", [f"{stem}: {why}" for stem, why in survey.manifest.left_out.items()])
    if survey.manifest.differences:
        found = f"other counts than published: {'; '.join(survey.manifest.differences)}"
        yield Finding("warning", "other_counts", found, (), "say so beside the scores")


def find_numbers(survey: Survey) -> Iterator[Finding]:
    """How much there is of everything."""
    with_mask, ignoring = (sum(stem in survey.facts[role] for stem in survey.stems) for role in ("masks", "ignores"))
    samples = count(len(survey.stems), "sample")
    notes = {"samples": f"{samples}, {with_mask} with a mask, {ignoring} with ignored pixels"}
    if (manifest := survey.manifest) is not None:
        groups, categories = count(manifest.counts["groups"], "group"), manifest.counts["categories"]
        published = ", counts as published" if manifest.published and not manifest.differences else ""
        things = f"{categories} categor{'y' if categories == 1 else 'ies'}"
        notes["manifest"] = f"{manifest.benchmark}: {groups}, {things}{published}"
        if scenarios := sorted(Counter(entry.scenario for entry in survey.entries.values() if entry.scenario).items()):
            notes["scenarios"] = "scenarios: " + ", ".join(f"{number} {name}" for name, number in scenarios)
    if images := survey.readable("images").values():
        sizes = sorted((facts.size for facts in images), key=lambda size: size[0] * size[1])
        notes["image_sizes"] = f"images: {_spread([f'{width} x {height}' for height, width in sizes])} pixels"
    if sounds := survey.readable("sounds").values():
        seconds = [f"{value:.1f}" for value in sorted(facts.seconds for facts in sounds)]
        notes["sound_lengths"] = f"sounds: {_spread(seconds)} s"
        rates = sorted(Counter(facts.sampling_rate for facts in sounds).items())
        counted = ", ".join(f"{rate} Hz ({count(number, 'sound')})" for rate, number in rates)
        notes["sampling_rates"] = f"sampling rates: {counted if len(rates) > 1 else f'{rates[0][0]} Hz'}"
    if percents := sorted(100 * values.fraction for values in survey.values("masks").values() if values.fraction):
        spread = _spread([f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}" for percent in percents])
        notes["foreground"] = f"foreground of masks that have one: {spread} % of the image"
    return (Finding("note", kind, found) for kind, found in notes.items())


def _spread(values: Sequence[str]) -> str:
    """The first, the middle and the last of sorted values: "1.0 to 5.0 (median 4.4)"."""
    first, middle, last = values[0], values[(len(values) - 1) // 2], values[-1]
    return first if first == last else f"{first} to {last} (median {middle})"
