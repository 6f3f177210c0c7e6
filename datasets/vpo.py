"""VPO, COCO's photographs with recordings of what is in them, as a dataset folder.

    python -m datasets.vpo --subset ms --protocol mixed --source DIR --out DIR

`datasets/cards/vpo.md` says where the data comes from, which layout is expected and what to know of the scores.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.findings import some
from datasets.importing import Entry, Item, Manifest, Sound, import_and_report, parse_options
from datasets.importing.ground_truth import LabelMap
from datasets.importing.sources import find_folder
from utils.cli import Parser
from utils.errors import UserError, run_script

FOLDERS = {"ss": "VPO-SS", "ms": "VPO-MS", "msmi": "VPO-MSMI"}
SPLITS = {"test": ("test", "val"), "train": ("train",)}  # as its authors read it: "val" is the test split
CATEGORIES = {  # COCO's numbers; those above 90 are VPO's own
    **{3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 16: "bird", 17: "cat", 18: "dog", 19: "horse"},
    **{20: "sheep", 21: "cow", 22: "elephant", 24: "zebra", 37: "sports ball", 41: "skateboard"},
    **{43: "tennis racket", 74: "mouse", 76: "keyboard", 77: "cell phone", 92: "male", 93: "female", 94: "baby"},
}
COLUMNS = ("img_Id", "ann_Ids", "cateId", "cateName", "vgg_file", "split")
PUBLISHED_SAMPLES = {("ss", "single", "test"): 890, ("ms", "per_object", "test"): 2157}
MIDDLE_SECONDS = 3.0
PAGE = "https://github.com/cyh-0/CAVP"
CARD = "datasets/cards/vpo.md"
NOTES = (
    "The photographs are COCO's: a segmenter trained on COCO or RefCOCO has seen them or their like, so that its "
    "scores are not zero-shot.",
    "Pixels of value 255 do not count; they are in gt_ignore.",
    f"Sounds are the middle {MIDDLE_SECONDS:g} s of each recording, repeated where it is shorter, as one channel at "
    "the recording's own rate; the authors resample to 16 kHz.",
    "audio_pos, which spreads a sound over two channels, is kept in the details and not applied.",
    "A blank mask here is a fault of the annotation, since something in view sounds; such samples are kept.",
)
NOTES_OF_PROTOCOLS = {
    "mixed": "A sample is a photograph: the sounds of its rows are added (and divided by the peak where that exceeds "
    "1), and the mask is every category of the label map, in a row or not.",
    "per_object": "A sample is a row: its sound and the pixels of its category. The label maps do not tell several "
    "things of one category apart.",
    "single": "A sample is a row of the list; its mask is every category of the object's own label map.",
}


@dataclass(frozen=True)
class Row:
    """One object in a photograph and the sound it was given: a row of a list of VPO's."""

    image: str  # the photograph's name, COCO's number in twelve digits
    annotation: str  # COCO's number of the object, as short as it is
    category: int  # a key of CATEGORIES
    name: str  # the category's, which is also a folder of VPO-SS
    recording: str  # file name of the sound without its suffix
    position: float | None  # where a stereo recording has it, 0 left to 1 right; None where the list does not say
    multi_instance: bool | None  # whether several things of one category are in view; None where the list does not say


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Imports what a command line describes; ends in a `UserError` where the archive is not as published."""
    parser = Parser(prog="python -m datasets.vpo", description=__doc__.splitlines()[0])
    parser.add_argument("--subset", choices=FOLDERS, required=True, help="one sound, several, several of one category")
    sample = "a sample is a photograph with all its sounds added, or one object with its own; the same for ss"
    parser.add_argument("--protocol", choices=("mixed", "per_object"), help=sample)
    parser.add_argument("--split", choices=SPLITS, default="test", help='default: %(default)s, also called "val"')
    parser.add_argument("--audio", type=Path, metavar="DIR", help="recordings (default: audios, anywhere in --source)")
    arguments = parse_options(parser, argv)
    subset, protocol = arguments.subset, "single" if arguments.subset == "ss" else arguments.protocol
    if protocol is None:
        raise UserError(f"expected --protocol mixed or per_object for {FOLDERS[subset]}, found none; choose one")
    folder, advice = FOLDERS[subset], f"the folder that holds it as --source, see {CARD}"
    root = find_folder(arguments.source, lambda path: (path / folder).is_dir(), f"the folder {folder}", advice)
    path, audio = find_list(root, subset), find_audio(arguments.source, arguments.audio)
    print(f"list: {path}\nrecordings: {audio}")
    if protocol == "single":
        print("note: a row of VPO-SS is one photograph, one object and one sound; mixed and per_object are the same")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()  # another list gives other sounds to the same names
    rows, left_out = without_repetition(read_rows(path, subset, arguments.split))
    published = PUBLISHED_SAMPLES.get((subset, protocol, arguments.split))
    manifest = Manifest(
        benchmark=folder,
        source={"folder": str(root), "list": path.name, "recordings": str(audio), "page": PAGE},
        options={"subset": subset, "protocol": protocol, "split": arguments.split, "list_sha256": digest[:16]},
        group_unit="image",
        published={"samples": published} if published else {},
        left_out=left_out,
        notes=(*NOTES, NOTES_OF_PROTOCOLS[protocol]),
    )

    def lines(written: Manifest) -> list[str]:
        blank = [stem for stem, entry in written.samples.items() if entry.blank]
        note = f"note: {len(blank)} masks have no pixel of what sounds and are kept as blank: {some(blank)}"
        return [note] if blank else []

    return import_and_report(list_items(rows, root, audio, subset, protocol), manifest, arguments, lines)


def find_list(root: Path, subset: str) -> Path:
    """The csv file of a subset, at the root or in the subset's folder; the one for stereo where there are several."""
    pattern = f"vpo_{subset}_data*.csv"
    found = [path for folder in (root, root / FOLDERS[subset]) for path in sorted(folder.glob(pattern))]
    if not found:
        raise UserError(f"expected {pattern} in {root} or its folder {FOLDERS[subset]}, found none; see {CARD}")
    return min(found, key=lambda path: "stereo" not in path.name)


