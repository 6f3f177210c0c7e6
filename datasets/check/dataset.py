"""What can be said of a dataset as a whole: what is there twice, what its manifest claims, what it is made of."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from datasets.check.samples import Looked, several
from datasets.faults import Finding, count
from datasets.manifest import MANIFEST

__all__ = ["digest_of", "find_duplicates", "find_in_manifest", "find_numbers"]

ROLES = {"images": "image", "sounds": "wav", "masks": "gt_seg", "ignores": "gt_ignore"}  # role -> folder
FRAME = re.compile(r"_[1-9]\d?$")  # of a clip: VIDEO_1, VIDEO_2, ...
DUPLICATES = (  # noun, what, which files are the same, advice
    ("sample", "there under several names", ("images", "sounds", "masks"), "keep one of each"),
    ("image", "shared by samples of different groups", ("images",), "see whether it was copied by mistake"),
    ("sound", "shared by samples of different groups", ("sounds",), "see whether it was copied by mistake"),
)


def digest_of(looked: Looked) -> str | None:
    """What two folders have in common if and only if they hold the same files under the same names.

    The sha256 of lines "SHA256  FOLDER/NAME", sorted by name, as `sha256sum` writes them; an image folder called img
    counts as image. The manifest and stray files do not count. None where a file could not be opened.
    """
    lines = {}
    for role, folder in ROLES.items():
        for stem, facts in looked.of_role(role).items():
            name = unicodedata.normalize("NFC", getattr(looked.layout, role)[stem].name)
            lines[f"{folder}/{name}"] = facts.digest
    if not all(lines.values()):
        return None
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(lines.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def find_duplicates(looked: Looked) -> Iterator[Finding]:
    """Files with the same bytes; the samples of one group may share an image or a sound, which is only counted.

    Where the manifest says nothing of groups, stems that differ only in a last _1 to _99 are one: frames of a clip.
    """
    stems = list(looked.stems)
    for noun, what, roles, advice in DUPLICATES:
        clusters = _clusters(looked, stems, roles)
        apart = [cluster for cluster in clusters if len(_groups(looked, cluster)) > 1]
        names = [" = ".join(_groups(looked, cluster).values()) for cluster in apart]
        yield from several("warning", f"same_{noun}", noun, what, names, advice)
        if len(apart) < len(clusters):
            found = f"{count(len(clusters) - len(apart), noun)} shared within a group, as expected"
            yield _note(f"same_{noun}_in_group", found)
        if noun == "sample":  # told once: what follows looks at one of them
            stems = sorted(set(stems) - {stem for cluster in clusters for stem in cluster[1:]})


def _clusters(looked: Looked, stems: Iterable[str], roles: Sequence[str]) -> list[list[str]]:
    """The stems whose files are the same, in clusters of two or more."""
    clusters = defaultdict(list)
    for stem in stems:
        facts = [looked.of_role(role)[stem] for role in roles if stem in looked.of_role(role)]
        if all(fact.digest for fact in facts):
            clusters[tuple(fact.digest for fact in facts)].append(stem)
    return [cluster for cluster in clusters.values() if len(cluster) > 1]


def _groups(looked: Looked, stems: Sequence[str]) -> dict[str, str]:
    """Group -> its first stem."""
    groups: dict[str, str] = {}
    for stem in stems:
        group = looked.entries[stem].group if stem in looked.entries else FRAME.sub("", stem)
        groups.setdefault(group, stem)
    return groups


def find_in_manifest(looked: Looked) -> Iterator[Finding]:
    """What the manifest says and the folder does not bear out, and what it says was left out."""
    manifest, layout = looked.manifest, looked.layout
    if manifest is None:
        return
    there = layout.images.keys() | layout.sounds.keys() | layout.masks.keys()
    lost = [*(looked.entries.keys() - there)]
    what, advice = f"that {MANIFEST} names and the folder lacks", "run the import again"
    yield from several("error", "lost_samples", "sample", what, lost, advice)
    unknown = [*(set(layout.stems) - looked.entries.keys())]
    what, advice = f"that {MANIFEST} does not name", "take them out, or make the folder again"
    yield from several("error", "unknown_samples", "sample", what, unknown, advice)
    wrong = [
        f"{stem}: {'blank' if looked.is_blank(stem) else 'not blank'}"
        for stem in looked.entries.keys() & looked.masks.keys()
        if looked.masks[stem].values is not None and looked.is_blank(stem) != looked.entries[stem].blank
    ]
    what = f"whose mask is not as {MANIFEST} says"
    yield from several("error", "wrong_blank_flags", "sample", what, wrong, "it was changed: run the import again")
    left_out = [f"{stem}: {why}" for stem, why in manifest.left_out.items()]
    what = "left out by the importer"
    yield from several("warning", "left_out", "sample", what, left_out, "mend the source and run the import again")
    if manifest.differences:
        found = f"other counts than published: {'; '.join(manifest.differences)}"
        yield Finding("warning", "other_counts", found, (), "say so beside the scores")


def find_numbers(looked: Looked) -> Iterator[Finding]:
    """How much there is of everything."""
    with_mask = sum(stem in looked.masks for stem in looked.stems)
    ignoring = sum(stem in looked.ignores for stem in looked.stems)
    yield _note(
        "samples", f"{count(len(looked.stems), 'sample')}, {with_mask} with a mask, {ignoring} with ignored pixels"
    )
    if looked.manifest is not None:
        counts = looked.manifest.counts
        categories = f"{counts['categories']} categor{'y' if counts['categories'] == 1 else 'ies'}"
        published = "" if looked.manifest.differences or not looked.manifest.published else ", counts as published"
        found = f"{looked.manifest.benchmark}: {count(counts['groups'], 'group')}, {categories}{published}"
        yield _note("manifest", found)
        scenarios = Counter(entry.scenario for entry in looked.entries.values() if entry.scenario)
        if scenarios:
            yield _note("scenarios", "scenarios: " + ", ".join(f"{n} {name}" for name, n in sorted(scenarios.items())))
    sizes = sorted(
        (facts.size for facts in looked.images.values() if facts.size is not None), key=lambda size: size[0] * size[1]
    )
    if sizes:
        yield _note("image_sizes", "images: " + _spread([f"{width} x {height}" for height, width in sizes]) + " pixels")
    seconds = sorted(facts.seconds for facts in looked.sounds.values() if facts.seconds is not None)
    if seconds:
        yield _note("sound_lengths", "sounds: " + _spread([f"{value:.1f}" for value in seconds]) + " s")
    rates = Counter(facts.sampling_rate for facts in looked.sounds.values() if facts.sampling_rate is not None)
    if rates:
        told = ", ".join(f"{rate} Hz ({count(number, 'sound')})" for rate, number in sorted(rates.items()))
        yield _note("sampling_rates", f"sampling rates: {told if len(rates) > 1 else f'{next(iter(rates))} Hz'}")
    shares = sorted(facts.values.share for facts in looked.masks.values() if facts.values and facts.values.share)
    if shares:
        told = _spread([_percent(share) for share in shares])
        yield _note("foreground", f"foreground of masks that have one: {told} % of the image")


def _note(kind: str, found: str) -> Finding:
    return Finding("note", kind, found)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"


def _spread(values: Sequence[str]) -> str:
    """The first, the middle and the last of sorted values: "1.0 to 5.0 (median 4.4)"."""
    first, middle, last = values[0], values[(len(values) - 1) // 2], values[-1]
    return first if first == last else f"{first} to {last} (median {middle})"
