"""Which picture goes with which sound: by the names of their files, or the one of a kind with all of the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from utils.errors import UserError
from utils.types import Pair

SOUNDS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".aifc", ".au", ".caf"}
SOUNDS |= {".w64", ".wma", ".amr", ".ac3"}
VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".3gp"}
NO_PICTURES = {".pdf", ".eps", ".ps", ".h5", ".hdf", ".grib", ".bufr"} | VIDEOS  # that Pillow names too
NAMED = 8  # files in one sentence


def paired(images: Sequence[Path], sounds: Sequence[Path]) -> tuple[list[Pair], list[Path]]:
    """Pairs files and the files of folders.

    Args:
        images, sounds: files and folders, at least one of each; of a folder, what has a picture's or a sound's suffix.

    Returns:
        Pairs of an image and a sound, in the order of the images, and the files that have no partner. One file that is
        given alone goes with all of the other kind; otherwise names (stems) decide, and among equal names the nearer.

    Raises:
        UserError: a folder holds nothing of the kind, nothing can be paired, or a partner is not to be told.
    """
    pictures = {suffix for suffix in Image.registered_extensions() if suffix not in NO_PICTURES}
    one_image, one_sound = (len(given) == 1 and not given[0].is_dir() for given in (images, sounds))
    image_files = _files(images, pictures - SOUNDS, "an image", "--img_path")
    sound_files = _files(sounds, SOUNDS | VIDEOS, "a sound", "--wav_path")
    if one_image or one_sound:
        return [(image, sound) for image in image_files for sound in sound_files], []
    by_stem: dict[str, list[Path]] = {}
    for sound in sound_files:
        by_stem.setdefault(sound.stem, []).append(sound)
    pairs = [(image, _nearest(image, by_stem[image.stem])) for image in image_files if image.stem in by_stem]
    if not pairs:
        found = f"found {image_files[0].name} and {sound_files[0].name}, for instance"
        raise UserError(
            f"expected an image and a sound of the same name, such as dog.jpg and dog.wav, {found}; rename them, or "
            "give one sound with all images or one image with all sounds"
        )
    used = {path for pair in pairs for path in pair}
    return pairs, [path for path in (*image_files, *sound_files) if path not in used]


def listed(paths: Iterable[Path]) -> str:
    """Some paths in a sentence."""
    paths = list(map(str, paths))
    further = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + further


def _files(given: Sequence[Path], suffixes: Iterable[str], kind: str, option: str) -> list[Path]:
    """The files given, and those of the folders given, by name; each once."""
    files: list[Path] = []
    for path in given:
        if not path.is_dir():
            files.append(path)
            continue
        inside = [one for one in sorted(path.iterdir()) if one.suffix.lower() in suffixes and one.is_file()]
        if not (inside := [one for one in inside if not one.name.startswith(".")]):
            raise UserError(f"expected at least {kind} in the folder {path}, found none; check {option}")
        files += inside
    return list(dict.fromkeys(files))


def _nearest(image: Path, sounds: Sequence[Path]) -> Path:
    """The sound that is the fewest steps away from the image in the tree of folders."""
    if len(sounds) == 1:
        return sounds[0]
    steps = [os.path.relpath(sound.absolute(), image.absolute().parent).count(os.sep) for sound in sounds]
    if steps.count(min(steps)) > 1:
        raise UserError(
            f"expected one sound for {image}, found {listed(sounds)}; leave out or rename those that are not meant"
        )
    return sounds[steps.index(min(steps))]
