"""Imports VGG-Sound Source (VGG-SS): one frame and the sound of a YouTube clip, its ground truth boxes.

    python -m datasets.vggss --source DIR --annotations vggss.json --out DIR

The frame of the clip YTID_000123 (start in seconds) is a file or a folder of frames called YTID_000123 or
YTID_123000_133000 (start and end in milliseconds), its sound a file of such a name. Where the data comes from, what is
published and what is comparable: datasets/cards/vggss.md.

Reference: H. Chen et al., "Localizing Visual Sounds the Hard Way", CVPR 2021.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.findings import some
from datasets.importing import Entry, Item, Manifest, Sound, import_and_report, parse_options
from datasets.importing.ground_truth import BOX_NOTES, Boxes, read_box
from datasets.importing.sources import Recordings, add_folder_options, files_by_stem
from datasets.layout import IMAGE_SUFFIXES
from utils.cli import Parser, at_least
from utils.errors import UserError, run_script

PUBLISHED = {"samples": 5158}
PUBLISHED_AT = "https://www.robots.ox.ac.uk/~vgg/research/lvs/"
NAME = re.compile(r"([\w-]{11})_(\d{6})", re.ASCII)
CLIP_SECONDS = 10


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Imports what a command line describes; ends in a `UserError` where the source is not as published."""
    parser = Parser(prog="python -m datasets.vggss", description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=Path, required=True, metavar="FILE", help="vggss.json as published")
    which = "of a folder of frames take the N-th (default: the middle one, right for whole clips of 10 s)"
    parser.add_argument("--frame", type=at_least(1), metavar="N", help=which)
    add_folder_options(parser)
    arguments = parse_options(parser, argv)
    annotations, left_out, digest = read_annotations(arguments.annotations)
    recordings = Recordings(arguments)
    items, here = [], 0
    for name, (category, boxes) in annotations.items():
        files = _files(name, recordings)
        if not any(files):
            continue
        here += 1
        try:
            items.append(_item(name, category, boxes, files, arguments.frame))
        except UserError as error:
            left_out[name] = str(error)
    if not items:
        like = " or ".join(_names(next(iter(annotations), "ZZZZZZZZZZZ_000123")))
        raise recordings.nothing_fits(f"a frame and a sound, named like {like}, of an annotated video", left_out)
    manifest = Manifest(
        benchmark="VGG-SS",
        source={"folder": str(arguments.source), "annotations": str(arguments.annotations), "published": PUBLISHED_AT},
        options={
            "annotations_sha256": digest,
            "images": recordings.image_folder.name,
            "audio": recordings.sound_folder.name,
            "frame": "middle" if arguments.frame is None else arguments.frame,
        },
        group_unit="video",
        published=PUBLISHED,
        left_out=left_out,
        notes=(
            *BOX_NOTES,
            f"{here} of {len(annotations)} annotated videos are here, the others are not in the source: a score is "
            "comparable only with scores on the same videos.",
            *_notes(items, arguments.frame),
        ),
    )
    return import_and_report(items, manifest, arguments, lambda written: [f"note: {note}" for note in written.notes])


def read_annotations(path: Path) -> tuple[dict[str, tuple[str, Boxes]], dict[str, str], str]:
    """Reads vggss.json; raises `UserError` where it is no list of annotations, or names a clip twice.

    Returns:
        annotations: name of the clip -> what sounds, and where.
        left_out: name, or "entry N" where it has none -> what is wrong with it.
        digest: first 16 digits of the file's SHA-256, because boxes were corrected after publication.
    """
    try:
        content = path.read_bytes()
        entries = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path} as vggss.json: {reason}; download it from {PUBLISHED_AT}") from error
    if not isinstance(entries, list):
        raise UserError(f"expected a list of annotated videos in {path}, found {entries!r:.60}; see {PUBLISHED_AT}")
    annotations: dict[str, tuple[str, Boxes]] = {}
    left_out: dict[str, str] = {}
    for number, entry in enumerate(entries, start=1):
        name = entry.get("file") if isinstance(entry, dict) else None
        is_name = isinstance(name, str) and NAME.fullmatch(name) is not None
        if is_name and (name in annotations or name in left_out):
            raise UserError(f"expected every video once in {path}, found {name} twice; remove one")
        try:
            if not is_name:
                raise UserError(f'expected {{"file": "YTID_000123", "class": ..., "bbox": ...}}, found {entry!r:.80}')
            annotations[name] = _read_annotation(entry)
        except UserError as error:
            left_out[name if is_name else f"entry {number}"] = str(error)
    return annotations, left_out, hashlib.sha256(content).hexdigest()[:16]


