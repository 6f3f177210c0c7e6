"""Sounds of the stamps world: one recording per kind, varied in pitch, tempo, place in time, room, noise and gain.

Variations are held out by what they are: the plane of pitch (semitones) and tempo is divided into 5 x 5 cells, of
which five are for testing only, one in each row and column; the noise colour "blue" is for testing only too.

Conventions:
    rng: the only source of chance.
    split: "train", or anything else for the variations held out.
    waveform: (T,) float32 at SAMPLING_RATE; what is returned lies in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import librosa
import numpy as np
import soundfile

from datasets.stamp_world.catalog import Kind, stamp_path

SAMPLING_RATE = 16000
PITCH_EDGES = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)  # semitones
TEMPO_EDGES = (0.8, 0.875, 0.957, 1.046, 1.144, 1.25)  # factor of speed
TEST_CELLS = tuple((i, (2 * i) % 5) for i in range(5))  # (0, 0) (1, 2) (2, 4) (3, 1) (4, 3)
TRAIN_NOISES = (0.0, -0.5, -1.0)  # white, pink, brown: exponents of the amplitude spectrum
TEST_NOISES = (*TRAIN_NOISES, 0.5)  # and blue
SECONDS = (2.0, 5.0)
PEAK_DB = (-16.0, -1.0)  # dBFS, of whatever sounds
FAINT_PEAK_DB = (-60.0, -45.0)  # dBFS, a quiet room through an ordinary microphone: never within 29 dB of a sound
MIX_DB = 3.0  # each of several sounds is at most this much above or below the others' common level


def sound(rng: np.random.Generator, kind: Kind, root: Path, split: str) -> np.ndarray:
    """A varied sound of a kind, 2 to 5 seconds long."""
    seconds = float(rng.uniform(*SECONDS))
    return staged(rng, stretched(rng, kind, root, split), split, seconds)


def mixture(rng: np.random.Generator, kinds: Sequence[Kind], root: Path, split: str) -> np.ndarray:
    """Varied sounds of several kinds at the same time, each in its own room and noise, none drowned by the others.

    It is 2 to 5 seconds long; the RMS of the sounds differ by at most 2 * MIX_DB before the sum, whose peak is drawn
    like that of one sound.
    """
    seconds = float(rng.uniform(*SECONDS))
    parts = [staged(rng, stretched(rng, kind, root, split), split, seconds) for kind in kinds]
    gains_db = rng.uniform(-MIX_DB, MIX_DB, len(parts))
    return mixed(parts, gains_db, float(rng.uniform(*PEAK_DB)))


def faint_noise(rng: np.random.Generator, split: str) -> np.ndarray:
    """Nothing but the noise of a recorder, 2 to 5 seconds long, with its peak within FAINT_PEAK_DB."""
    exponent = _noise_exponent(rng, split)
    noise = coloured_noise(rng, int(rng.uniform(*SECONDS) * SAMPLING_RATE), exponent)
    return (10 ** (rng.uniform(*FAINT_PEAK_DB) / 20) * noise / np.abs(noise).max()).astype(np.float32)


def digital_silence(rng: np.random.Generator) -> np.ndarray:
    """Zeros, 2 to 5 seconds of them."""
    return np.zeros(int(rng.uniform(*SECONDS) * SAMPLING_RATE), np.float32)


@lru_cache(maxsize=128)
def recording(path: Path) -> np.ndarray:
    """The waveform in a file, mono, leading and trailing silence cut, RMS 0.1."""
    waveform, rate = soundfile.read(path, dtype="float32", always_2d=True)
    waveform = librosa.resample(waveform.mean(axis=1), orig_sr=rate, target_sr=SAMPLING_RATE)
    waveform, _ = librosa.effects.trim(waveform, top_db=40)
    return (0.1 * waveform / (np.sqrt(np.mean(waveform**2)) + 1e-9)).astype(np.float32)


def stretched(rng: np.random.Generator, kind: Kind, root: Path, split: str) -> np.ndarray:
    """A recording of the kind in another pitch and tempo, from the cells of the split; of any level."""
    cells = [(i, j) for i in range(5) for j in range(5) if ((i, j) in TEST_CELLS) == (split != "train")]
    i, j = cells[rng.integers(len(cells))]
    pitch = rng.uniform(PITCH_EDGES[i], PITCH_EDGES[i + 1])
    tempo = rng.uniform(TEMPO_EDGES[j], TEMPO_EDGES[j + 1])
    waveform = recording(stamp_path(root, kind.sounds[rng.integers(len(kind.sounds))], "ogg"))
    # playing faster by 2^(p/12) raises the pitch by p; the phase vocoder then sets the tempo
    speed = 2 ** (pitch / 12)
    waveform = librosa.resample(waveform, orig_sr=SAMPLING_RATE * speed, target_sr=SAMPLING_RATE, res_type="soxr_mq")
    return librosa.effects.time_stretch(waveform, rate=tempo / speed, n_fft=1024).astype(np.float32)


def staged(rng: np.random.Generator, waveform: np.ndarray, split: str, seconds: float) -> np.ndarray:
    """Puts a recording into a scene of some seconds: repeated after pauses, in a room, with noise, at some level."""
    length = int(seconds * SAMPLING_RATE)
    parts, filled = [], 0
    while filled < length:
        pause = np.zeros(int(rng.uniform(0.05, 0.5) * SAMPLING_RATE), np.float32)
        parts += [pause, waveform]
        filled += len(pause) + len(waveform)
    dry = np.concatenate(parts)
    start = int(rng.integers(0, max(1, min(len(dry) - length, len(waveform)))))
    dry = dry[start : start + length]
    if rng.random() < 0.5:
        dry = dry + reverberation(rng, dry, int(rng.uniform(0.1, 0.5) * SAMPLING_RATE), 0.6).astype(np.float32)
    exponent = _noise_exponent(rng, split)
    level = np.sqrt(np.mean(dry**2)) + 1e-9
    noisy = dry + level * 10 ** (-rng.uniform(8, 35) / 20) * coloured_noise(rng, length, exponent)
    peak = 10 ** (-rng.uniform(-PEAK_DB[1], -PEAK_DB[0]) / 20)
    return (peak * noisy / (np.abs(noisy).max() + 1e-9)).astype(np.float32)


def reverberation(rng: np.random.Generator, dry: np.ndarray, samples: int, strongest: float) -> np.ndarray:
    """(T,) what a room, whose echoes die away within some samples, adds to a sound; its gain is 0.1 to `strongest`."""
    tail = rng.standard_normal(samples) * np.exp(-6.9 * np.arange(samples) / samples)
    tail *= rng.uniform(0.1, strongest) / np.linalg.norm(tail)
    size = 1 << int(np.ceil(np.log2(len(dry) + samples)))
    return np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(tail, size), size)[: len(dry)]


def mixed(parts: Sequence[np.ndarray], gains_db: Sequence[float], peak_db: float) -> np.ndarray:
    """Adds waveforms of one length, the RMS of each by its gain above the others', the sum's peak at `peak_db` dBFS."""
    levels = (np.sqrt(np.mean(np.square(part, dtype=np.float64))) + 1e-9 for part in parts)
    total = sum(part * 10 ** (gain / 20) / level for part, gain, level in zip(parts, gains_db, levels, strict=True))
    return (10 ** (peak_db / 20) * total / (np.abs(total).max() + 1e-9)).astype(np.float32)


def coloured_noise(rng: np.random.Generator, length: int, exponent: float) -> np.ndarray:
    """(length,) float32 of RMS 1 whose amplitude spectrum falls as frequency ** exponent."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.maximum(np.arange(len(spectrum)), 1.0)
    noise = np.fft.irfft(spectrum * frequency**exponent, length)
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def _noise_exponent(rng: np.random.Generator, split: str) -> float:
    noises = TRAIN_NOISES if split == "train" else TEST_NOISES
    return noises[rng.integers(len(noises))]
