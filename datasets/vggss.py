"""Imports VGG-Sound Source (VGG-SS): one frame and the sound of a YouTube clip, its ground truth boxes.

    python -m datasets.vggss --source DIR --annotations vggss.json --out DIR

The frame of the clip YTID_000123 (start in seconds) is a file or a folder of frames called YTID_000123 or
YTID_123000_133000 (start and end in milliseconds), its sound a file of such a name. Where the data comes from, what is
published and what is comparable: datasets/cards/vggss.md.

Reference: H. Chen et al., "Localizing Visual Sounds the Hard Way", CVPR 2021.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.importing.boxes import (
    NOTES,
    Boxes,
    Recordings,
    add_folder_options,
    files_by_stem,
    find_recordings,
    read_box,
)
from datasets.importing.items import Item, add_options, parse_options, print_summary, run_import
from datasets.importing.sounds import Sound
from datasets.layout import IMAGE_SUFFIXES, some
from datasets.manifest import Manifest
from utils.errors import UserError, run_script
from utils.types import Entry

__all__ = ["find_frame", "main", "read_annotations"]

PUBLISHED = {"samples": 5158}
PUBLISHED_AT = "https://www.robots.ox.ac.uk/~vgg/research/lvs/"
NAME = re.compile(r"([\w-]{11})_(\d{6})", re.ASCII)
CLIP_SECONDS = 10


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Runs the import that a command line describes and returns its manifest.

    Raises:
        UserError: the source or the annotations are not what they should be, or samples were left out.
    """
    arguments = parse_arguments(argv)
    annotations, left_out, digest = read_annotations(arguments.annotations)
    recordings = find_recordings(arguments)
    here = [name for name in annotations if _is_here(name, recordings)]
    items = []
    for name in here:
        try:
            items.append(_item(name, *annotations[name], recordings, arguments.frame))
        except UserError as error:
            left_out[name] = str(error)
    if not items:
        like = " or ".join(_names(next(iter(annotations), "ZZZZZZZZZZZ_000123")))
        raise recordings.nothing_fits(f"a frame and a sound, named like {like}, of an annotated video", left_out)
    notes = [
        *NOTES,
        f"{len(here)} of {len(annotations)} annotated videos are here, the others are not in the source: a score is "
        "comparable only with scores on the same videos.",
        *_notes(items, annotations, arguments.frame),
    ]
    manifest = Manifest(
        benchmark="VGG-SS",
        source={"folder": str(arguments.source), "annotations": str(arguments.annotations), "published": PUBLISHED_AT},
        options={
            "annotations_sha256": digest,
            "images": recordings.image_folder.name,
            "audio": recordings.sound_folder.name,
            "frame": "middle" if arguments.frame is None else arguments.frame,
        },
        samples={},
        group_unit="video",
        published=PUBLISHED,
        left_out=left_out,
        notes=tuple(notes),
    )
    manifest = run_import(items, manifest, arguments.out, copy=arguments.copy, num_workers=arguments.num_workers)
    for note in notes:
        print(f"note: {note}")
    print_summary(manifest, arguments.out)
    return manifest


def read_annotations(path: Path) -> tuple[dict[str, tuple[str, Boxes]], dict[str, str], str]:
    """Reads vggss.json.

    Returns:
        annotations: name of the clip -> what sounds, and where.
        left_out: name, or "entry N" where it has none -> what is wrong with it.
        digest: first 16 digits of the file's SHA-256, because boxes were corrected after publication.

    Raises:
        UserError: it is no list of annotations, or names a clip twice.
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
            annotations[name] = _annotation(entry)
        except UserError as error:
            left_out[name if is_name else f"entry {number}"] = str(error)
    return annotations, left_out, hashlib.sha256(content).hexdigest()[:16]


def find_frame(folder: Path, number: int | None) -> Path:
    """One frame of a folder of frames, in the order of the numbers in their names.

    Args:
        folder: holds the frames of one clip.
        number: which, counted from 1; None for the middle one, the earlier of two (125 of 250, 50 of 100).

    Raises:
        UserError: it holds fewer frames, or none.
    """
    files = files_by_stem(folder, IMAGE_SUFFIXES)
    frames = [files[stem] for stem in sorted(files, key=_numbers)]
    wanted = max(1, (len(frames) + 1) // 2) if number is None else number
    if not 1 <= wanted <= len(frames):
        raise UserError(f"expected frame {wanted} in {folder}, found {len(frames)} frames; extract them again")
    return frames[wanted - 1]


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    parser = argparse.ArgumentParser(prog="python -m datasets.vggss", description=(__doc__ or "").splitlines()[0])
    add_options(parser)
    add_folder_options(parser)
    add = parser.add_argument
    add("--annotations", type=Path, required=True, metavar="FILE", help="vggss.json as published")
    add(
        "--frame",
        type=int,
        metavar="N",
        help="of a folder of frames take the N-th (default: the middle one, right for whole clips of 10 s)",
    )
    arguments = parse_options(parser, argv)
    if arguments.frame is not None and arguments.frame < 1:
        parser.error(f"argument --frame: expected a whole number from 1 up, found {arguments.frame}")
    return arguments


def _annotation(entry: dict) -> tuple[str, Boxes]:
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


def _is_here(name: str, recordings: Recordings) -> bool:
    listed = (recordings.images, recordings.frame_folders, recordings.sounds)
    return any(each in files for each in _names(name) for files in listed)


def _item(name: str, category: str, boxes: Boxes, recordings: Recordings, number: int | None) -> Item:
    image, folder, sound = (
        next((files[each] for each in _names(name) if each in files), None)
        for files in (recordings.images, recordings.frame_folders, recordings.sounds)
    )
    details = {}
    if image is None and folder is not None:
        image = find_frame(folder, number)
        details["frame"] = image.name
    if image is None or sound is None:
        missing = "frame" if image is None else "sound"
        raise UserError(f"expected a frame and a sound, found no {missing}; add it, or remove the other")
    return Item(name, image, Sound((sound,)), boxes, Entry(name[:11], (category,), details=details))


def _notes(items: Sequence[Item], annotations: Mapping[str, tuple[str, Boxes]], number: int | None) -> list[str]:
    notes = []
    blank = [item.id for item in items if not any(map(_has_area, annotations[item.id][1].boxes))]
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


def _has_area(box: Sequence[float]) -> bool:
    x0, y0, x1, y1 = (min(max(value, 0.0), 1.0) for value in box)
    return x0 < x1 and y0 < y1


def _numbers(stem: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", stem)]


if __name__ == "__main__":
    sys.exit(run_script(main))
