"""VPO, COCO's photographs with recordings of what is in them, as a dataset folder.

    python -m datasets.vpo --subset ms --protocol mixed --source DIR --out DIR

`datasets/cards/vpo.md` says where the data comes from, which layout is expected and what to know of the scores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datasets.importing.items import Item, add_options, parse_options, print_summary, run_import
from datasets.importing.label_maps import LabelMap
from datasets.importing.sounds import Sound
from datasets.importing.vpo_rows import CATEGORIES, SPLITS, Row, read_rows
from datasets.layout import some
from datasets.manifest import Manifest
from utils.errors import UserError, run_script
from utils.types import Entry

FOLDERS = {"ss": "VPO-SS", "ms": "VPO-MS", "msmi": "VPO-MSMI"}
PROTOCOLS = ("mixed", "per_object")
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
    "single": "A sample is a row of the list; its mask is every category of the object's own label map.",
    "mixed": "A sample is a photograph: the sounds of its rows are added (and divided by the peak where that exceeds "
    "1), and the mask is every category of the label map, in a row or not.",
    "per_object": "A sample is a row: its sound and the pixels of its category. The label maps do not tell several "
    "things of one category apart.",
}


def find_root(source: Path, subset: str) -> Path:
    """The folder that holds the subset's: `source` or one right below it.

    Raises:
        UserError: there is none.
    """
    below = sorted(path for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
    for folder in (source, *below):
        if (folder / FOLDERS[subset]).is_dir():
            return folder
    raise UserError(
        f"expected the folder {FOLDERS[subset]} in {source}, found {some(path.name for path in below) or 'no folder'}; "
        f"give the folder that holds it as --source, see {CARD}"
    )


def find_list(root: Path, subset: str) -> Path:
    """The csv file of a subset, at the root or in the subset's folder; the one for stereo where there are several.

    Raises:
        UserError: there is none.
    """
    pattern = f"vpo_{subset}_data*.csv"
    found = [path for folder in (root, root / FOLDERS[subset]) for path in sorted(folder.glob(pattern))]
    if not found:
        raise UserError(f"expected {pattern} in {root} or its folder {FOLDERS[subset]}, found none; see {CARD}")
    return min(found, key=lambda path: "stereo" not in path.name)


def find_audio(source: Path, audio: Path | None = None) -> Path:
    """The folder of recordings: `audio`, in `source` or by itself, or `audios` in it; else the only `audios` there.

    Raises:
        UserError: there is none, or there are several.
    """
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


def list_items(rows: Sequence[Row], root: Path, audio: Path, subset: str, protocol: str) -> list[Item]:
    """The samples in the order of the list: one per photograph if `protocol` is "mixed", else one per row."""
    everything = tuple(CATEGORIES)
    if protocol == "mixed":
        scenes: dict[tuple[Path, Path], list[Row]] = {}
        for row in rows:
            scenes.setdefault(_image_and_mask(row, root, subset), []).append(row)
        return [_item(heard[0].image, heard, files, audio, subset, everything) for files, heard in scenes.items()]
    items = []
    for row in rows:
        foreground = everything if protocol == "single" else (row.category,)
        files = _image_and_mask(row, root, subset)
        items.append(_item(f"{row.image}_{row.annotation}", [row], files, audio, subset, foreground))
    return items


def without_repetition(rows: Sequence[Row]) -> tuple[list[Row], dict[str, str]]:
    """The rows, an object that the list has again left out by name.

    Returns:
        rows: the first of each object.
        left_out: object and recording of each further row -> why.
    """
    first: dict[tuple[str, str], Row] = {}
    left_out = {}
    for row in rows:
        taken = first.setdefault((row.image, row.annotation), row)
        if taken is not row:
            left_out[f"{row.image}_{row.annotation} with {row.recording}"] = (
                f"the list has this object twice; the row with {taken.recording} is taken"
            )
    return list(first.values()), left_out


def _image_and_mask(row: Row, root: Path, subset: str) -> tuple[Path, Path]:
    if subset == "ss":
        folder = root / FOLDERS["ss"]
        mask_name = f"{row.image}_{row.annotation.zfill(12)}.png"
        return folder / "data" / row.name / f"{row.image}.jpg", folder / "mask" / row.name / mask_name
    folder = root / FOLDERS["ms" if subset == "msmi" and not row.multi_instance else subset]
    return folder / "data" / f"{row.image}.jpg", folder / "mask" / f"{row.image}.png"


def _item(
    stem: str, rows: Sequence[Row], files: tuple[Path, Path], audio: Path, subset: str, foreground: tuple[int, ...]
) -> Item:
    image, mask = files
    details = {
        "cateId": [row.category for row in rows],
        "ann_Ids": [row.annotation for row in rows],
        "vgg_file": [row.recording for row in rows],
        "audio_pos": [row.position for row in rows],
    }
    scenario = ("multi_instance" if rows[0].multi_instance else "single_instance") if subset == "msmi" else ""
    return Item(
        id=stem,
        image=image,
        sound=Sound(tuple(audio / f"{row.recording}.wav" for row in rows), middle_seconds=MIDDLE_SECONDS),
        mask=LabelMap(mask, tuple(CATEGORIES), foreground),
        entry=Entry(rows[0].image, tuple(dict.fromkeys(row.name for row in rows)), scenario, details=details),
    )


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Imports what a command line describes.

    Returns:
        The manifest as written.

    Raises:
        UserError: the archive is not as published, or samples were left out after the others were written.
    """
    parser = argparse.ArgumentParser(prog="python -m datasets.vpo", description=__doc__.splitlines()[0])
    parser.add_argument("--subset", choices=FOLDERS, required=True, help="one sound, several, several of one category")
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        help="a sample is a photograph with all its sounds added, or one object with its own; the same for ss",
    )
    add_options(parser)
    parser.add_argument("--split", choices=SPLITS, default="test", help='default: %(default)s, also called "val"')
    parser.add_argument("--audio", type=Path, metavar="DIR", help="recordings (default: audios, anywhere in --source)")
    args = parse_options(parser, argv)
    subset, protocol = args.subset, "single" if args.subset == "ss" else args.protocol
    if protocol is None:
        raise UserError(f"expected --protocol {' or '.join(PROTOCOLS)} for {FOLDERS[subset]}, found none; choose one")
    root = find_root(args.source, subset)
    path = find_list(root, subset)
    audio = find_audio(args.source, args.audio)
    print(f"list: {path}\nrecordings: {audio}")
    if protocol == "single":
        print("note: a row of VPO-SS is one photograph, one object and one sound; mixed and per_object are the same")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()  # another list gives other sounds to the same names
    published = PUBLISHED_SAMPLES.get((subset, protocol, args.split))
    manifest = Manifest(
        benchmark=FOLDERS[subset],
        source={"folder": str(root), "list": path.name, "recordings": str(audio), "page": PAGE},
        options={"subset": subset, "protocol": protocol, "split": args.split, "list_sha256": digest[:16]},
        samples={},
        group_unit="image",
        published={"samples": published} if published else {},
        notes=(*NOTES, NOTES_OF_PROTOCOLS[protocol]),
    )
    rows, left_out = without_repetition(read_rows(path, args.split, ("multi_instance",) if subset == "msmi" else ()))
    items = list_items(rows, root, audio, subset, protocol)
    manifest = run_import(
        items, replace(manifest, left_out=left_out), args.out, copy=args.copy, num_workers=args.num_workers
    )
    blank = [stem for stem, entry in manifest.samples.items() if entry.blank]
    if blank:
        print(f"note: {len(blank)} masks have no pixel of what sounds and are kept as blank: {some(blank)}")
    print_summary(manifest, args.out)
    return manifest


if __name__ == "__main__":
    sys.exit(run_script(main))
