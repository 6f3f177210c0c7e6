"""What one sound of a dataset says of itself: by its header, or by all of its samples; read once, as pictures are."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from datasets.check.pictures import EMPTY
from utils.errors import UserError
from utils.media.sounds import NOT_LIBSNDFILE, is_silent, read_audio

FULL_SCALE = 0.99  # of a clipped sound's flat tops
STREAMED = 0x7FFFF000  # from here up a WAV's size says that its writer did not know it
DENSEST = 10_000  # samples per byte, in FLAC's silence; what announces more is more than memory holds
TOO_LONG = "its header announces {} samples, which it cannot hold"
COMPLETE = 0.98  # of the announced samples, whose number some MP3s only estimate


@dataclass(frozen=True)
class SoundFacts:
    """Of a sound; `problem` and `digest` as for pictures."""

    problem: str = ""
    digest: str = ""
    missing: str = ""  # what is not there of the sound that the header announces; "" where all is
    seconds: float | None = None
    sampling_rate: int | None = None  # Hz
    silent: bool | None = None  # as methods judge it; None where only the header was read
    clipped: float | None = None  # fraction of samples in flat tops at full scale; None where only the header was read


def sound_header(path: Path) -> SoundFacts:
    """Length, rate and whether the file is as long as it says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            missing = _missing_of_wav(file, size)
        info = soundfile.info(path)
        if info.frames > DENSEST * size:
            return SoundFacts(problem=TOO_LONG.format(info.frames))
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
            if file.frames > DENSEST * len(content):
                return SoundFacts(problem=TOO_LONG.format(file.frames), digest=digest)
            channels = file.read(dtype="float32", always_2d=True)  # (T, C)
            if len(channels) < COMPLETE * file.frames:
                missing = f"{len(channels)} of {file.frames} samples can be read"
            sampling_rate = file.samplerate
    except NOT_LIBSNDFILE as error:
        return _other_sound(path, digest, error)
    return _facts_of(channels, sampling_rate, digest, missing)


def _facts_of(channels: np.ndarray, sampling_rate: int, digest: str, missing: str = "") -> SoundFacts:
    if not np.isfinite(channels).all():
        return SoundFacts(problem="values that are not finite numbers", digest=digest)
    silent = is_silent(channels.mean(axis=1), sampling_rate)
    flat = (channels[1:] == channels[:-1]) & (np.abs(channels[1:]) >= FULL_SCALE)  # (T - 1, C)
    clipped = float(flat.mean()) if flat.size else 0.0
    return SoundFacts("", digest, missing, len(channels) / sampling_rate, sampling_rate, silent, clipped)


def _other_sound(path: Path, digest: str, error: Exception) -> SoundFacts:
    """A format that libsndfile does not know, decoded by librosa, or no sound at all."""
    try:
        waveform, sampling_rate = read_audio(path)
        return _facts_of(waveform[:, None], sampling_rate, digest)
    except UserError:
        why = getattr(error, "error_string", "") or getattr(error, "strerror", "") or "damaged, or no sound at all"
        is_empty = path.is_file() and path.stat().st_size == 0
        return SoundFacts(problem=EMPTY if is_empty else why.strip(" .").lower(), digest=digest)


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
