"""The files of a dataset folder, paired by stem, and everything that does not pair.

    ROOT/image/STEM.jpg       (the folder may also be called img; .png, .jpeg and other image formats are read too)
    ROOT/wav/STEM.wav         (.flac, .ogg, .mp3, ... are read too)
    ROOT/gt_seg/STEM.png      (absent where there is no ground truth)
    ROOT/gt_ignore/STEM.png   (where some pixels must not count; stems without such pixels have no file)
    ROOT/manifest.json        (where an importer or a generator wrote the folder)
    ROOT/labels.csv           (in its place, where you know what sounds or what belongs together, see `datasets.labels`)

A stem is the file name without its last suffix, so it may contain dots; the case of the suffix does not matter. Hidden
files and those that file managers leave behind are passed over.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from datasets.findings import Finding, count, some
from utils.errors import UserError

IMAGE_FOLDERS = ("image", "img")
SOUND_FOLDER = "wav"
MASK_FOLDER = "gt_seg"
IGNORE_FOLDER = "gt_ignore"
FOLDERS = {"images": "image", "sounds": SOUND_FOLDER, "masks": MASK_FOLDER, "ignores": IGNORE_FOLDER}  # of each role
REQUIRED = ("images", "sounds")
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
SOUND_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff"}
LEFT_BEHIND = {"thumbs.db", "desktop.ini"}
SEE_README = "see the data layout in the README"


@dataclass(frozen=True)
class Layout:
    """What lies in a dataset folder."""

    root: Path
    files: Mapping[str, Mapping[str, Path]]  # role ("images", "sounds", "masks", "ignores") -> stem (NFC) -> file
    has_gt: bool  # whether there is a folder of masks
    faults: tuple[Finding, ...] = ()  # what cannot be paired; empty where the folder is a dataset

    @property
    def stems(self) -> list[str]:
        """The stems that have everything they need, sorted."""
        complete = self.files["images"].keys() & self.files["sounds"].keys()
        return sorted(complete & self.files["masks"].keys() if self.has_gt else complete)

    def name(self, role: str, stem: str) -> str:
        """The name of a file, e.g. "image/a.jpg": the same in a folder called img, and in any Unicode form."""
        return f"{FOLDERS[role]}/{unicodedata.normalize('NFC', self.files[role][stem].name)}"

    def names(self, stem: str) -> dict[str, Path]:
        """Name -> file of a sample."""
        return {self.name(role, stem): of_role[stem] for role, of_role in self.files.items() if stem in of_role}

    def digests(self, stems: Iterable[str]) -> dict[str, dict[str, str]]:
        """Stem -> name -> SHA-256 of what the file holds.

        Raises:
            UserError: a file cannot be read.
        """
        names = {stem: self.names(stem) for stem in stems}
        paths = {path for of_stem in names.values() for path in of_stem.values()}
        shown = {"total": len(paths), "unit": "file", "delay": 2, "leave": False, "disable": None}  # on a terminal
        try:
            with ThreadPoolExecutor() as pool:  # hashing lets other threads work
                found = dict(zip(paths, tqdm(pool.map(_sha256, paths), **shown), strict=True))
        except OSError as error:
            raise UserError(
                f"cannot read {error.filename}: {error.strerror}; mend it or take the sample out"
            ) from error
        return {stem: {name: found[path] for name, path in of_stem.items()} for stem, of_stem in names.items()}


def fingerprint(digests: Mapping[str, Mapping[str, str]]) -> str:
    """What two folders have in common if and only if they hold the same files under the same names.

    The sha256 of lines "SHA256  FOLDER/NAME", sorted by name, as `sha256sum` writes them. The manifest and stray files
    do not count. `digests` has name -> SHA-256 of its files, by sample or by role.
    """
    files = sorted(file for of_stem in digests.values() for file in of_stem.items())
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in files).encode()).hexdigest()


def read_layout(root: str | os.PathLike) -> Layout:
    """Lists and pairs the files of a dataset folder without opening any.

    Raises:
        UserError: there is no such folder, or it has none of the folders.
    """
    root = Path(root)
    if not root.is_dir():
        found = "a file" if root.exists() else "none"
        raise UserError(f"expected a dataset folder at {root}, found {found}; check the path")
    places = [root / name for name in dict.fromkeys((*IMAGE_FOLDERS, *FOLDERS.values()))]
    if not any(map(os.path.lexists, places)):
        inside = some(entry.name for entry in root.iterdir()) or "nothing"
        raise UserError(f"expected the folders image, wav, gt_seg in {root}, found {inside}; {SEE_README}")
    faults = []
    for path in places:
        if os.path.lexists(path) and not path.is_dir():
            found = "a file" if path.exists() else "a link that leads nowhere"
            faults.append(_fault("no_folder", f"{found} in the place of the folder {path}", advice=SEE_README))
    image_folders = [name for name in IMAGE_FOLDERS if (root / name).is_dir()]
    if len(image_folders) > 1:
        faults.append(_fault("two_image_folders", "both folders image and img", advice="remove or rename one"))
    folders = {role: root / name for role, name in FOLDERS.items()}
    if image_folders:
        folders["images"] = root / image_folders[0]
    files: dict[str, dict[str, Path]] = {role: {} for role in FOLDERS}
    for role, folder in folders.items():
        if folder.is_dir():
            files[role], found = _files_by_stem(folder, SOUND_SUFFIXES if role == "sounds" else IMAGE_SUFFIXES)
            faults += found
        elif role in REQUIRED and not os.path.lexists(folder):
            faults.append(_fault("no_folder", f"no folder {folder.name} in {root}", advice=SEE_README))
    for role in (*REQUIRED, "masks"):
        if not files[role] and folders[role].is_dir():
            faults.append(_fault("no_files", f"no file of a known kind in {folders[role].name}", advice=SEE_README))
    for here, there in (("images", "sounds"), ("sounds", "images"), ("images", "masks"), ("masks", "images")):
        alone = files[here].keys() - files[there].keys()
        if alone and files[there]:  # a folder that is missing or empty is a fault of its own
            found = f"{count(len(alone), 'file')} in {folders[here].name} without a partner in {folders[there].name}"
            faults.append(_fault("no_partner", found, alone, "add what is missing or remove them"))
    has_gt = folders["masks"].is_dir()
    if has_gt and (stray := files["ignores"].keys() - files["masks"].keys()):
        found = f"{count(len(stray), 'file')} in {IGNORE_FOLDER} without a partner in {MASK_FOLDER}"
        faults.append(_fault("stray_ignore", found, stray, "remove them"))
    return Layout(root, files, has_gt, tuple(faults))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def refuse_within(path: Path, root: Path) -> None:
    """Refuses a folder for results among the samples of a dataset folder, of which they would become strays.

    Raises:
        UserError: it lies there.
    """
    for folder in (root / name for name in (*IMAGE_FOLDERS, *FOLDERS.values())):
        if path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"expected an --output_dir outside {folder}, found {path}; choose one beside the samples")


def _fault(kind: str, found: str, names: Iterable[str] = (), advice: str = "", command: str = "") -> Finding:
    return Finding("error", kind, found, tuple(sorted(names)), advice, command)


def _files_by_stem(folder: Path, suffixes: set[str]) -> tuple[dict[str, Path], list[Finding]]:
    """Stem (Unicode NFC) -> file of a flat folder, and what is wrong there."""
    entries = {one for one in folder.iterdir() if one.name[0] != "." and one.name.lower() not in LEFT_BEHIND}
    known = {one for one in entries if one.suffix.lower() in suffixes and one.is_file() and is_utf_8(one.name)}
    faults = []
    if strange := entries - known:
        found = f"{count(len(strange), 'stray name')} in {folder.name}"
        advice = f"move them away or convert them to one of {' '.join(sorted(suffixes))}"
        as_known = "wav" if folder.name == SOUND_FOLDER else "png"
        command = f"ffmpeg -i {folder.name}/NAME {folder.name}/STEM.{as_known}"
        faults.append(_fault("stray", found, map(_described, strange), advice, command))
    files: dict[str, Path] = {}
    twice: list[str] = []
    for entry in sorted(known):
        first = files.setdefault(unicodedata.normalize("NFC", entry.stem), entry)
        if first is not entry:
            twice.append(f"{first.name} and {entry.name}")
    if twice:
        found = f"{count(len(twice), 'stem')} with several files in {folder.name}"
        faults.append(_fault("stem_twice", found, twice, "keep one of each"))
    return files, faults


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
