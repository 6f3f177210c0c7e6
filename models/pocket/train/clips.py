"""Sounds to learn hearing from: recordings repeated, notes played as phrases, in rooms, with noise, badly recorded.

Everything is drawn from one random generator. Lengths are whole seconds, which Fourier transforms like.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr

from models.pocket.train.recordings import SAMPLING_RATE, Recording

__all__ = ["SECONDS", "make_clip"]

SECONDS = (2, 3, 4, 5, 6)
AMBIENT = ("Wind", "Rain", "Water", "fire", "Environmental noise")  # labels of what may be heard behind a sound
INTERVALS = (-5, -4, -3, -2, 0, 0, 2, 3, 4, 5, 7)  # semitones between notes of a phrase
LEVEL = 0.1  # root mean square


def make_clip(
    rng: np.random.Generator, recordings: Sequence[Recording], ambience: Sequence[Recording], augment: bool = True
) -> np.ndarray:
    """Makes a clip of one label.

    Args:
        rng: the only source of chance.
        recordings: of one label and package.
        ambience: what may be heard behind it.
        augment: whether room, filter, noise and ambience vary; pitch and rhythm always do.

    Returns:
        (T,) float32 at SAMPLING_RATE, 2 to 6 s.
    """
    length = int(rng.choice(SECONDS)) * SAMPLING_RATE
    levelled = [_levelled(one.waveform) for one in recordings]
    make = _phrase if recordings[0].is_note else _repeated
    dry = make(rng, levelled, length)
    return _staged(rng, dry, ambience) if augment else _levelled(dry)


def _phrase(rng: np.random.Generator, notes: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Notes of an instrument one after the other, now and then several at once."""
    out = np.zeros(length, np.float32)
    some = [notes[i] for i in rng.integers(0, len(notes), rng.integers(1, 5))]
    base, gap, start = rng.uniform(-4, 4), rng.uniform(0.12, 0.9), 0
    while start < length:
        for _ in range(1 if rng.random() < 0.7 else rng.integers(2, 4)):
            note = _faster(some[rng.integers(len(some))], base + rng.choice(INTERVALS))
            held = min(len(note), int(rng.uniform(0.8, 2.5) * gap * SAMPLING_RATE) + 2000, length - start)
            if held < 50:
                continue
            note = note[:held].copy()
            fade = min(800, held // 3)
            note[-fade:] *= np.linspace(1, 0, fade)
            out[start : start + held] += note * rng.uniform(0.5, 1)
        start += int(gap * SAMPLING_RATE * rng.choice([0.5, 1, 1, 1, 2]))
    return out


def _repeated(rng: np.random.Generator, sounds: Sequence[np.ndarray], length: int) -> np.ndarray:
    """A recording again and again after pauses, sometimes another of the same kind; a long one perhaps once."""
    out = np.zeros(length, np.float32)
    first, semitones = sounds[rng.integers(len(sounds))], rng.uniform(-2.5, 2.5)
    start = int(rng.uniform(0, 0.5) * SAMPLING_RATE)
    while start < length:
        sound = first if rng.random() < 0.8 else sounds[rng.integers(len(sounds))]
        sound = _faster(sound, semitones + rng.uniform(-0.5, 0.5))
        held = min(len(sound), length - start)
        out[start : start + held] += sound[:held] * rng.uniform(0.7, 1)
        start += len(sound) + int(rng.uniform(0, 0.8) * SAMPLING_RATE)
        if len(first) > 3 * SAMPLING_RATE and rng.random() < 0.5:
            break
    return out


def _staged(rng: np.random.Generator, dry: np.ndarray, ambience: Sequence[Recording]) -> np.ndarray:
    sound, length = dry, len(dry)
    if rng.random() < 0.5:  # a room
        tail = rng.standard_normal(int(rng.uniform(0.08, 0.6) * SAMPLING_RATE))
        tail *= np.exp(-6.9 * np.arange(len(tail)) / len(tail))
        tail *= rng.uniform(0.1, 0.8) / np.linalg.norm(tail)
        size = 1 << int(np.ceil(np.log2(length + len(tail))))
        sound = sound + np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[:length]
    if rng.random() < 0.5:  # a microphone
        sound = _filtered(rng, sound)
    sound = _levelled(sound)
    if rng.random() < 0.6:
        sound = sound + LEVEL * 10 ** (-rng.uniform(8, 38) / 20) * _noise(rng, length)
    if rng.random() < 0.2 and ambience:
        behind = np.resize(ambience[rng.integers(len(ambience))].waveform, length)
        sound = sound + _levelled(behind) * 10 ** (-rng.uniform(3, 20) / 20)
    return sound.astype(np.float32)


def _filtered(rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
    """Highs or lows cut off, and a slope of up to 3 dB an octave."""
    spectrum, hertz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / SAMPLING_RATE)
    gain = 10 ** (rng.uniform(-3, 3) * np.log2(np.maximum(hertz, 50) / 1000) / 20)
    if rng.random() < 0.5:
        gain = gain / (1 + (hertz / rng.uniform(2500, 9000)) ** 4)
    if rng.random() < 0.5:
        gain = gain * (1 - 1 / (1 + (hertz / rng.uniform(60, 400)) ** 2))
    return np.fft.irfft(spectrum * gain, len(sound))


def _noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """White, pink or brown, of RMS 1."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    noise = np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1.0) ** rng.choice([0, -0.5, -1]), length)
    return noise / (noise.std() + 1e-9)


def _faster(sound: np.ndarray, semitones: float) -> np.ndarray:
    """Higher and shorter, as a tape that runs faster."""
    return soxr.resample(sound, SAMPLING_RATE * 2 ** (semitones / 12), SAMPLING_RATE)


def _levelled(sound: np.ndarray) -> np.ndarray:
    return (LEVEL * sound / (np.sqrt(np.mean(np.square(sound))) + 1e-9)).astype(np.float32)
