"""Cuts a sound of any rate and length into windows a network can hear; nothing in it is random.

Conventions:
    waveform: (T,) float32 mono in [-1, 1]; T may be 0, which is silence.
    window: (L,) float32 at the network's own sampling rate, L at most the network's length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import soxr  # what librosa resamples with; importing librosa itself takes seconds


def resample(waveform: np.ndarray, sampling_rate: int, target_rate: int) -> np.ndarray:
    """Changes the sampling rate, in Hz and positive: (T,) -> (T * target_rate / sampling_rate, rounded,) float32."""
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or sampling_rate <= 0:
        raise ValueError(
            f"expected a mono waveform (T,) at a rate above 0, found {waveform.shape} at {sampling_rate} Hz"
        )
    if sampling_rate == target_rate or not waveform.size:
        return waveform
    return soxr.resample(waveform, sampling_rate, target_rate)


def cut(waveform: np.ndarray, length: int, min_length: int = 1) -> list[np.ndarray]:
    """Cuts a sound into consecutive windows; the last one is aligned to the end.

    Args:
        waveform: (T,).
        length: samples a window.
        min_length: shorter sounds are padded with silence up to here.

    Returns:
        At least one: (T,) if T <= length, else windows (length,) that cover the sound, the last two overlapping where T
        is no multiple of `length`.
    """
    if len(waveform) < min_length:
        waveform = np.pad(waveform, (0, min_length - len(waveform)))
    if len(waveform) <= length:
        return [waveform]
    starts = [*range(0, len(waveform) - length, length), len(waveform) - length]
    return [waveform[start : start + length] for start in starts]


def average_over_windows(
    sounds: Sequence[Sequence[np.ndarray]], answer: Callable[[list[np.ndarray]], np.ndarray]
) -> np.ndarray:
    """Averages what a network says of the windows over each sound.

    Args:
        sounds: N sounds, at least one, each cut into one or more windows.
        answer: windows -> (their number, D).

    Returns:
        (N, D) float32.
    """
    values = answer([window for windows in sounds for window in windows])
    ends = np.cumsum([len(windows) for windows in sounds])
    means = [values[end - len(windows) : end].mean(axis=0) for end, windows in zip(ends, sounds, strict=True)]
    return np.asarray(means, dtype=np.float32)


def groups_of_one_shape(features: Sequence[Any], size: int) -> list[list[Any]]:
    """Splits what was made of the windows into batches of 1 to `size` of one shape, so that nothing is padded.

    Args:
        features: arrays or tensors, one a window; they stay in order.
        size: at most so many in a batch.
    """
    groups: list[list[Any]] = []
    for item in features:
        if not groups or len(groups[-1]) == size or groups[-1][0].shape != item.shape:
            groups.append([])
        groups[-1].append(item)
    return groups