def find_audio(source: Path, audio: Path | None = None) -> Path:
    """The folder of recordings: `audio`, in `source` or by itself, or `audios` in it; else the only `audios` there."""
    if audio is not None:
        audio = source / audio if (source / audio).is_dir() else audio
        if not audio.is_dir():
            raise UserError(f"expected the folder of recordings at {audio}, found none; check --audio")
        return audio / "audios" if (audio / "audios").is_dir() else audio
    found = []
    for folder, below, _ in os.walk(source):
        found += [Path(folder, name) for name in below if name == "audios"]
        below[:] = [] if Path(folder).name in FOLDERS.values() else sorted(set(below) - {"audios"})
    if len(found) != 1:
        raise UserError(
            f"expected one folder audios somewhere in {source}, found {some(map(str, found)) or 'none'}; name the "
            f"folder of VPO's recordings with --audio, see {CARD}"
        )
    return found[0]


def read_rows(path: Path, subset: str, split: str) -> list[Row]:
    """Reads the rows of one split from a csv file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: it is no csv file with VPO's columns, or a value is not what its column holds.
    """
    wanted = (*COLUMNS, "multi_instance") if subset == "msmi" else COLUMNS
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            found = reader.fieldnames or []
            if not set(wanted) <= set(found):
                raise UserError(
                    f"expected the columns {', '.join(wanted)} in {path}, found {', '.join(found) or 'none'}; "
                    "download VPO again"
                )
            values_of_split = (values for values in reader if (values["split"] or "").strip() in SPLITS[split])
            return [_row(values, f"{path} line {reader.line_num}") for values in values_of_split]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the list {path}: {error}; download VPO again") from error


