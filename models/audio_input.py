"""Cuts a sound of any rate and length into windows a network can hear, and joins what it says of them.

What fits into one window is heard as it is. Of a longer sound, a window begins where something is heard and ends where
nothing more is, so that no window is mostly silence, and what sounds for a moment is not cut in two by chance; none
overlaps with another. Each counts by its share of the sound's energy, and one far below the loudest is left out: what
sounds for a moment is not outvoted by background, however long. Nothing is random.

Conventions:
    waveform: (T,) float32 mono in [-1, 1]; T may be 0, which is silence.
    window: (L,) float32 at the network's own sampling rate, L at most the network's length.
    moment: 50 ms, the last one of a sound shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soxr  # what librosa resamples with; importing librosa itself takes seconds

MOMENT_SECONDS = 0.05
QUIET = 1e-4  # of the loudest moment's energy, -40 dB: where nothing is heard beside it, the pause between two words
FAINT = 1e-3  # of the loudest window's energy, -30 dB: what is mixed in at this level is masked by it
MAX_WINDOWS = 4  # that a captioner hears of a sound: a sentence each is as much as a segmenter's text encoder reads
AT_ONCE = 32  # windows held at the network's rate


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a sound, resampled only when it is heard.

    Attributes:
        waveform, sampling_rate: of the whole sound, Hz.
        target_rate: the network's, Hz.
        length, min_length: samples at that rate, at most and, filled up with silence, at least.
        start, stop: samples of the waveform.
        weight: how much it counts; those of a sound add up to 1.
    """

    waveform: np.ndarray
    sampling_rate: int
    target_rate: int
    length: int
    min_length: int
    start: int
    stop: int
    weight: float = 1.0

    def samples(self) -> np.ndarray:
        """The window as the network takes it."""
        part = resample(self.waveform[self.start : self.stop], self.sampling_rate, self.target_rate)[: self.length]
        return np.pad(part, (0, self.min_length - len(part))) if len(part) < self.min_length else part

    @property
    def seconds(self) -> tuple[float, float]:
        """Where it lies in the sound."""
        return self.start / self.sampling_rate, self.stop / self.sampling_rate


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


def windows_of(
    waveform: np.ndarray, sampling_rate: int, target_rate: int, length: int, min_length: int = 1
) -> list[Window]:
    """Cuts a sound into windows, see above.

    Args:
        waveform, sampling_rate: the sound.
        target_rate: the network's, Hz.
        length: samples a window at that rate.
        min_length: shorter sounds are padded with silence up to here.

    Returns:
        At least one, in order of time: the whole sound where it fits, or is nothing but silence up to `length`.
    """
    whole = Window(waveform, sampling_rate, target_rate, length, min_length, 0, len(waveform))
    if len(waveform) * target_rate < (length + 0.5) * sampling_rate:
        return [whole]
    most = max(length * sampling_rate // target_rate, 1)  # samples of the waveform
    step = min(max(round(MOMENT_SECONDS * sampling_rate), 1), most)
    parts = (waveform[at : at + step] for at in range(0, len(waveform), step))
    moments = (part - part.mean(dtype=np.float64) for part in parts)
    energies = np.array([moment @ moment for moment in moments])
    heard = np.flatnonzero(energies > QUIET * energies.max())
    spans, at = [], 0
    while at < len(heard):
        first, at = heard[at], int(np.searchsorted(heard, heard[at] + most // step))
        spans.append((first, heard[at - 1] + 1))
    weights = np.array([energies[first:after].sum() for first, after in spans])
    kept = [index for index, weight in enumerate(weights) if weight > FAINT * weights.max()]
    if not kept:
        return [replace(whole, stop=most)]
    ends = [(int(first) * step, min(int(after) * step, len(waveform))) for first, after in spans]
    return [replace(whole, start=ends[i][0], stop=ends[i][1], weight=weights[i] / weights[kept].sum()) for i in kept]


def average_over_windows(
    sounds: Sequence[Sequence[Window]], answer: Callable[[list[np.ndarray]], np.ndarray]
) -> np.ndarray:
    """Averages what a network says of the windows over each sound, by their weights.

    Args:
        sounds: N sounds, at least one, each cut into one or more windows.
        answer: windows -> (their number, D).

    Returns:
        (N, D) float32.
    """
    windows = [window for of_sound in sounds for window in of_sound]
    batches = [windows[first : first + AT_ONCE] for first in range(0, len(windows), AT_ONCE)]
    return mean_by_weight(sounds, np.concatenate([answer([window.samples() for window in batch]) for batch in batches]))


def mean_by_weight(sounds: Sequence[Sequence[Window]], values: np.ndarray) -> np.ndarray:
    """Averages what was said of each window, (their number, D), over each sound: (N, D) float32."""
    means = np.zeros((len(sounds), values.shape[1]), np.float32)
    rows = [(row, window.weight) for row, windows in enumerate(sounds) for window in windows]
    for (row, weight), value in zip(rows, values, strict=True):
        means[row] += np.float32(weight) * value
    return means


class WindowedCaptioner:
    """Says a sentence on each window in which something is heard, and joins them: the captioners' share of long sounds.

    Of more than `max_windows` windows the loudest are heard, in order of time; what is said twice is said once.

    What a family gives:
        max_windows: int.
        windows: (waveform, sampling_rate) -> the sound's windows.
        say: list of windows -> a sentence on each, stripped.
    """

    max_windows: int
    windows: Callable[[np.ndarray, int], list[Window]]
    say: Callable[[list[np.ndarray]], list[str]]

    def caption(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> list[str]:
        """See `models.roles.AudioCaptioner`."""
        sounds = [self._loudest(*sound)[0] for sound in zip(waveforms, sampling_rates, strict=True)]
        jobs = [(row, window) for row, windows in enumerate(sounds) for window in windows]
        said: list[list[str]] = [[] for _ in sounds]
        for first in range(0, len(jobs), AT_ONCE):
            some = jobs[first : first + AT_ONCE]
            for (row, _), sentence in zip(some, self.say([window.samples() for _, window in some]), strict=True):
                said[row].append(sentence)
        return [join_sentences(sentences) for sentences in said]

    def unheard(self, waveform: np.ndarray, sampling_rate: int) -> list[tuple[float, float]]:
        """See `models.roles.AudioCaptioner`."""
        return [window.seconds for window in self._loudest(waveform, sampling_rate)[1]]

    def _loudest(self, waveform: np.ndarray, sampling_rate: int) -> tuple[list[Window], list[Window]]:
        """The windows that are heard, and those that are left out."""
        windows = self.windows(waveform, sampling_rate)
        ranked = sorted(range(len(windows)), key=lambda index: -windows[index].weight)
        kept, left = sorted(ranked[: self.max_windows]), sorted(ranked[self.max_windows :])
        return [windows[index] for index in kept], [windows[index] for index in left]


def join_sentences(sentences: Sequence[str]) -> str:
    """Several sentences as one text, each said once; one alone as it is."""
    different: dict[str, str] = {}
    for sentence in filter(None, sentences):
        different.setdefault(sentence.casefold().rstrip(".!? "), sentence)
    if len(different) < 2:
        return "".join(different.values())
    return " ".join(sentence if sentence[-1] in ".!?" else f"{sentence}." for sentence in different.values())


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
