"""A dataset in the project's folder layout: one image, one sound and one mask per stem.

    ROOT/image/STEM.jpg    (the folder may also be called img; .png, .jpeg and other image formats are read too)
    ROOT/wav/STEM.wav      (.flac, .ogg, .mp3, ... are read too)
    ROOT/gt_seg/STEM.png   (absent where there is no ground truth)

A stem is the file name without its last suffix, so it may contain dots; the case of the suffix does not matter. Hidden
files and those that file managers leave behind are passed over. Whatever else cannot be paired is refused by name.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.masks import read_mask, resize_mask
from utils.media import check_audio, check_image, read_audio, read_image
from utils.types import Sample

__all__ = ["FolderDataset"]

IMAGE_FOLDERS = ("image", "img")
SOUND_FOLDER = "wav"
MASK_FOLDER = "gt_seg"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
SOUND_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff"}
LEFT_BEHIND = {"thumbs.db", "desktop.ini"}
NAMED_AT_MOST = 3  # file names in one message


class FolderDataset:
    """Samples of a folder in the project's layout, in the order of their stems; a map-style dataset for DataLoader.

    Attributes:
        root: the folder.
        ids: the stems, sorted.
        has_gt: whether there is ground truth.
    """

    def __init__(self, root: str | os.PathLike, limit: int | None = None) -> None:
        """Pairs the files without opening any.

        Args:
            root: a folder in the layout above.
            limit: keep only the first so many stems; None for all.

        Raises:
            UserError: a folder is missing or empty, or files cannot be paired.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"expected a dataset folder at {self.root}, found none; check the path")
        image_folder = self._image_folder()
        self._images = _files_by_stem(self.root / image_folder, IMAGE_SUFFIXES)
        self._sounds = _files_by_stem(self.root / SOUND_FOLDER, SOUND_SUFFIXES)
        self.has_gt = (self.root / MASK_FOLDER).is_dir()
        self._masks = _files_by_stem(self.root / MASK_FOLDER, IMAGE_SUFFIXES) if self.has_gt else {}
        if not self._images:
            raise UserError(
                f"expected images in {self.root / image_folder}, found none; see the data layout in the README"
            )
        _require_pairs(image_folder, self._images, SOUND_FOLDER, self._sounds)
        if self.has_gt:
            _require_pairs(image_folder, self._images, MASK_FOLDER, self._masks)
        self.ids = sorted(self._images)[:limit]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Reads one sample from disk.

        Returns:
            Sample with `gt_mask` at the image's size (nearest neighbour where the file has another), None without
            ground truth.

        Raises:
            UserError: a file cannot be read, or the mask lies across the image.
        """
        stem = self.ids[index]
        image = read_image(self._images[stem])
        waveform, sampling_rate = read_audio(self._sounds[stem])
        return Sample(stem, image, waveform, sampling_rate, self._gt_mask(stem, image.shape[:2]))

    def check_files(self) -> None:
        """Opens every file's header, so that a broken file is found before the work starts.

        Raises:
            UserError: names the first file that cannot be read.
        """
        for stem in self.ids:
            check_image(self._images[stem])
            check_audio(self._sounds[stem])
            if self.has_gt:
                check_image(self._masks[stem])

    def _image_folder(self) -> str:
        found = [name for name in IMAGE_FOLDERS if (self.root / name).is_dir()]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"expected one image folder in {self.root}, found both image and img; remove or rename one")
        inside = _some(entry.name for entry in self.root.iterdir()) or "nothing"
        raise UserError(
            f"expected the folders image, wav, gt_seg in {self.root}, found {inside}; see the data layout in the README"
        )

    def _gt_mask(self, stem: str, size: tuple[int, int]) -> np.ndarray | None:
        if not self.has_gt:
            return None
        mask = read_mask(self._masks[stem])
        if mask.shape == size:
            return mask
        if mask.shape == size[::-1]:
            raise UserError(
                f"expected the mask {self._masks[stem]} to be {size[1]}x{size[0]} pixels like its upright image, "
                f"found {mask.shape[1]}x{mask.shape[0]}; rotate it as the image's EXIF orientation says"
            )
        return resize_mask(mask, size)


def _files_by_stem(folder: Path, suffixes: set[str]) -> dict[str, Path]:
    """Stem (Unicode NFC) -> file of a flat folder."""
    if not folder.is_dir():
        raise UserError(
            f"expected the folder {folder.name} in {folder.parent}, found none; see the data layout in the README"
        )
    entries = [
        entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name.lower() not in LEFT_BEHIND
    ]
    strange = [entry.name for entry in entries if entry.suffix.lower() not in suffixes or not entry.is_file()]
    if strange:
        known = " ".join(sorted(suffixes))
        raise UserError(f"expected only files ({known}) in {folder}, found {_some(strange)}; move or convert them")
    files: dict[str, Path] = {}
    for entry in sorted(entries):
        stem = unicodedata.normalize("NFC", entry.stem)
        if stem in files:
            pair = f"{files[stem].name} and {entry.name}"
            raise UserError(f"expected one file per stem in {folder}, found {pair}; remove one")
        files[stem] = entry
    return files


def _require_pairs(first_name: str, first: Mapping[str, Path], second_name: str, second: Mapping[str, Path]) -> None:
    """Both folders must hold the same stems."""
    problems = []
    for here, there, missing in (
        (first_name, second_name, first.keys() - second.keys()),
        (second_name, first_name, second.keys() - first.keys()),
    ):
        if missing:
            problems.append(f"{len(missing)} in {here} without a partner in {there} ({_some(missing)})")
    if problems:
        raise UserError(
            f"expected the same stems in {first_name} and {second_name}, "
            f"found {' and '.join(problems)}; add or remove files"
        )


def _some(names: Iterable[str]) -> str:
    """The first few names: "a, b, c and 4 more"."""
    names = sorted(names)
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more
