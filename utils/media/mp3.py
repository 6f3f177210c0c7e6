"""A sound as a small MP3, which every browser plays: for reports, not for measuring."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

RATE, BITS = 22050, 48_000  # Hz, and bits a second: mono, 6 kB a second
LEAST = 128  # samples; of fewer the resampler makes nothing
SECONDS = 10  # of a sound that are kept
BLOCK = 4096  # samples encoded at a time


def save_mp3(waveform: np.ndarray, sampling_rate: int, path: Path) -> None:
    """Writes the first SECONDS of a sound.

    Args:
        waveform: (T,) float32 mono in [-1, 1]; one of less than a tenth of a second is followed by silence.
        sampling_rate: Hz.
        path: of the file.
    """
    samples = np.rint(np.clip(waveform[: SECONDS * sampling_rate], -1, 1) * 32767).astype(np.int16)
    samples = np.pad(samples, (0, max(0, sampling_rate // 10 - len(samples), LEAST - len(samples))))
    with av.open(str(path), "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=RATE, layout="mono", bit_rate=BITS)
        resampler = av.AudioResampler(format="s16p", layout="mono", rate=RATE)
        for first in range(0, len(samples), BLOCK):
            frame = av.AudioFrame.from_ndarray(samples[None, first : first + BLOCK], "s16p", "mono")
            frame.sample_rate = sampling_rate
            for one in resampler.resample(frame):
                file.mux(stream.encode(one))
        for one in (*resampler.resample(None), None):  # what the resampler and the encoder still hold
            file.mux(stream.encode(one))
