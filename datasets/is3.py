"""IS3, generated pictures of two things that sound, as a dataset folder.

    python -m datasets.is3 --source DIR --out DIR

`datasets/cards/is3.md` says where the data comes from, which layout is expected and what to know of the scores.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.findings import some
from datasets.importing import Entry, Item, Manifest, Sound, import_and_report, parse_options
from datasets.importing.ground_truth import MaskFile
from datasets.importing.sources import find_folder
from datasets.layout import IMAGE_SUFFIXES, SOUND_SUFFIXES
from utils.cli import Parser
from utils.errors import run_script

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


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Imports what a command line describes; ends in a `UserError` where the archive is not as published."""
    parser = Parser(prog="python -m datasets.is3", description=__doc__.splitlines()[0])
    arguments = parse_options(parser, argv)

    def holds_all(folder: Path) -> bool:
        return all(any((folder / name).is_dir() for name in names) for names in ((IMAGES,), SOUNDS, (MASKS,)))

    wanted = f"the folders {IMAGES}, {' or '.join(SOUNDS)}, {MASKS}"
    root = find_folder(arguments.source, holds_all, wanted, f"the unpacked archive as --source, see {CARD}")
    items, left_out, notes = list_items(root)
    manifest = Manifest(
        benchmark="IS3",
        source={"folder": str(root), "page": PAGE},
        options={},
        group_unit="image",
        published=PUBLISHED,
        left_out=left_out,
        notes=(*NOTES, *notes),
    )

    def lines(written: Manifest) -> list[str]:
        alone = pictures_without_both(entry.group for entry in written.samples.values())
        pairs = f"pairs: {written.counts['groups'] - len(alone)} pictures with both objects"
        return [*(f"note: {note}" for note in notes), pairs]

    return import_and_report(items, manifest, arguments, lines)


def list_items(root: Path) -> tuple[list[Item], dict[str, str], list[str]]:
    """Pairs images, sounds and masks by name: the samples, the name of what is left out -> why, and what is unusual."""
    sound_folder = next(root / name for name in SOUNDS if (root / name).is_dir())
    folders = {"image": root / IMAGES, "sound": sound_folder, "mask": root / MASKS}
    strays: list[str] = []
    files = {kind: _paths_by_stem(folder, kind, strays) for kind, folder in folders.items()}
    details, *notes = _read_annotations(root)
    items, left_out = [], {}
    for stem in sorted(set().union(*files.values())):
        paths = {kind: files[kind].get(stem, []) for kind in files}
        faults = [
            f"{' and '.join(path.name for path in found) or f'no {kind}'} in {folders[kind].name}"
            for kind, found in paths.items()
            if len(found) != 1
        ]
        if faults:
            left_out[stem] = f"expected one image, one sound and one mask, found {' and '.join(faults)}"
            continue
        picture, _, category = stem.rpartition("_")  # accordion_baby_10467_baby: accordion_baby_10467, baby
        entry = Entry(picture or stem, (category,), details=details.get(stem, {}))
        image, sound, mask = (found[0] for found in paths.values())
        items.append(Item(stem, image, Sound((sound,)), MaskFile(mask), entry))
    groups = [item.entry.group for item in items]
    alone = pictures_without_both(groups)
    if without_number := sum(not group.rpartition("_")[2].isdigit() for group in groups):
        notes.append(f"Names without a number: {without_number}.")
    if alone:
        notes.append(f"Pictures without two objects: {len(alone)} ({some(alone)}); no metric over pairs can use them.")
    if strays:
        notes.append(f"Files passed over, being no image, sound or mask: {len(strays)} ({some(strays)}).")
    return items, left_out, notes


def pictures_without_both(groups: Iterable[str]) -> list[str]:
    """The pictures that do not have exactly two samples, sorted; `groups` holds the picture of each sample."""
    return sorted(group for group, times in Counter(groups).items() if times != 2)


def _paths_by_stem(folder: Path, kind: str, strays: list[str]) -> dict[str, list[Path]]:
    """Stem -> the files of a folder, of which there should be one; `strays` is extended by what is of no such kind."""
    suffixes = SOUND_SUFFIXES if kind == "sound" else IMAGE_SUFFIXES
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix.lower() in suffixes and path.is_file():
            by_stem.setdefault(path.stem, []).append(path)
        else:
            strays.append(f"{folder.name}/{path.name}")
    return by_stem


def _read_annotations(root: Path) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Stem -> what the annotation file says of it beside file names, and a note on that file."""
    path = next((root / name for name in ANNOTATIONS if (root / name).is_file()), None)
    if path is None:
        return {}, f"No annotation file ({' or '.join(ANNOTATIONS)}): the samples have no boxes, which no score needs."
    try:
        records = json.loads(path.read_text(encoding="utf-8-sig"))
        details = {
            Path(record["image"]).stem: {key: value for key, value in record.items() if key not in ("image", "audio")}
            for record in records
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        return {}, f"{path.name} cannot be read ({reason}): the samples have no boxes, which no score needs."
    return details, f"{path.name} names {len(details)} samples; what it says of them is in their details."


if __name__ == "__main__":
    sys.exit(run_script(main))
