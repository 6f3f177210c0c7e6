"""How an importer's sounds come about: one recording, its middle, or the sum of several, as one channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from utils.errors import UserError
from utils.media.reading import NOT_LIBSNDFILE, check_audio, read_audio

__all__ = ["Sound", "to_pcm_16"]


@dataclass(frozen=True)
class Sound:
    """What is heard in a sample.

    Attributes:
        paths: recordings; several are summed.
        middle_seconds: keep only so much around the middle of each, repeated where it is shorter; None for all.
    """

    paths: tuple[Path, ...]
    middle_seconds: float | None = None

    @property
    def unchanged(self) -> bool:
        """Whether the recording is already what would be written: mono WAV of 16 bits, in full, not empty.

        Raises:
            UserError: it cannot be read.
        """
        if len(self.paths) > 1 or self.middle_seconds is not None:
            return False
        check_audio(self.paths[0])
        try:
            info = soundfile.info(self.paths[0])
        except NOT_LIBSNDFILE:  # a format that only librosa reads
            return False
        return (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", 1) and info.frames > 0

    def read(self) -> tuple[np.ndarray, int]:
        """Reads, cuts and mixes.

        Returns:
            waveform: (T,) float32 in [-1, 1], the channels averaged, several recordings summed at the first one's rate
                and divided by the sum's peak where that exceeds 1.
            sampling_rate: Hz.

        Raises:
            UserError: a recording cannot be read or is empty.
        """
        waveform, sampling_rate = self._cut(self.paths[0])
        for path in self.paths[1:]:
            other, other_rate = self._cut(path)
            if other_rate != sampling_rate:
                import librosa  # seconds to import, and rarely needed

                other = librosa.resample(other, orig_sr=other_rate, target_sr=sampling_rate)
            length = max(len(waveform), len(other))
            waveform = _padded(waveform, length) + _padded(other, length)
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


def to_pcm_16(waveform: np.ndarray) -> np.ndarray:
    """(T,) float32 in [-1, 1] -> (T,) int16, rounded to the nearest; libsndfile's own conversion rounds down."""
    return np.rint(waveform * 32768.0).clip(-32768, 32767).astype(np.int16)


def _padded(waveform: np.ndarray, length: int) -> np.ndarray:
    return np.pad(waveform, (0, length - len(waveform)))