def find_frame(folder: Path, number: int | None) -> Path:
    """One frame of a clip's folder, in the order of the numbers in their names, or `UserError` where it has fewer.

    Args:
        folder: of frames.
        number: which, counted from 1; None for the middle one, the earlier of two (125 of 250, 50 of 100).
    """
    files = files_by_stem(folder, IMAGE_SUFFIXES)
    by_number = [[int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", stem)] for stem in files]
    frames = [path for _, path in sorted(zip(by_number, files.values(), strict=True))]
    wanted = max(1, (len(frames) + 1) // 2) if number is None else number
    if not 1 <= wanted <= len(frames):
        raise UserError(f"expected frame {wanted} in {folder}, found {len(frames)} frames; extract them again")
    return frames[wanted - 1]


def _read_annotation(entry: Mapping) -> tuple[str, Boxes]:
    category, boxes = entry.get("class"), entry.get("bbox")
    if not isinstance(category, str) or not category:
        raise UserError(f'expected what sounds as "class", found {category!r:.60}; mend the annotation')
    if not isinstance(boxes, list) or not boxes:
        raise UserError(f'expected at least one box as "bbox", found {boxes!r:.60}; mend the annotation')
    return category, Boxes(tuple(read_box(box) for box in boxes))


def _names(name: str) -> tuple[str, str]:
    """What the files of a clip may be called."""
    start = int(name[12:])
    return name, f"{name[:11]}_{start * 1000}_{(start + CLIP_SECONDS) * 1000}"


def _files(name: str, recordings: Recordings) -> list[Path | None]:
    """The image, the folder of frames and the sound of a clip, None for what is not here."""
    listed = (recordings.images, recordings.frame_folders, recordings.sounds)
    return [next((files[called] for called in _names(name) if called in files), None) for files in listed]


def _item(name: str, category: str, boxes: Boxes, files: Sequence[Path | None], number: int | None) -> Item:
    image, folder, sound = files
    details = {}
    if image is None and folder is not None:
        image = find_frame(folder, number)
        details["frame"] = image.name
    if image is None or sound is None:
        missing = "frame" if image is None else "sound"
        raise UserError(f"expected a frame and a sound, found no {missing}; add it, or remove the other")
    return Item(name, image, Sound((sound,)), boxes, Entry(name[:11], (category,), details=details))


def _notes(items: Sequence[Item], number: int | None) -> list[str]:
    notes = []
    blank = [
        item.id
        for item in items
        if not any(max(x0, 0) < min(x1, 1) and max(y0, 0) < min(y1, 1) for x0, y0, x1, y1 in item.mask.boxes)
    ]
    if blank:
        notes.append(
            f"Blank masks, because no box has an area: {len(blank)} ({some(blank)}); published evaluators keep such "
            "samples, and IoU and F are 0 there for every answer."
        )
    chosen = sum("frame" in item.entry.details for item in items)
    if chosen:
        which = "the middle frame" if number is None else f"frame {number}"
        notes.append(f"Images that are {which} of a folder of frames: {chosen}.")
    return notes


if __name__ == "__main__":
    sys.exit(run_script(main))
