"""What one sound of a dataset says of itself: by its header, or by all of its samples, which are read in blocks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.check.pictures import EMPTY
from utils.errors import UserError
from utils.media.sounds import Unreadable, is_silent, open_sound, read_recording

FULL_SCALE = 0.99  # of a clipped sound's flat tops


@dataclass(frozen=True)
class SoundFacts:
    """Of a sound; `problem` and `digest` as for pictures."""

    problem: str = ""
    digest: str = ""
    missing: str = ""  # what is not there of the sound that the header announces; "" where all is
    seconds: float | None = None
    sampling_rate: int | None = None  # Hz
    misnamed: str = ""  # what it is, where it is called .wav and is something else that is rarely read; "" elsewhere
    silent: bool | None = None  # as methods judge it; None where only the header was read, here and below
    clipped: float | None = None  # fraction of samples in flat tops at full scale
    cancelling: str | None = None  # which channel is heard because all together cancel; "" where they do not


def sound_header(path: Path) -> SoundFacts:
    """Length, rate and whether the file is as long as it says; a rare format is decoded in full to know its length."""
    try:
        source = open_sound(path)
        frames = source.frames if source.frames is not None else sum(map(len, source.decode()))
    except Unreadable as why:
        return SoundFacts(problem=_problem(path, why))
    rate = source.sampling_rate
    return SoundFacts("", "", source.missing, frames / rate, rate, _misnamed(path, source.kind))


def sound_content(path: Path) -> SoundFacts:
    """All facts of a sound, after decoding every sample."""
    sha256, tops = hashlib.sha256(), _FlatTops()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                sha256.update(part)
    except OSError as error:
        return SoundFacts(problem=(error.strerror or "it cannot be opened").lower())
    try:
        recording = read_recording(path, tops.see)
    except UserError as error:
        return SoundFacts(problem=_problem(path, error.__cause__ or error), digest=sha256.hexdigest())
    rate = recording.sampling_rate
    return SoundFacts(
        digest=sha256.hexdigest(),
        missing=recording.missing,
        seconds=len(recording.waveform) / rate,
        sampling_rate=rate,
        misnamed=_misnamed(path, recording.source.kind),
        silent=is_silent(recording.waveform, rate),
        clipped=tops.flat / max(tops.pairs, 1),
        cancelling=f"channel {recording.channel}" if recording.channel else "",
    )


class _FlatTops:
    """Counts, block by block, the neighbours that are alike and at full scale."""

    def __init__(self) -> None:
        self.flat, self.pairs, self._last = 0, 0, None

    def see(self, block: np.ndarray) -> None:
        """Looks at the next (n, C) samples."""
        block = block if self._last is None else np.concatenate([self._last, block])
        flat = (block[1:] == block[:-1]) & (np.abs(block[1:]) >= FULL_SCALE)  # (n - 1, C)
        self.flat, self.pairs, self._last = self.flat + int(flat.sum()), self.pairs + flat.size, block[-1:]


def _misnamed(path: Path, kind: str) -> str:
    return kind if path.suffix.lower() == ".wav" else ""


def _problem(path: Path, why: BaseException) -> str:
    return EMPTY if path.is_file() and path.stat().st_size == 0 else str(why)
