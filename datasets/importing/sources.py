"""What lies in an unpacked archive: which folder is meant, its files by stem, and its recordings as one sound."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from datasets.findings import some
from datasets.layout import IMAGE_SUFFIXES, SOUND_SUFFIXES
from utils.errors import UserError
from utils.media.sounds import NOT_LIBSNDFILE, Unreadable, open_sound, read_audio

IMAGE_FOLDERS = ("frames", "Data/frames", "images", "image", "img")
SOUND_FOLDERS = ("audio", "Data/audio", "audios", "wav")


@dataclass(frozen=True)
class Sound:
    """What is heard in a sample: one recording, its middle, or the sum of several."""

    paths: tuple[Path, ...]
    middle_seconds: float | None = None  # keep so much around the middle of each, repeated where it is shorter

    @property
    def unchanged(self) -> bool:
        """Whether the recording is already what would be written: mono WAV of 16 bits, in full, not empty."""
        if len(self.paths) > 1 or self.middle_seconds is not None:
            return False
        try:
            open_sound(self.paths[0])
            info = soundfile.info(self.paths[0])
        except (Unreadable, *NOT_LIBSNDFILE):  # what only FFmpeg reads, or nobody: `read` says so
            return False
        return (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", 1) and info.frames > 0

    def read(self) -> tuple[np.ndarray, int]:
        """Reads, cuts and mixes; raises `UserError` where a recording cannot be read or is empty.

        Returns:
            waveform: (T,) float32 in [-1, 1], the channels averaged, several recordings summed at the first one's rate
                and divided by the sum's peak where that exceeds 1.
            sampling_rate: Hz.
        """
        waveform, sampling_rate = self._cut(self.paths[0])
        for path in self.paths[1:]:
            other, other_rate = self._cut(path)
            if other_rate != sampling_rate:
                other = soxr.resample(other, other_rate, sampling_rate)
            length = max(len(waveform), len(other))
            waveform = sum(np.pad(one, (0, length - len(one))) for one in (waveform, other))
        return (waveform / max(1.0, np.abs(waveform).max())).astype(np.float32), sampling_rate

    def _cut(self, path: Path) -> tuple[np.ndarray, int]:
        waveform, sampling_rate = read_audio(path)
        if not len(waveform):
            raise UserError(f"expected a sound in {path}, found a file without samples; copy or download it again")
        if self.middle_seconds is not None:
            length = round(self.middle_seconds * sampling_rate)
            start = max(0, len(waveform) // 2 - length // 2)
            waveform = np.resize(waveform[start : start + length], length)  # repeats what is too short
        return waveform, sampling_rate


class Recordings:
    """The frames and sounds that --source, --images and --audio speak of, listed once: stem -> file or folder."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Raises `UserError` where a folder is missing, or several could be meant."""
        self.image_folder = _one_of(arguments.source, arguments.images, IMAGE_FOLDERS, "--images")
        self.sound_folder = _one_of(arguments.source, arguments.audio, SOUND_FOLDERS, "--audio")
        self.images = files_by_stem(self.image_folder, IMAGE_SUFFIXES)
        self.sounds = files_by_stem(self.sound_folder, SOUND_SUFFIXES)
        with os.scandir(self.image_folder) as entries:
            self.frame_folders = {entry.name: Path(entry.path) for entry in entries if entry.is_dir()}

    def nothing_fits(self, wanted: str, left_out: Mapping[str, str]) -> UserError:
        """What to raise where no sample can be imported: what lies there, and why the first one was left out."""
        images, sounds = some([*self.images, *self.frame_folders]), some(self.sounds)
        why = "".join(f" ({name}: {reason})" for name, reason in list(left_out.items())[:1])
        return UserError(
            f"expected {wanted}, found {images or 'no image'} in {self.image_folder} and {sounds or 'no sound'} in "
            f"{self.sound_folder}{why}; name other folders with --images and --audio"
        )


def add_folder_options(parser: argparse.ArgumentParser) -> None:
    """Adds --images and --audio, for `Recordings`."""
    for option, names in (("--images", IMAGE_FOLDERS), ("--audio", SOUND_FOLDERS)):
        parser.add_argument(
            option, type=Path, metavar="DIR", help=f"a folder in --source (default: the one of {', '.join(names)})"
        )


def files_by_stem(folder: Path, suffixes: set[str]) -> dict[str, Path]:
    """Name without suffix -> file of these kinds; of several with one stem the first by name."""
    files: dict[str, Path] = {}
    with os.scandir(folder) as entries:  # knows what is a file without asking for each
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            if path.suffix.lower() in suffixes and not entry.name.startswith(".") and entry.is_file():
                files.setdefault(path.stem, path)
    return files


def find_folder(source: Path, is_it: Callable[[Path], bool], wanted: str, advice: str) -> Path:
    """The unpacked archive: `source`, or the first folder right below it that `is_it`; raises `UserError` for none."""
    below = sorted(path for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
    found = next(filter(is_it, (source, *below)), None)
    if found is None:
        there = some(path.name for path in below) or "no folder"
        raise UserError(f"expected {wanted} in {source}, found {there}; give {advice}")
    return found


def _one_of(source: Path, given: Path | None, names: Sequence[str], option: str) -> Path:
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