def _row(values: Mapping[str, str | None], where: str) -> Row:
    annotation = re.sub(r"\.0\b", "", values["ann_Ids"] or "")  # 157452.0: a column that once held a gap
    category = int(_number(values, "cateId", where))
    name, recording = ((values[column] or "").strip() for column in ("cateName", "vgg_file"))
    if category not in CATEGORIES or not name or not recording or not re.search(r"\d", annotation):
        raise UserError(
            f"expected an annotation, one of VPO's {len(CATEGORIES)} categories and a recording in {where}, found "
            f"ann_Ids {annotation!r}, cateId {category}, cateName {name!r}, vgg_file {recording!r}; download VPO again"
        )
    return Row(
        image=f"{int(_number(values, 'img_Id', where)):012d}",
        annotation="-".join(number.lstrip("0") or "0" for number in re.findall(r"\d+", annotation)),
        category=category,
        name=name,
        recording=recording.removesuffix(".wav"),
        position=_number(values, "audio_pos", where) if values.get("audio_pos") else None,
        multi_instance=bool(_number(values, "multi_instance", where)) if "multi_instance" in values else None,
    )


def _number(values: Mapping[str, str | None], column: str, where: str) -> float:
    try:
        number = float(values[column] or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"expected a number as {column} in {where}, found {values[column]!r}; download VPO again")
    return number


def without_repetition(rows: Sequence[Row]) -> tuple[list[Row], dict[str, str]]:
    """The first row of each object; and object and recording of each further row -> why it is left out."""
    first: dict[tuple[str, str], Row] = {}
    left_out = {}
    for row in rows:
        taken = first.setdefault((row.image, row.annotation), row)
        if taken is not row:
            left_out[f"{row.image}_{row.annotation} with {row.recording}"] = (
                f"the list has this object twice; the row with {taken.recording} is taken"
            )
    return list(first.values()), left_out


def list_items(rows: Sequence[Row], root: Path, audio: Path, subset: str, protocol: str) -> list[Item]:
    """The samples in the order of the list: one per photograph if `protocol` is "mixed", else one per row."""
    scenes: dict[tuple[str, Path, Path], list[Row]] = {}
    for row in rows:
        stem = row.image if protocol == "mixed" else f"{row.image}_{row.annotation}"
        scenes.setdefault((stem, *_image_and_mask(row, root, subset)), []).append(row)
    items = []
    for (stem, image, mask), heard in scenes.items():
        foreground = (heard[0].category,) if protocol == "per_object" else tuple(CATEGORIES)
        details = {
            "cateId": [row.category for row in heard],
            "ann_Ids": [row.annotation for row in heard],
            "vgg_file": [row.recording for row in heard],
            "audio_pos": [row.position for row in heard],
        }
        scenario = ("multi_instance" if heard[0].multi_instance else "single_instance") if subset == "msmi" else ""
        names = tuple(dict.fromkeys(row.name for row in heard))
        sound = Sound(tuple(audio / f"{row.recording}.wav" for row in heard), MIDDLE_SECONDS)
        entry = Entry(heard[0].image, names, scenario, details=details)
        items.append(Item(stem, image, sound, LabelMap(mask, tuple(CATEGORIES), foreground), entry))
    return items


def _image_and_mask(row: Row, root: Path, subset: str) -> tuple[Path, Path]:
    if subset == "ss":
        folder = root / FOLDERS["ss"]
        mask_name = f"{row.image}_{row.annotation.zfill(12)}.png"
        return folder / "data" / row.name / f"{row.image}.jpg", folder / "mask" / row.name / mask_name
    folder = root / FOLDERS["ms" if subset == "msmi" and not row.multi_instance else subset]
    return folder / "data" / f"{row.image}.jpg", folder / "mask" / f"{row.image}.png"


if __name__ == "__main__":
    sys.exit(run_script(main))
