"""Imports the Flickr-SoundNet test set: frames and sounds of Flickr videos, boxes by three annotators as ground truth.

    python -m datasets.flickr_soundnet --source DIR --annotations DIR --list test_list.txt --out DIR

A sample ID has a frame ID.jpg, a sound ID.wav and the annotation ID.xml; --list names the 250 test samples where the
folders hold all 5,000 annotated ones. Where the data comes from, what is published and what is comparable:
datasets/cards/flickr_soundnet.md.

Reference: A. Senocak et al., "Learning to Localize Sound Source in Visual Scenes", CVPR 2018.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from datasets.importing import Entry, Item, Manifest, Sound, import_and_report, parse_options
from datasets.importing.ground_truth import BOX_NOTES, Box, Boxes, read_box
from datasets.importing.sources import Recordings, add_folder_options, files_by_stem
from utils.cli import Parser
from utils.errors import UserError, run_script

PUBLISHED = {"samples": 250}
PUBLISHED_AT = "https://github.com/ardasnck/learning_to_localize_sound_source"
SIDE = 256  # the annotations speak of every frame as 256 x 256 pixels
NOTES_OF_CONSENSUS = {
    1: "Foreground is what any annotator's box covers.",
    2: "Foreground is what at least 2 of the annotators' boxes cover; where they do nowhere, the mask is blank "
    "(blank_masks in the counts) and IoU and F are 0 for every answer. Published cIoU is another number: it weights a "
    "pixel in one box by 0.5.",
}


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Imports what a command line describes; ends in a `UserError` where the source is not as published."""
    description = __doc__.splitlines()[0]
    parser = Parser(prog="python -m datasets.flickr_soundnet", description=description)
    add = parser.add_argument
    add("--annotations", type=Path, required=True, metavar="DIR", help="holds ID.xml")
    add("--list", type=Path, metavar="FILE", help="names of the test samples, one a line (default: all annotated ones)")
    how_many = "how many boxes must cover a pixel of the foreground (default: %(default)s)"
    add("--consensus", type=int, choices=tuple(NOTES_OF_CONSENSUS), default=2, help=how_many)
    add_folder_options(parser)
    arguments = parse_options(parser, argv)
    if not arguments.annotations.is_dir():
        raise UserError(f"expected a folder of ID.xml at {arguments.annotations}, found none; see {PUBLISHED_AT}")
    recordings = Recordings(arguments)
    items, left_out = list_items(arguments, recordings)
    if not items:
        raise recordings.nothing_fits("ID.xml, a frame ID.jpg and a sound ID.wav of a sample", left_out)
    manifest = Manifest(
        benchmark="Flickr-SoundNet",
        source={"folder": str(arguments.source), "annotations": str(arguments.annotations), "published": PUBLISHED_AT},
        options={
            "consensus": arguments.consensus,
            "list": "all annotated" if arguments.list is None else arguments.list.name,
            "images": recordings.image_folder.name,
            "audio": recordings.sound_folder.name,
        },
        group_unit="video",
        published=PUBLISHED,
        left_out=left_out,
        notes=(*BOX_NOTES, NOTES_OF_CONSENSUS[arguments.consensus]),
    )
    return import_and_report(items, manifest, arguments, lambda written: [f"note: {note}" for note in written.notes])


def list_items(arguments: argparse.Namespace, recordings: Recordings) -> tuple[list[Item], dict[str, str]]:
    """The samples that have all they need; and the name of each other one -> why it is left out."""
    annotations = files_by_stem(arguments.annotations, {".xml"})
    parts = {"annotation": annotations, "frame": recordings.images, "sound": recordings.sounds}
    names = sorted(annotations) if arguments.list is None else read_list(arguments.list)
    if arguments.list is None and len(names) > PUBLISHED["samples"]:
        raise UserError(
            f"expected annotations of the {PUBLISHED['samples']} test samples in {arguments.annotations}, found "
            f"{len(names)}; say which are the test with --list (test_list.txt of {PUBLISHED_AT})"
        )
    if not names:
        raise UserError(f"expected annotations like ID.xml in {arguments.annotations}, found none; see {PUBLISHED_AT}")
    items, left_out = [], {}
    for name in names:
        missing = [part for part, files in parts.items() if name not in files]
        try:
            if missing:
                raise UserError(f"expected an annotation, a frame and a sound, found no {' and no '.join(missing)}")
            boxes = Boxes(read_boxes(annotations[name]), arguments.consensus)
            items.append(Item(name, recordings.images[name], Sound((recordings.sounds[name],)), boxes, Entry(name)))
        except UserError as error:
            left_out[name] = str(error)
    return items, left_out


def read_boxes(path: Path) -> tuple[Box, ...]:
    """All boxes that the annotators of one frame drew, relative to it; raises `UserError` where there is none.

    Args:
        path: XML whose `bbox` elements, wherever they stand, hold an id and then xmin, ymin, xmax, ymax at 256 x 256.
    """
    try:
        elements = list(ElementTree.parse(path).getroot().iter("bbox"))
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"cannot read the annotation {path}: {error}; copy or download it again") from error
    if not elements:
        raise UserError(f"expected boxes in {path}, found none; copy or download it again")
    return tuple(read_box([_number(child.text) for child in element][1:], SIDE) for element in elements)


def read_list(path: Path) -> list[str]:
    """The names of samples in the first column of a text file; a suffix such as .png does not matter."""
    try:
        rows = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read the list of samples {path}: {reason}; see {PUBLISHED_AT}") from error
    names = [Path(row.split(",")[0].strip()).stem for row in rows if row.strip()]
    if not names:
        raise UserError(f"expected one sample per line in {path}, found none; see {PUBLISHED_AT}")
    return names


def _number(text: str | None) -> float | None:
    """None where it is none; the box it belongs to is then refused."""
    try:
        return float(text or "")
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(run_script(main))
