"""Sounds: read from files of any kind, and how loud they are.

Conventions:
    waveform: (T,) float32 mono in [-1, 1] at `sampling_rate` Hz, a file's own where it was read; T may be 0.
    level: dBFS, decibels relative to full scale: a square wave between -1 and 1 has 0, a full-scale sine -3.
    Empty sounds, and those whose samples all have one value, have the level -inf.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import soundfile

from utils.errors import UserError
from utils.files import require_file

NOT_LIBSNDFILE = (soundfile.LibsndfileError, OSError, TypeError)  # TypeError: a .raw file has no header
SILENCE_DB = -60.0  # dBFS: the noise floor of a poor recording; 16-bit dither is at about -98
WINDOW_SECONDS = 0.05


def read_audio(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """Reads any sound file as one channel at its own rate.

    The channels are averaged. A sound whose mean exceeds full scale (floating-point files, some MP3s) is divided by its
    peak, so its shape is kept.

    Args:
        path: any file libsndfile reads; others go through librosa, which needs ffmpeg or a system decoder for them.

    Returns:
        waveform: (T,) float32 in [-1, 1].
        sampling_rate: Hz.

    Raises:
        UserError: the file is missing, is no sound, or holds values that are not finite.
    """
    require_file(path, "a sound")
    try:
        channels, sampling_rate = soundfile.read(path, dtype="float32", always_2d=True)  # (T, C)
    except NOT_LIBSNDFILE as error:
        channels, sampling_rate = _read_with_librosa(path, error)
    waveform = channels.mean(axis=1, dtype=np.float64)
    if not np.isfinite(waveform).all():
        raise UserError(
            f"the sound {path} holds values that are not finite numbers; export it again, for example as WAV"
        )
    peak = np.abs(waveform).max(initial=0.0)
    return (waveform / max(peak, 1.0)).astype(np.float32), int(sampling_rate)


def check_audio(path: str | os.PathLike) -> None:
    """Reads a sound file's header only; a format libsndfile does not know is decoded in full.

    Raises:
        UserError: the file is missing or is no sound.
    """
    require_file(path, "a sound")
    try:
        soundfile.info(path)
    except NOT_LIBSNDFILE:
        read_audio(path)


def level_db(waveform: np.ndarray, sampling_rate: int) -> float:
    """The level in dBFS of a sound's loudest moment, so that one knock in a minute of quiet counts.

    20 log10 of the largest root mean square over windows of 50 ms that overlap by half; the mean of the whole sound (a
    recorder's constant offset) is taken off first. A sound shorter than a window is one window.
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
    """Whether even a sound's loudest 50 ms are at `floor_db` or below; at -inf, only empty and constant sounds are."""
    return level_db(waveform, sampling_rate) <= floor_db


def _read_with_librosa(path: str | os.PathLike, first_error: Exception) -> tuple[np.ndarray, int]:
    """Formats libsndfile does not know -> ((T, C) float32, Hz)."""
    import librosa  # seconds to import, and rarely needed
    from audioread.exceptions import DecodeError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # librosa warns on each fallback
            waveform, sampling_rate = librosa.load(path, sr=None, mono=False)  # (T,) or (C, T)
    except (*NOT_LIBSNDFILE, DecodeError, EOFError, ValueError) as error:
        reason = str(getattr(first_error, "error_string", first_error)).strip(" .").lower()
        raise UserError(
            f"cannot read the sound {path}: {reason}; convert it to WAV, for example with ffmpeg"
        ) from error
    return np.atleast_2d(waveform).T, int(sampling_rate)
