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
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from datasets.importing.boxes import NOTES, Box, Boxes, add_folder_options, files_by_stem, find_recordings, read_box
from datasets.importing.items import Item, add_options, parse_options, print_summary, run_import
from datasets.importing.sounds import Sound
from datasets.manifest import Manifest
from utils.errors import UserError, run_script
from utils.types import Entry

__all__ = ["main", "read_boxes", "read_list"]

PUBLISHED = {"samples": 250}
PUBLISHED_AT = "https://github.com/ardasnck/learning_to_localize_sound_source"
SIDE = 256  # the annotations speak of every frame as 256 x 256 pixels


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Runs the import that a command line describes and returns its manifest.

    Raises:
        UserError: the source or the annotations are not what they should be, or samples were left out.
    """
    arguments = parse_arguments(argv)
    if not arguments.annotations.is_dir():
        raise UserError(f"expected a folder of ID.xml at {arguments.annotations}, found none; see {PUBLISHED_AT}")
    annotations = files_by_stem(arguments.annotations, {".xml"})
    recordings = find_recordings(arguments)
    parts = {"annotation": annotations, "frame": recordings.images, "sound": recordings.sounds}
    items, left_out = [], {}
    for name in _ids(annotations, arguments):
        missing = [part for part, files in parts.items() if name not in files]
        try:
            if missing:
                raise UserError(f"expected an annotation, a frame and a sound, found no {' and no '.join(missing)}")
            boxes = Boxes(read_boxes(annotations[name]), arguments.consensus)
            image, sound = recordings.images[name], Sound((recordings.sounds[name],))
            items.append(Item(name, image, sound, boxes, Entry(name)))
        except UserError as error:
            left_out[name] = str(error)
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
        samples={},
        group_unit="video",
        published=PUBLISHED,
        left_out=left_out,
        notes=(*NOTES, _consensus_note(arguments.consensus)),
    )
    manifest = run_import(items, manifest, arguments.out, copy=arguments.copy, num_workers=arguments.num_workers)
    for note in manifest.notes:
        print(f"note: {note}")
    print_summary(manifest, arguments.out)
    return manifest


def read_boxes(path: Path) -> tuple[Box, ...]:
    """Reads the boxes that the annotators of one frame drew.

    Args:
        path: XML whose `bbox` elements, wherever they stand, hold an id and then xmin, ymin, xmax, ymax at 256 x 256.

    Returns:
        All boxes of all annotators, relative to the frame.

    Raises:
        UserError: it is no such file, or holds no box.
    """
    try:
        elements = list(ElementTree.parse(path).getroot().iter("bbox"))
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"cannot read the annotation {path}: {error}; copy or download it again") from error
    if not elements:
        raise UserError(f"expected boxes in {path}, found none; copy or download it again")
    return tuple(read_box([_number(child.text) for child in element][1:], SIDE) for element in elements)


def read_list(path: Path) -> list[str]:
    """Reads the names of samples from the first column of a text file; a suffix such as .png does not matter.

    Raises:
        UserError: it cannot be read, or names none.
    """
    try:
        rows = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read the list of samples {path}: {reason}; see {PUBLISHED_AT}") from error
    names = [Path(row.split(",")[0].strip()).stem for row in rows if row.strip()]
    if not names:
        raise UserError(f"expected one sample per line in {path}, found none; see {PUBLISHED_AT}")
    return names


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m datasets.flickr_soundnet", description=description)
    add_options(parser)
    add_folder_options(parser)
    add = parser.add_argument
    add("--annotations", type=Path, required=True, metavar="DIR", help="holds ID.xml")
    add("--list", type=Path, metavar="FILE", help="names of the test samples, one a line (default: all annotated ones)")
    add(
        "--consensus",
        type=int,
        choices=(1, 2),
        default=2,
        help="how many boxes must cover a pixel of the foreground (default: %(default)s)",
    )
    return parse_options(parser, argv)


def _ids(annotations: Mapping[str, Path], arguments: argparse.Namespace) -> list[str]:
    if arguments.list is not None:
        return read_list(arguments.list)
    if len(annotations) > PUBLISHED["samples"]:
        raise UserError(
            f"expected annotations of the {PUBLISHED['samples']} test samples in {arguments.annotations}, found "
            f"{len(annotations)}; say which are the test with --list (test_list.txt of {PUBLISHED_AT})"
        )
    if not annotations:
        raise UserError(f"expected annotations like ID.xml in {arguments.annotations}, found none; see {PUBLISHED_AT}")
    return sorted(annotations)


def _number(text: str | None) -> float | None:
    """None where it is none; the box it belongs to is then refused."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _consensus_note(consensus: int) -> str:
    if consensus == 1:
        return "Foreground is what any annotator's box covers."
    return (
        f"Foreground is what at least {consensus} of the annotators' boxes cover; where they do nowhere, the mask is "
        "blank (blank_masks in the counts) and IoU and F are 0 for every answer. Published cIoU is another number: it "
        "weights a pixel in one box by 0.5."
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
