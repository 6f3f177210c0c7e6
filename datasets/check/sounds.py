"""What one sound of a dataset says of itself: by its header, or by all of its samples.

A file is read once: its bytes are hashed and decoded from memory. Whatever is wrong with it stands in its facts;
nothing is raised.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from datasets.check.pictures import EMPTY
from utils.errors import UserError
from utils.media.loudness import is_silent
from utils.media.reading import NOT_LIBSNDFILE, read_audio

__all__ = ["SoundFacts", "sound_content", "sound_header"]

FULL_SCALE = 0.99  # of a clipped sound's flat tops
STREAMED = 0x7FFFF000  # from here up a WAV's size says that its writer did not know it
DENSEST = 10_000  # samples per byte, in FLAC's silence
COMPLETE = 0.98  # share of the announced frames, which some MP3s only estimate


@dataclass(frozen=True)
class SoundFacts:
    """Of a sound.

    Attributes:
        problem, digest: as for pictures.
        missing: what is not there of the sound that the header announces; "" where all is.
        seconds: length.
        sampling_rate: Hz.
        silent: as methods judge it; None where only the header was read.
        clipped: share of samples in flat tops at full scale; None where only the header was read.
    """

    problem: str = ""
    digest: str = ""
    missing: str = ""
    seconds: float | None = None
    sampling_rate: int | None = None
    silent: bool | None = None
    clipped: float | None = None


def sound_header(path: Path) -> SoundFacts:
    """Length, rate and whether the file is as long as it says."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            missing = _missing_of_wav(file, size)
        info = soundfile.info(path)
        if info.frames > DENSEST * size:
            return SoundFacts(problem=_too_long(info.frames))
        return SoundFacts(missing=missing, seconds=info.frames / info.samplerate, sampling_rate=info.samplerate)
    except NOT_LIBSNDFILE as error:
        return _other_sound(path, "", error)


def sound_content(path: Path) -> SoundFacts:
    """All facts of a sound, after decoding every sample."""
    digest = ""
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        missing = _missing_of_wav(BytesIO(content), len(content))
        with soundfile.SoundFile(BytesIO(content)) as file:
            if file.frames > DENSEST * len(content):  # more than memory holds
                return SoundFacts(problem=_too_long(file.frames), digest=digest)
            channels = file.read(dtype="float32", always_2d=True)  # (T, C)
            if len(channels) < COMPLETE * file.frames:
                missing = f"{len(channels)} of {file.frames} samples can be read"
            sampling_rate = file.samplerate
    except NOT_LIBSNDFILE as error:
        return _other_sound(path, digest, error)
    return _sound_facts(channels, sampling_rate, digest, missing)


def _sound_facts(channels: np.ndarray, sampling_rate: int, digest: str, missing: str = "") -> SoundFacts:
    if not np.isfinite(channels).all():
        return SoundFacts(problem="values that are not finite numbers", digest=digest)
    seconds = len(channels) / sampling_rate
    silent = is_silent(channels.mean(axis=1), sampling_rate)
    return SoundFacts("", digest, missing, seconds, sampling_rate, silent, _clipped_share(channels))


def _clipped_share(channels: np.ndarray) -> float:
    if len(channels) < 2:
        return 0.0
    return float(((channels[1:] == channels[:-1]) & (np.abs(channels[1:]) >= FULL_SCALE)).mean())


def _other_sound(path: Path, digest: str, error: Exception) -> SoundFacts:
    """A format that libsndfile does not know, decoded by librosa, or no sound at all."""
    try:
        waveform, sampling_rate = read_audio(path)
    except UserError:
        return SoundFacts(problem=_why_no_sound(path, error), digest=digest)
    return _sound_facts(waveform[:, None], sampling_rate, digest)


def _why_no_sound(path: Path, error: Exception) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return EMPTY
    reason = getattr(error, "error_string", "") or getattr(error, "strerror", "") or "damaged, or no sound at all"
    return reason.strip(" .").lower()


def _too_long(frames: int) -> str:
    return f"its header announces {frames} samples, which it cannot hold"


def _missing_of_wav(file: BinaryIO, size: int) -> str:
    """What a WAV's header announces and the file does not hold; libsndfile passes over it without a word."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return ""
    position = 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        there = size - position - 8
        if name == b"data":
            return f"{there} of {length} bytes are there" if there < length < STREAMED else ""
        position += 8 + length + length % 2
    return ""
