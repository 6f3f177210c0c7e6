"""What a dataset folder says of itself: `manifest.json`, written by importers and generators, read by the evaluation.

    {"manifest": 1, "benchmark": "AVSBench-S4", "source": {...}, "options": {...}, "notes": [...],
     "group_unit": "clip", "published": {"samples": 3700, "groups": 740}, "counts": {"samples": 3698, ...},
     "left_out": {STEM: why}, "samples": {STEM: {"group": ..., "categories": [...], ...}, ...}}

A folder without one is a dataset too, and may have a `labels.csv` in its place (`datasets.labels`); without either it
only has no groups and no categories. No method is ever given any of it.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from datasets.findings import NAMED_AT_MOST
from datasets.labels import LABELS, group_unit, read_labels
from datasets.layout import FOLDERS, is_utf_8
from utils.errors import UserError
from utils.files import make_folder, remove_partials, write_text_atomic
from utils.types import Entry

MANIFEST = "manifest.json"
UNFINISHED = "manifest.unfinished.json"  # there while an import is under way, and after one that was killed
VERSION = 1
KINDS = {str: "a text in UTF-8", bool: "true or false", int: "a number", dict: "an object", list: "a list of texts"}
COUNTED = ("samples", "groups", "categories", "blank_masks")  # what authors publish
WRITTEN = tuple(FOLDERS[role] for role in ("images", "sounds", "masks"))


@dataclass(frozen=True)
class Manifest:
    """A dataset folder's account of where it comes from and what it holds."""

    benchmark: str  # its name, e.g. "AVSBench-S4"
    source: Mapping[str, Any]  # where the files come from: folders, packages, where to ask for them
    options: Mapping[str, Any]  # the choices that decide what the folder holds
    samples: Mapping[str, Entry] = field(default_factory=dict)  # by stem
    published: Mapping[str, int] = field(default_factory=dict)  # counts its authors publish for these options
    left_out: Mapping[str, str] = field(default_factory=dict)  # stem -> why it is not in the folder
    notes: tuple[str, ...] = ()  # what was done to the files, what a reader of scores should know; a sentence each
    group_unit: str = "sample"  # what a group is: "clip", "image", "video", or "sample" where each is by itself
    file: str = MANIFEST  # the name of the file that says so

    @property
    def counts(self) -> dict[str, int]:
        """How many samples, groups, categories, blank masks and samples left out there are."""
        entries = self.samples.values()
        return {
            "samples": len(self.samples),
            "groups": len({entry.group for entry in entries}),
            "categories": len({category for entry in entries for category in entry.categories}),
            "blank_masks": sum(entry.blank is True for entry in entries),
            "left_out": len(self.left_out),
        }

    @property
    def differences(self) -> list[str]:
        """One clause per published count that this folder does not have, e.g. "3698 samples, published 3700"."""
        counts = self.counts
        return [
            f"{counts[name]} {name.replace('_', ' ')}, published {published}"
            for name, published in self.published.items()
            if counts[name] != published
        ]


def read_manifest(root: Path, images: Mapping[str, Path] | None = None) -> Manifest | None:
    """The manifest of a dataset folder, or what its labels.csv says in the place of one; None where there is neither.

    Args:
        root: the folder.
        images: stem -> file, by which a group of labels.csv is known to be one picture with several sounds.

    Raises:
        UserError: it is no manifest of this project, labels.csv has faults, both are there, or an import into the
            folder was not finished.
    """
    if (root / UNFINISHED).exists():
        raise UserError(
            f"expected a finished import in {root}, found {UNFINISHED}; run the import's command again, it goes on "
            "where it stopped"
        )
    if not (root / LABELS).exists():
        return read_manifest_file(root / MANIFEST)
    refuse_both(root)
    return labelled(root, read_labels(root / LABELS), images or {})


def labelled(root: Path, entries: Mapping[str, Entry], images: Mapping[str, Path]) -> Manifest:
    """The manifest of a folder that has a labels.csv with these entries."""
    unit = group_unit(entries, images)
    return Manifest(root.resolve().name, {"file": LABELS}, {}, entries, group_unit=unit, file=LABELS)


def refuse_both(root: Path) -> None:
    """Raises UserError where a folder has a manifest and a labels.csv: which of them is meant, nobody knows."""
    if (root / MANIFEST).exists() and (root / LABELS).exists():
        raise UserError(
            f"expected {MANIFEST} or {LABELS} in {root}, found both; keep {MANIFEST} where a program wrote the folder, "
            f"{LABELS} where you did, and move the other one away"
        )


