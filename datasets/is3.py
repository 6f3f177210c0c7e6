"""IS3, generated pictures of two things that sound, and IS3+, with sounds of nothing in view, as a dataset folder.

    python -m datasets.is3 --source DIR --out DIR

`datasets/cards/is3.md` says where the data comes from, which layout is expected and what to know of the scores.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.findings import some
from datasets.importing import Entry, Item, Manifest, Sound, import_and_report, parse_options
from datasets.importing.ground_truth import Boxes, MaskFile
from datasets.importing.sources import find_folder
from datasets.layout import IMAGE_SUFFIXES, SOUND_SUFFIXES
from utils.cli import Parser
from utils.errors import run_script

IMAGES, MASKS = "images", "gt_segmentation"
SOUNDS = ("audio_waw", "audio_wav")  # the first is what the published archive calls it
ANNOTATIONS = ("IS3_annotation.json", "IS3_annotations.json", "synthetic3240_bbox.json")
GRID = 224  # pixels a side, of the annotation's boxes
BOXES = f"gt_boxes_{GRID}"  # what they are called in the details
NEGATIVES = ("silence", "noise", "offscreen")  # kinds of sound that nothing in view makes
CARD = "datasets/cards/is3.md"
PUBLISHED = {"samples": 6480, "groups": 3240}
BY_NAME = "files are paired by name, and the samples have no boxes, which no score needs"
NOTES = (
    "A picture is there once for each of its two objects, with a sound and a mask each; a picture is a group.",
    "The category is the last part of the name, spelled as there (subway beside subwaytrain).",
    "JPEG masks are cut at 128 of 255, at their own size. Images and sounds are the archive's own, in full.",
)


@dataclass(frozen=True)
class Record:
    """An image and the sound it is heard with, as the annotation or the names of the files have it."""

    image: str  # stem
    sound: str  # stem
    details: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """One of NEGATIVES where nothing in view sounds, which an empty gt_box says too; else ""."""
        last = self.sound.rpartition("_")[2]
        return last if last in NEGATIVES else "offscreen" if self.details.get(BOXES) == [] else ""

    @property
    def stem(self) -> str:
        """The sample's name, and its mask's: the image's, and the kind where that is heard with another sound too."""
        return self.image if not self.kind or self.sound == self.image else f"{self.image}_{self.kind}"


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Imports what a command line describes; ends in a `UserError` where the archive is not as published."""
    parser = Parser(prog="python -m datasets.is3", description=__doc__.splitlines()[0])
    arguments = parse_options(parser, argv)

    def holds_all(folder: Path) -> bool:
        return all(any((folder / name).is_dir() for name in names) for names in ((IMAGES,), SOUNDS, (MASKS,)))

    wanted = f"the folders {IMAGES}, {' or '.join(SOUNDS)}, {MASKS}"
    root = find_folder(arguments.source, holds_all, wanted, f"the unpacked archive as --source, see {CARD}")
    records, digest, said = read_annotation(root)
    items, left_out, notes = list_items(root, records)
    notes, is_plus = [*said, *notes], any(item.entry.scenario in NEGATIVES for item in items)
    manifest = Manifest(
        benchmark="IS3+" if is_plus else "IS3",
        source={"folder": str(root), "page": "https://github.com/kaistmm/SSLalignment"},
        options={"annotation_sha256": digest},
        group_unit="image",
        published={} if is_plus else PUBLISHED,
        left_out=left_out,
        notes=(*NOTES, *notes),
    )

    def lines(written: Manifest) -> list[str]:
        pictures = Counter(one.group for one in written.samples.values() if one.scenario not in NEGATIVES)
        pairs = f"pairs: {list(pictures.values()).count(2)} pictures with both objects"
        return [*(f"note: {note}" for note in notes), pairs]

    return import_and_report(items, manifest, arguments, lines)


def read_annotation(root: Path) -> tuple[list[Record], str, list[str]]:
    """The records of the annotation file, none where it cannot be read; the start of its SHA-256; notes on it."""
    path = next((root / name for name in ANNOTATIONS if (root / name).is_file()), None)
    if path is None:
        return [], "none", [f"No annotation file ({' or '.join(ANNOTATIONS)}): {BY_NAME}."]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]  # another annotation pairs otherwise
    try:
        records = [_record(values) for values in json.loads(path.read_bytes(), parse_constant=int)]  # NaN is refused
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [], digest, [f"{path.name} cannot be read ({type(error).__name__}: {error}): {BY_NAME}."]
    keys = ", ".join(sorted(set().union(*(record.details for record in records)))) or "nothing else"
    notes = [f"{path.name} names {len(records)} samples; what it says of them is in their details ({keys})."]
    if wrong := [record.image for record in records if "gt_box" in record.details]:
        notes.append(f"No boxes x0 < x1, y0 < y1 in whole pixels of a {GRID} grid: {len(wrong)} ({some(wrong)}).")
    return records, digest, notes


def list_items(root: Path, records: Iterable[Record]) -> tuple[list[Item], dict[str, str], list[str]]:
    """The samples of the records and of all other names, the name of what is left out -> why, and what is unusual."""
    sound_folder = next(root / name for name in SOUNDS if (root / name).is_dir())
    folders = {"image": root / IMAGES, "sound": sound_folder, "mask": root / MASKS}
    strays, strange, items, left_out, by_stem = [], [], [], {}, {}
    files = {part: _paths_by_stem(folder, part, strays) for part, folder in folders.items()}
    here = [one for one in records if one.image in files["image"] or one.image in files["mask"]]
    for record in here:
        if (first := by_stem.setdefault(record.stem, record)) != record:
            left_out[f"{record.stem} with {record.sound}"] = f"annotated twice; the record with {first.sound} is taken"
    named = {stem for one in by_stem.values() for stem in (one.stem, one.image)}
    sounds = files["sound"].keys() - {one.sound for one in by_stem.values()}
    by_stem |= {stem: Record(stem, stem, {}) for stem in {*files["image"], *files["mask"], *sounds} - named}
    usual = "pair" if any(one.kind for one in by_stem.values()) else ""
    for stem, record in sorted(by_stem.items()):
        kind, names = record.kind, {"image": record.image, "sound": record.sound, "mask": stem}
        if kind and stem not in files["mask"]:
            del names["mask"]
        found = {part: files[part].get(name, []) for part, name in names.items()}
        faults = [
            f"{' and '.join(path.name for path in paths) or f'no {part} {names[part]}'} in {folders[part].name}"
            for part, paths in found.items()
            if len(paths) != 1
        ]
        if faults:
            left_out[stem] = f"expected one {' and one '.join(names)}, found {' and '.join(faults)}"
            continue
        image, sound, *mask = (path for [path] in found.values())
        picture, _, category = stem.removesuffix(f"_{kind}").rpartition("_")  # accordion_baby_10467, baby
        if not kind and record.sound.rpartition("_")[2] != category:
            strange.append(f"{stem} with {record.sound}")
        entry = Entry(picture or stem, () if kind else (category,), kind or usual, details=record.details)
        items.append(Item(stem, image, Sound((sound,)), MaskFile(*mask) if mask else Boxes(()), entry))
    times = Counter(item.entry.group for item in items if item.entry.scenario not in NEGATIVES)
    said = [
        ({one.image for one in records} - {one.image for one in here}, "Annotated images that are not here: {}."),
        ([item.id for item in items if item.entry.scenario in NEGATIVES], "Sounds of nothing in view: {}."),
        (strange, "Sounds named after something else than the mask they are annotated with: {}."),
        ([one.id for one in items if not one.entry.group.rpartition("_")[2].isdigit()], "Names without a number: {}."),
        ([one for one in times if times[one] != 2], "Pictures without two objects, of no metric over pairs: {}."),
        (strays, "Files passed over, being no image, sound or mask: {}."),
    ]
    return items, left_out, [note.format(f"{len(names)} ({some(names)})") for names, note in said if names]


def _paths_by_stem(folder: Path, part: str, strays: list[str]) -> dict[str, list[Path]]:
    """Stem -> the files of a folder, of which there should be one; `strays` is extended by what is of no such kind."""
    suffixes = SOUND_SUFFIXES if part == "sound" else IMAGE_SUFFIXES
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix.lower() in suffixes and path.is_file():
            by_stem.setdefault(path.stem, []).append(path)
        else:
            strays.append(f"{folder.name}/{path.name}")
    return by_stem


def _record(values: Mapping[str, Any]) -> Record:
    details = {**values}
    image, sound = (Path(details.pop(key, values["image"])).stem for key in ("image", "audio"))
    if sound != image:
        details["audio"] = sound
    if "gt_box" in details and (boxes := _boxes(details["gt_box"] or [])) is not None:
        details[BOXES] = boxes
        del details["gt_box"]
    return Record(image, sound, details)


def _boxes(values: object) -> list[list[int]] | None:
    """The boxes [x0, y0, x1, y1] of a gt_box, which holds one, a list, or none; None where they do not fit the grid."""
    boxes = values if isinstance(values, list) and all(isinstance(box, list) for box in values) else [values]
    whole = range(GRID + 1)  # 47.0 is in it too
    fits = all(isinstance(box, list) and len(box) == 4 and all(side in whole for side in box) for box in boxes)
    fits = fits and all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in boxes)
    return [[int(side) for side in box] for box in boxes] if fits else None


if __name__ == "__main__":
    sys.exit(run_script(main))
