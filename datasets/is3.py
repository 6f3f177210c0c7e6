"""IS3, generated pictures of two things that sound, as a dataset folder.

    python -m datasets.is3 --source DIR --out DIR

`datasets/cards/is3.md` says where the data comes from, which layout is expected and what to know of the scores.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.importing.items import Item, add_options, parse_options, print_summary, run_import
from datasets.importing.masks import MaskFile
from datasets.importing.sounds import Sound
from datasets.layout import IMAGE_SUFFIXES, SOUND_SUFFIXES, some
from datasets.manifest import Manifest
from utils.errors import UserError, run_script
from utils.types import Entry

IMAGES, MASKS = "images", "gt_segmentation"
SOUNDS = ("audio_waw", "audio_wav")  # the first is what the published archive calls it
ANNOTATIONS = ("IS3_annotation.json", "IS3_annotations.json", "synthetic3240_bbox.json")
PUBLISHED = {"samples": 6480, "groups": 3240}
PAGE = "https://github.com/kaistmm/SSLalignment"
CARD = "datasets/cards/is3.md"
NOTES = (
    "A picture is there once for each of its two objects, with a sound and a mask each; a picture is a group.",
    "The category is the last part of the name, spelled as there (subway beside subwaytrain).",
    "JPEG masks are cut at 128 of 255, at their own size. Images and sounds are the archive's own, in full.",
)


@dataclass(frozen=True)
class Archive:
    """What lies in an unpacked archive.

    Attributes:
        root: the folder.
        items: the samples, by name.
        left_out: name -> what is missing.
        notes: what is unusual, one sentence each.
    """

    root: Path
    items: list[Item]
    left_out: dict[str, str]
    notes: tuple[str, ...]


def read_archive(source: Path) -> Archive:
    """Pairs images, sounds and masks by name.

    Args:
        source: the unpacked archive, or the folder right above it.

    Raises:
        UserError: one of its folders is missing.
    """
    root, sound_folder = _find_root(source)
    folders = {
        "image": _Files(root / IMAGES, IMAGE_SUFFIXES),
        "sound": _Files(root / sound_folder, SOUND_SUFFIXES),
        "mask": _Files(root / MASKS, IMAGE_SUFFIXES),
    }
    details, annotation_note = _read_annotations(root)
    items, left_out = [], {}
    for stem in sorted(set().union(*(files.by_stem for files in folders.values()))):
        faults = [fault for kind, files in folders.items() if (fault := files.fault(stem, kind))]
        if faults:
            left_out[stem] = f"expected one image, one sound and one mask, found {' and '.join(faults)}"
            continue
        image, sound, mask = (files.by_stem[stem][0] for files in folders.values())
        group, category = _picture_and_category(stem)
        entry = Entry(group, (category,), details=details.get(stem, {}))
        items.append(Item(stem, image, Sound((sound,)), MaskFile(mask), entry))
    strays = [f"{files.folder.name}/{name}" for files in folders.values() for name in files.strays]
    notes = [annotation_note, *_notes_on_groups(items)]
    if strays:
        notes.append(f"Files passed over, being no image, sound or mask: {len(strays)} ({some(strays)}).")
    return Archive(root, items, left_out, tuple(notes))


def pictures_without_both(groups: Iterable[str]) -> list[str]:
    """The pictures that do not have exactly two samples, sorted.

    Args:
        groups: the picture of each sample.
    """
    return sorted(group for group, times in Counter(groups).items() if times != 2)


class _Files:
    """The files of a folder by stem."""

    def __init__(self, folder: Path, suffixes: set[str]) -> None:
        self.folder = folder
        self.by_stem: dict[str, list[Path]] = {}
        self.strays: list[str] = []
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.suffix.lower() in suffixes and path.is_file():
                self.by_stem.setdefault(path.stem, []).append(path)
            else:
                self.strays.append(path.name)

    def fault(self, stem: str, kind: str) -> str:
        """What hinders this stem, "" where nothing does."""
        paths = self.by_stem.get(stem, [])
        if len(paths) > 1:
            return f"{' and '.join(path.name for path in paths)} in {self.folder.name}"
        return "" if paths else f"no {kind} in {self.folder.name}"


def _find_root(source: Path) -> tuple[Path, str]:
    """The archive's folder and the name of its folder of sounds."""
    below = sorted(path for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
    for root in (source, *below):
        sounds = [name for name in SOUNDS if (root / name).is_dir()]
        if sounds and (root / IMAGES).is_dir() and (root / MASKS).is_dir():
            return root, sounds[0]
    raise UserError(
        f"expected the folders {IMAGES}, {' or '.join(SOUNDS)}, {MASKS} in {source}, found "
        f"{some(path.name for path in below) or 'no folder'}; give the unpacked archive as --source, see {CARD}"
    )


def _picture_and_category(stem: str) -> tuple[str, str]:
    """accordion_baby_10467_baby -> accordion_baby_10467, baby."""
    picture, _, category = stem.rpartition("_")
    return picture or stem, category


def _notes_on_groups(items: Sequence[Item]) -> list[str]:
    groups = [item.entry.group for item in items]
    without_number = sum(not group.rpartition("_")[2].isdigit() for group in groups)
    notes = [f"Names without a number: {without_number}."] if without_number else []
    alone = pictures_without_both(groups)
    if alone:
        notes.append(f"Pictures without two objects: {len(alone)} ({some(alone)}); no metric over pairs can use them.")
    return notes


def _read_annotations(root: Path) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Stem -> what the annotation file says of it beside file names, and a note on that file."""
    path = next((root / name for name in ANNOTATIONS if (root / name).is_file()), None)
    if path is None:
        return {}, f"No annotation file ({' or '.join(ANNOTATIONS)}): the samples have no boxes, which no score needs."
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
        records = {Path(record["image"]).stem: record for record in values}
        details = {
            stem: {key: value for key, value in record.items() if key not in ("image", "audio")}
            for stem, record in records.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        return {}, f"{path.name} cannot be read ({reason}): the samples have no boxes, which no score needs."
    return details, f"{path.name} names {len(details)} samples; what it says of them is in their details."


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Imports what a command line describes.

    Returns:
        The manifest as written.

    Raises:
        UserError: the archive is not as published, or samples were left out after the others were written.
    """
    parser = argparse.ArgumentParser(prog="python -m datasets.is3", description=__doc__.splitlines()[0])
    add_options(parser)
    args = parse_options(parser, argv)
    archive = read_archive(args.source)
    manifest = Manifest(
        benchmark="IS3",
        source={"folder": str(archive.root), "page": PAGE},
        options={},
        samples={},
        group_unit="image",
        published=PUBLISHED,
        left_out=archive.left_out,
        notes=(*NOTES, *archive.notes),
    )
    manifest = run_import(archive.items, manifest, args.out, copy=args.copy, num_workers=args.num_workers)
    for note in archive.notes:
        print(f"note: {note}")
    alone = pictures_without_both(entry.group for entry in manifest.samples.values())
    print(f"pairs: {manifest.counts['groups'] - len(alone)} pictures with both objects")
    print_summary(manifest, args.out)
    return manifest


if __name__ == "__main__":
    sys.exit(run_script(main))