def read_manifest_file(path: Path) -> Manifest | None:
    """The manifest in a file, of a finished import or an unfinished one; None where there is none.

    Raises:
        UserError: it is no manifest of this project.
    """
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"), parse_constant=int)  # NaN is none
        version = values["manifest"]
        if version != VERSION:
            raise ValueError(f"its version is {version!r}, not {VERSION}")
        return Manifest(
            benchmark=_of(str, values, "benchmark"),
            source=_of(dict, values, "source"),
            options=_of(dict, values, "options"),
            samples=_entries(_of(dict, values, "samples")),
            published={name: _of(int, values["published"], name) for name in COUNTED if name in values["published"]},
            left_out=_of(dict, values, "left_out"),
            notes=tuple(_of(list, values, "notes")),
            group_unit=_of(str, values, "group_unit"),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"expected {path} to be a manifest of this project, found something else ({reason}); "
            "make the folder again, or move that file away"
        ) from error


def write_manifest(manifest: Manifest, root: Path, name: str = MANIFEST) -> None:
    """Writes a manifest whole, one line per sample, the same bytes for the same manifest."""
    values = {
        "manifest": VERSION,
        "benchmark": manifest.benchmark,
        "source": manifest.source,
        "options": manifest.options,
        "notes": manifest.notes,
        "group_unit": manifest.group_unit,
        "published": manifest.published,
        "counts": manifest.counts,
        "left_out": dict(sorted(manifest.left_out.items())),
    }
    head = json.dumps(values, indent=1, ensure_ascii=False)[:-2]  # without the closing brace
    lines = (
        f"  {json.dumps(stem, ensure_ascii=False)}: {json.dumps(_values(entry), ensure_ascii=False)}"
        for stem, entry in sorted(manifest.samples.items())
    )
    body = ",\n".join(lines)
    write_text_atomic(root / name, f'{head},\n "samples": {{\n{body}\n }}\n}}\n')


def begin_folder(manifest: Manifest, out: Path, check: Callable[[Manifest], None]) -> None:
    """Makes a folder ready to be written or gone on with; until `finish_folder` it is marked as unfinished.

    Raises:
        UserError: it cannot be written, or holds something else; where a manifest is there, `check` says so.
    """
    make_folder(out)
    there = read_manifest_file(out / UNFINISHED) or read_manifest_file(out / MANIFEST)
    if there is not None:
        check(there)
    elif any((out / name).exists() for name in WRITTEN):
        raise UserError(
            f"expected an empty folder or one begun by this command at {out}, found a data set without {MANIFEST}; "
            "choose another --out"
        )
    write_manifest(replace(manifest, samples={}), out, UNFINISHED)  # first: it says whose the folders are
    for name in WRITTEN:
        make_folder(out / name)
    (out / MANIFEST).unlink(missing_ok=True)


def finish_folder(manifest: Manifest, out: Path) -> None:
    """Writes the manifest of a folder that `begin_folder` began, and removes what killed processes left there."""
    write_manifest(manifest, out)
    (out / UNFINISHED).unlink(missing_ok=True)
    remove_partials(out, *(out / name for name in WRITTEN))


def _entries(samples: Mapping[str, Any]) -> dict[str, Entry]:
    """The entries of all samples; one ValueError for all that are none."""
    entries, faults = {}, []
    for stem, entry in samples.items():
        try:
            entries[stem] = _entry(stem, entry)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        more = f" and {len(faults) - NAMED_AT_MOST} more" if len(faults) > NAMED_AT_MOST else ""
        raise ValueError("; ".join(faults[:NAMED_AT_MOST]) + more)
    return entries


def _entry(stem: str, entry: Any) -> Entry:
    of = f" of {stem!r}"
    values = {"scenario": "", "details": {}, **_of(dict, {stem: entry}, stem)}
    return Entry(
        group=_of(str, values, "group", of),
        categories=tuple(_of(list, values, "categories", of)),
        scenario=_of(str, values, "scenario", of),
        blank=_of(bool, values, "blank", of),
        details=_of(dict, values, "details", of),
    )


def _of(kind: type, values: Mapping[str, Any], key: str, of: str = "") -> Any:
    """A value of a manifest, or of a sample; ValueError where there is none, or one of another kind."""
    if key not in values:
        raise ValueError(f"no {key!r}{of}")
    value = values[key]
    texts = value if kind is list and isinstance(value, list) else [value] if kind is str else []
    if not isinstance(value, kind) or not all(isinstance(text, str) and is_utf_8(text) for text in texts):
        raise ValueError(f"{key}{of} must be {KINDS[kind]}, not {reprlib.repr(value)}")
    return value


def _values(entry: Entry) -> dict[str, Any]:
    """An entry for JSON; what is at its default and says nothing is left away."""
    values: dict[str, Any] = {"group": entry.group, "categories": list(entry.categories), "blank": entry.blank}
    if entry.scenario:
        values["scenario"] = entry.scenario
    if entry.details:
        values["details"] = dict(entry.details)
    return values
