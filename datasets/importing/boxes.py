"""What importers of benchmarks with boxes as ground truth share: boxes as masks, and where frames and sounds lie.

Rasterisation. A box (x0, y0, x1, y1) is relative to the image, x to the right and y down, 1 the far edge. Of an image
of H x W pixels it covers pixel (i, j) where it holds the pixel's centre:

    x0 <= (j + 0.5) / W < x1    and    y0 <= (i + 0.5) / H < y1

so what lies outside the image counts for nothing, and a box without area, with its corners exchanged, or too thin to
hold a centre covers no pixel. Foreground is what at least `agreement` boxes cover; 1 is their union.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.layout import IMAGE_SUFFIXES, SOUND_SUFFIXES, some
from utils.errors import UserError

__all__ = ["NOTES", "Box", "Boxes", "Recordings", "add_folder_options", "files_by_stem", "find_recordings", "read_box"]

Box = tuple[float, float, float, float]

IMAGE_FOLDERS = ("frames", "Data/frames", "images", "image", "img")
SOUND_FOLDERS = ("audio", "Data/audio", "audios", "wav")
LIMIT = 1e6  # no coordinate is as large
NOTES = (
    "The ground truth is boxes: IoU, J and F against it reward boxes, and a perfect outline does not score 1.",
    "Boxes became masks at the image's own size: a pixel is foreground where its centre lies in the box.",
)


@dataclass(frozen=True)
class Boxes:
    """A mask that is given by boxes.

    Attributes:
        boxes: (x0, y0, x1, y1) each, relative to the image.
        agreement: how many boxes must cover a pixel of the foreground.
    """

    boxes: tuple[Box, ...]
    agreement: int = 1

    def read(self, size: tuple[int, int]) -> tuple[np.ndarray, None]:
        """Draws the boxes by the rule in the module docstring.

        Args:
            size: (H, W) of the image.

        Returns:
            mask: (H, W) bool.
            ignore: None, every pixel counts.
        """
        rows, columns = ((np.arange(length) + 0.5) / length for length in size)
        covered = np.zeros(size, dtype=np.intp)
        for x0, y0, x1, y1 in self.boxes:
            covered += np.outer((y0 <= rows) & (rows < y1), (x0 <= columns) & (columns < x1))
        return covered >= self.agreement, None


@dataclass(frozen=True)
class Recordings:
    """The frames and sounds of a source, listed once.

    Attributes:
        image_folder, sound_folder: where they lie.
        images, sounds: stem -> file.
        frame_folders: name -> folder, where the frames of a clip have one.
    """

    image_folder: Path
    sound_folder: Path
    images: Mapping[str, Path]
    sounds: Mapping[str, Path]
    frame_folders: Mapping[str, Path]

    def nothing_fits(self, wanted: str, left_out: Mapping[str, str]) -> UserError:
        """What to raise where no sample can be imported: what lies there, and why the first one was left out."""
        images, sounds = some([*self.images, *self.frame_folders]), some(self.sounds)
        why = "".join(f" ({name}: {reason})" for name, reason in list(left_out.items())[:1])
        return UserError(
            f"expected {wanted}, found {images or 'no image'} in {self.image_folder} and {sounds or 'no sound'} in "
            f"{self.sound_folder}{why}; name other folders with --images and --audio"
        )


def read_box(values: object, side: float = 1.0) -> Box:
    """Reads one annotated box.

    Args:
        values: a list of four finite numbers x0, y0, x1, y1; whatever an annotation file holds.
        side: the length that is 1 in relative coordinates.

    Raises:
        UserError: they are something else.
    """
    is_list = isinstance(values, list) and len(values) == 4
    if is_list and all(type(value) in (int, float) and abs(value) < LIMIT for value in values):  # not NaN either
        x0, y0, x1, y1 = (value / side for value in values)
        return x0, y0, x1, y1
    raise UserError(f"expected a box of four numbers x0, y0, x1, y1, found {values!r:.80}; mend the annotation")


def add_folder_options(parser: argparse.ArgumentParser) -> None:
    """Adds --images and --audio."""
    for option, names in (("--images", IMAGE_FOLDERS), ("--audio", SOUND_FOLDERS)):
        parser.add_argument(
            option, type=Path, metavar="DIR", help=f"a folder in --source (default: the one of {', '.join(names)})"
        )


def find_recordings(arguments: argparse.Namespace) -> Recordings:
    """Lists the frames and sounds that --source, --images and --audio speak of.

    Raises:
        UserError: a folder is missing, or several could be meant.
    """
    image_folder = _find_folder(arguments.source, arguments.images, IMAGE_FOLDERS, "--images")
    sound_folder = _find_folder(arguments.source, arguments.audio, SOUND_FOLDERS, "--audio")
    with os.scandir(image_folder) as entries:
        frame_folders = {entry.name: Path(entry.path) for entry in entries if entry.is_dir()}
    images, sounds = files_by_stem(image_folder, IMAGE_SUFFIXES), files_by_stem(sound_folder, SOUND_SUFFIXES)
    return Recordings(image_folder, sound_folder, images, sounds, frame_folders)


def files_by_stem(folder: Path, suffixes: set[str]) -> dict[str, Path]:
    """Name without suffix -> file of these kinds; of several with one stem the first by name."""
    files: dict[str, Path] = {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            if path.suffix.lower() in suffixes and not entry.name.startswith(".") and entry.is_file():
                files.setdefault(path.stem, path)
    return files


def _find_folder(source: Path, given: Path | None, names: Sequence[str], option: str) -> Path:
    if not source.is_dir():
        raise UserError(f"expected the unpacked archive at {source}, found no such folder; check --source")
    found = [source / name for name in ([given] if given else names) if (source / name).is_dir()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"expected one folder, found {' and '.join(map(str, found))}; say which one is meant with {option}"
        )
    wanted = f"the folder {given}" if given else f"one of the folders {', '.join(names)}"
    inside = some(entry.name for entry in source.iterdir()) or "nothing"
    raise UserError(f"expected {wanted} in {source}, found {inside}; name it with {option}")
