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

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets.faults import Finding, count, some
from utils.errors import UserError

__all__ = [
    "IGNORE_FOLDER",
    "IMAGE_SUFFIXES",
    "MASK_FOLDER",
    "SOUND_FOLDER",
    "SOUND_SUFFIXES",
    "Layout",
    "is_utf_8",
    "read_layout",
    "some",
]

IMAGE_FOLDERS = ("image", "img")
SOUND_FOLDER = "wav"
MASK_FOLDER = "gt_seg"
IGNORE_FOLDER = "gt_ignore"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
SOUND_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff"}
LEFT_BEHIND = {"thumbs.db", "desktop.ini"}
SEE_README = "see the data layout in the README"


@dataclass(frozen=True)
class Layout:
    """What lies in a dataset folder.

    Attributes:
        root: the folder.
        image_folder: "image" or "img".
        images, sounds, masks, ignores: stem (Unicode NFC) -> file.
        has_gt: whether there is a folder of masks.
        faults: what cannot be paired; empty where the folder is a dataset.
    """

    root: Path
    image_folder: str
    images: Mapping[str, Path]
    sounds: Mapping[str, Path]
    masks: Mapping[str, Path]
    ignores: Mapping[str, Path]
    has_gt: bool
    faults: tuple[Finding, ...] = ()

    @property
    def stems(self) -> list[str]:
        """The stems that have everything they need, sorted."""
        complete = self.images.keys() & self.sounds.keys()
        return sorted(complete & self.masks.keys() if self.has_gt else complete)

    def fingerprint(self, stems: Iterable[str]) -> str:
        """SHA-256 of the names and sizes of the files of some samples: tells most changes without reading the files."""
        digest = hashlib.sha256()
        for stem in sorted(stems):
            for files in (self.images, self.sounds, self.masks, self.ignores):
                if stem in files:
                    path = files[stem]
                    digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode())
        return digest.hexdigest()

    def latest_change(self, stems: Iterable[str]) -> int:
        """When the last of the files of some samples was changed, in nanoseconds since 1970."""
        every = (self.images, self.sounds, self.masks, self.ignores)
        paths = (files[stem] for stem in stems for files in every if stem in files)
        return max((path.stat().st_mtime_ns for path in paths), default=0)


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
    for name, files in ((image_folder, images), (SOUND_FOLDER, sounds), (MASK_FOLDER, masks)):
        if not files and (root / name).is_dir():
            scan.add("no_files", f"no file of a known kind in {name}", advice=SEE_README)
    scan.require_partners(image_folder, images, SOUND_FOLDER, sounds)
    if has_gt:
        scan.require_partners(image_folder, images, MASK_FOLDER, masks)
        stray = sorted(ignores.keys() - masks.keys())
        if stray:
            found = f"{count(len(stray), 'file')} in {IGNORE_FOLDER} without a partner in {MASK_FOLDER}"
            scan.add("stray_ignore", found, stray, "remove them")
    return Layout(root, image_folder, images, sounds, masks, ignores, has_gt, tuple(scan.faults))


@dataclass
class _Scan:
    """Collects faults while a folder is listed."""

    root: Path
    faults: list[Finding] = field(default_factory=list)

    def add(self, kind: str, found: str, names: Sequence[str] = (), advice: str = "") -> None:
        self.faults.append(Finding("error", kind, found, tuple(names), advice))

    def image_folder(self) -> str:
        found = [name for name in IMAGE_FOLDERS if (self.root / name).is_dir()]
        if not found:
            inside = some(entry.name for entry in self.root.iterdir()) or "nothing"
            raise UserError(f"expected the folders image, wav, gt_seg in {self.root}, found {inside}; {SEE_README}")
        if len(found) > 1:
            self.add("two_image_folders", "both folders image and img", advice="remove or rename one")
        return found[0]

    def files_by_stem(self, name: str, suffixes: set[str]) -> dict[str, Path]:
        """Stem (Unicode NFC) -> file of a flat folder."""
        folder = self.root / name
        if not folder.is_dir():
            self.add("no_folder", f"no folder {name} in {self.root}", advice=SEE_README)
            return {}
        entries = [
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and entry.name.lower() not in LEFT_BEHIND
        ]
        strange = {
            entry
            for entry in entries
            if entry.suffix.lower() not in suffixes or not entry.is_file() or not is_utf_8(entry.name)
        }
        if strange:
            found = f"{count(len(strange), 'stray name')} in {name}"
            names = sorted(_described(entry) for entry in strange)
            self.add("stray", found, names, f"move them away or convert them to one of {' '.join(sorted(suffixes))}")
        files: dict[str, Path] = {}
        twice: list[str] = []
        for entry in sorted(set(entries) - strange):
            stem = unicodedata.normalize("NFC", entry.stem)
            if stem in files:
                twice.append(f"{files[stem].name} and {entry.name}")
            files.setdefault(stem, entry)
        if twice:
            self.add(
                "stem_twice", f"{count(len(twice), 'stem')} with several files in {name}", twice, "keep one of each"
            )
        return files

    def require_partners(
        self, first_name: str, first: Mapping[str, Path], second_name: str, second: Mapping[str, Path]
    ) -> None:
        """Both folders must hold the same stems; a folder that is missing or empty is a fault of its own."""
        for here, there, missing in (
            (first_name, second_name, first.keys() - second.keys()),
            (second_name, first_name, second.keys() - first.keys()),
        ):
            if missing and first and second:
                found = f"{count(len(missing), 'file')} in {here} without a partner in {there}"
                self.add("no_partner", found, sorted(missing), "add what is missing or remove them")


def is_utf_8(name: str) -> bool:
    """Whether a name can be written to a manifest or a digest; one in the bytes of an older encoding cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _described(entry: Path) -> str:
    name = entry.name.encode(errors="backslashreplace").decode()
    if not is_utf_8(entry.name):
        return f"{name}: a name that is not UTF-8"
    if entry.is_symlink() and not entry.exists():
        return f"{name}: a link that leads nowhere"
    return f"{name}: a folder" if entry.is_dir() else name
