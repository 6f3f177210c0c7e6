"""How loud a sound is, and whether there is anything to hear in it.

Conventions:
    waveform: (T,) float, mono, in [-1, 1] at `sampling_rate` Hz; T may be 0.
    level: dBFS, decibels relative to full scale: a square wave between -1 and 1 has 0, a full-scale sine -3.
    Empty sounds, and those whose samples all have one value, have the level -inf.
"""

from __future__ import annotations

import numpy as np

__all__ = ["SILENCE_DB", "is_silent", "level_db"]

SILENCE_DB = -60.0  # dBFS: the noise floor of a poor recording; 16-bit dither is at about -98
WINDOW_SECONDS = 0.05


def level_db(waveform: np.ndarray, sampling_rate: int) -> float:
    """The level of a sound's loudest moment, so that one knock in a minute of quiet counts.

    20 log10 of the largest root mean square over windows of 50 ms that overlap by half; the mean of the whole sound (a
    recorder's constant offset) is taken off first. A sound shorter than a window is one window.

    Args:
        waveform: (T,) float, mono, in [-1, 1].
        sampling_rate: Hz.

    Returns:
        Level in dBFS; -inf for an empty or constant sound.
    """
    if len(waveform) == 0:
        return -np.inf
    power = np.square(waveform - np.mean(waveform, dtype=np.float64), dtype=np.float64)  # (T,)
    window = min(max(round(WINDOW_SECONDS * sampling_rate), 1), len(power))
    starts = np.arange(0, len(power) - window + 1, max(window // 2, 1))
    starts = np.append(starts, len(power) - window)  # the end is heard too
    energy = np.concatenate(([0.0], np.cumsum(power)))
    loudest = np.max(energy[starts + window] - energy[starts]) / window
    return float(10 * np.log10(loudest)) if loudest > np.finfo(np.float32).tiny else -np.inf


def is_silent(waveform: np.ndarray, sampling_rate: int, floor_db: float = SILENCE_DB) -> bool:
    """Whether a sound never rises above `floor_db`.

    Args:
        waveform: (T,) float, mono, in [-1, 1].
        sampling_rate: Hz.
        floor_db: dBFS; -inf lets only empty and constant sounds be silent.

    Returns:
        True where the loudest 50 ms are at `floor_db` or below.
    """
    return level_db(waveform, sampling_rate) <= floor_db
