"""The files of a dataset folder, paired by stem, and everything that does not pair.

    ROOT/image/STEM.jpg       (the folder may also be called img; .png, .jpeg and other image formats are read too)
    ROOT/wav/STEM.wav         (.flac, .ogg, .mp3, ... are read too)
    ROOT/gt_seg/STEM.png      (absent where there is no ground truth)
    ROOT/gt_ignore/STEM.png   (where some pixels must not count; stems without such pixels have no file)
    ROOT/manifest.json        (where an importer or a generator wrote the folder)

A stem is the file name without its last suffix, so it may contain dots; the case of the suffix does not matter. Hidden
files and those that file managers leave behind are passed over.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import UserError

__all__ = ["IGNORE_FOLDER", "IMAGE_SUFFIXES", "MASK_FOLDER", "SOUND_FOLDER", "Layout", "read_layout", "some"]

IMAGE_FOLDERS = ("image", "img")
SOUND_FOLDER = "wav"
MASK_FOLDER = "gt_seg"
IGNORE_FOLDER = "gt_ignore"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
SOUND_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff"}
LEFT_BEHIND = {"thumbs.db", "desktop.ini"}
NAMED_AT_MOST = 3  # file names in one message


@dataclass(frozen=True)
class Layout:
    """What lies in a dataset folder.

    Attributes:
        root: the folder.
        image_folder: "image" or "img".
        images, sounds, masks, ignores: stem (Unicode NFC) -> file.
        has_gt: whether there is a folder of masks.
        faults: what cannot be paired, one sentence each; empty where the folder is a dataset.
    """

    root: Path
    image_folder: str
    images: Mapping[str, Path]
    sounds: Mapping[str, Path]
    masks: Mapping[str, Path]
    ignores: Mapping[str, Path]
    has_gt: bool
    faults: tuple[str, ...] = ()

    @property
    def stems(self) -> list[str]:
        """The stems that have everything they need, sorted."""
        complete = self.images.keys() & self.sounds.keys()
        return sorted(complete & self.masks.keys() if self.has_gt else complete)


def read_layout(root: str | os.PathLike) -> Layout:
    """Lists and pairs the files of a dataset folder without opening any.

    Raises:
        UserError: there is no such folder, or it has no folder of images.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"expected a dataset folder at {root}, found none; check the path")
    scan = _Scan(root)
    image_folder = scan.image_folder()
    images = scan.files_by_stem(image_folder, IMAGE_SUFFIXES)
    sounds = scan.files_by_stem(SOUND_FOLDER, SOUND_SUFFIXES)
    has_gt = (root / MASK_FOLDER).is_dir()
    masks = scan.files_by_stem(MASK_FOLDER, IMAGE_SUFFIXES) if has_gt else {}
    ignores = scan.files_by_stem(IGNORE_FOLDER, IMAGE_SUFFIXES) if (root / IGNORE_FOLDER).is_dir() else {}
    if not images:
        scan.faults.append(f"expected images in {root / image_folder}, found none; see the data layout in the README")
    if (root / SOUND_FOLDER).is_dir():
        scan.require_pairs(image_folder, images, SOUND_FOLDER, sounds)
    if has_gt:
        scan.require_pairs(image_folder, images, MASK_FOLDER, masks)
    stray = ignores.keys() - masks.keys()
    if stray:
        scan.faults.append(
            f"expected the stems of {IGNORE_FOLDER} in {MASK_FOLDER} too, found {len(stray)} without a mask there "
            f"({some(stray)}); remove them"
        )
    return Layout(root, image_folder, images, sounds, masks, ignores, has_gt, tuple(scan.faults))


def some(names: Iterable[str]) -> str:
    """The first few names: "a, b, c and 4 more"."""
    names = sorted(names)
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more


@dataclass
class _Scan:
    """Collects faults while a folder is listed."""

    root: Path
    faults: list[str] = field(default_factory=list)

    def image_folder(self) -> str:
        found = [name for name in IMAGE_FOLDERS if (self.root / name).is_dir()]
        if not found:
            inside = some(entry.name for entry in self.root.iterdir()) or "nothing"
            raise UserError(
                f"expected the folders image, wav, gt_seg in {self.root}, found {inside}; "
                "see the data layout in the README"
            )
        if len(found) > 1:
            self.faults.append(
                f"expected one image folder in {self.root}, found both image and img; remove or rename one"
            )
        return found[0]

    def files_by_stem(self, name: str, suffixes: set[str]) -> dict[str, Path]:
        """Stem (Unicode NFC) -> file of a flat folder."""
        folder = self.root / name
        if not folder.is_dir():
            self.faults.append(
                f"expected the folder {name} in {self.root}, found none; see the data layout in the README"
            )
            return {}
        entries = [
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and entry.name.lower() not in LEFT_BEHIND
        ]
        strange = {entry for entry in entries if entry.suffix.lower() not in suffixes or not entry.is_file()}
        if strange:
            known = " ".join(sorted(suffixes))
            names = some(entry.name for entry in strange)
            self.faults.append(f"expected only files ({known}) in {folder}, found {names}; move or convert them")
        files: dict[str, Path] = {}
        twice: list[str] = []
        for entry in sorted(set(entries) - strange):
            stem = unicodedata.normalize("NFC", entry.stem)
            if stem in files:
                twice.append(f"{files[stem].name} and {entry.name}")
            files.setdefault(stem, entry)
        if twice:
            self.faults.append(f"expected one file per stem in {folder}, found {some(twice)}; remove one")
        return files

    def require_pairs(
        self, first_name: str, first: Mapping[str, Path], second_name: str, second: Mapping[str, Path]
    ) -> None:
        """Both folders must hold the same stems."""
        problems = []
        for here, there, missing in (
            (first_name, second_name, first.keys() - second.keys()),
            (second_name, first_name, second.keys() - first.keys()),
        ):
            if missing:
                problems.append(f"{len(missing)} in {here} without a partner in {there} ({some(missing)})")
        if problems:
            self.faults.append(
                f"expected the same stems in {first_name} and {second_name}, "
                f"found {' and '.join(problems)}; add or remove files"
            )
