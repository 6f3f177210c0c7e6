"""The clips that sounds are learnt from, recordings in phrases, rooms and noise, and what SoundNet makes of each.

All chance comes from one random generator a clip. Lengths are whole seconds, which Fourier transforms like.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import soxr
import torch
from numpy.lib.format import open_memmap

from datasets.stamp_world.sounds import reverberation
from models.audio_tagger.soundnet import WINDOW_SECONDS
from models.pocket import soundnet_network
from models.pocket.soundnet_network import FFT, FRAME_CHANNELS, FRAMES, MELS, SoundNet, frames
from models.pocket.train.recordings import SAMPLING_RATE, TEST_PACKAGES, Recording
from utils.errors import UserError

SECONDS = (2, 3, 4, 5, 6)
AMBIENT = ("Wind", "Rain", "Water", "fire", "Environmental noise")  # labels of what may be heard behind a sound
INTERVALS = (-5, -4, -3, -2, 0, 0, 2, 3, 4, 5, 7)  # semitones between notes of a phrase
LEVEL = 0.1  # root mean square
PLAIN, MADE = 10, 40  # of each label: recordings as they are at most, and clips made of them
CHUNK = 8  # clips given to SoundNet at once


@dataclass(frozen=True, eq=False)
class Bank:
    """What SoundNet makes of N clips."""

    frames: np.ndarray  # (N, FRAME_CHANNELS, FRAMES) float16, on disk
    objects: np.ndarray  # (N, 1000) float32, logits less their mean
    labels: np.ndarray  # (N,) of str, as the next two
    packages: np.ndarray
    kinds: np.ndarray  # "plain" for recordings as they are, "made" for clips made of them, "test"


def make_bank(recordings: Sequence[Recording], soundnet: SoundNet, seed: int, runs: Path) -> Bank:
    """Makes clips of all labels and runs SoundNet on them, or goes on where an earlier run was stopped.

    Those of the test packages are taken as they are. `runs` holds `frames.npy`, `objects.npy` and `clips.json`.

    Raises:
        UserError: the folder holds clips of another seed or of other recordings.
    """
    plan = _plan(recordings, seed)
    rows = [(label, own[0].package, kind) for label, own, kind in plan]
    ambience = [one for one in recordings if one.label in AMBIENT and one.package not in TEST_PACKAGES]
    done_path, mel = runs / "clips.json", mel_filters()
    runs.mkdir(parents=True, exist_ok=True)
    origin = {"seed": seed, "plan": hashlib.sha256(repr(rows).encode()).hexdigest()}
    state = json.loads(done_path.read_text(encoding="utf-8")) if done_path.is_file() else {"clips": 0, **origin}
    done = state.pop("clips")
    if state != origin:
        raise UserError(
            f"expected clips of this seed and these recordings in {runs}, found others; name another --runs"
        )
    mode, count = "r+" if done else "w+", len(plan)
    kept = open_memmap(runs / "frames.npy", mode, np.float16, (count, FRAME_CHANNELS, FRAMES))
    objects = open_memmap(runs / "objects.npy", mode, np.float32, (count, 1000))
    for start in range(done, count, CHUNK):
        end = min(start + CHUNK, count)
        sounds = []
        for number, (_, sources, kind) in enumerate(plan[start:end], start):
            rng = np.random.default_rng([seed, number])
            sounds.append(make_clip(rng, sources, ambience) if kind == "made" else sources[0].waveform)
        with torch.inference_mode():
            waveforms = torch.from_numpy(np.stack([_window(sound) for sound in sounds]))
            logits, features = soundnet(waveforms)
            named = logits.mean(-1)
            kept[start:end] = frames(waveforms, features, mel).half().numpy()
            objects[start:end] = (named - named.mean(1, keepdim=True)).numpy()
        if start // CHUNK % 50 == 49 or end == count:
            kept.flush()
            objects.flush()
            done_path.write_text(json.dumps({"clips": end, **origin}), encoding="utf-8")
            print(f"{end} of {count} clips", flush=True)
    return Bank(kept, np.asarray(objects), *(np.array(column) for column in zip(*rows, strict=True)))


def mel_filters() -> torch.Tensor:
    """(MELS, FFT / 2 + 1) float32, 50 Hz to 10 kHz."""
    return torch.from_numpy(librosa.filters.mel(sr=SAMPLING_RATE, n_fft=FFT, n_mels=MELS, fmin=50, fmax=10000))


def _plan(recordings: Sequence[Recording], seed: int) -> list[tuple[str, list[Recording], str]]:
    """(label, what it is made of, kind) of each clip."""
    by_label: dict[str, dict[str, list[Recording]]] = defaultdict(lambda: defaultdict(list))
    for one in recordings:
        if one.package not in TEST_PACKAGES:
            by_label[one.label][one.package].append(one)
    rng, plan = np.random.default_rng([seed, 1]), []
    for label in sorted(by_label):
        sources = list(by_label[label].values())
        for own in sources:
            few = rng.permutation(len(own))[: max(2, PLAIN // len(sources))]
            plan += [(label, [own[i]], "plain") for i in few]
        plan += [(label, sources[i % len(sources)], "made") for i in range(MADE)]
    return plan + [(one.label, [one], "test") for one in recordings if one.package in TEST_PACKAGES]


def _window(sound: np.ndarray) -> np.ndarray:
    """Repeated to the length of a window, at the level SoundNet was trained at."""
    peak = max(float(np.abs(sound).max()), 1e-6)
    return np.resize(sound * (soundnet_network.LEVEL / peak), WINDOW_SECONDS * SAMPLING_RATE).astype(np.float32)


def make_clip(
    rng: np.random.Generator, recordings: Sequence[Recording], ambience: Sequence[Recording], augment: bool = True
) -> np.ndarray:
    """Makes a clip of recordings of one label and package: (T,) float32 at SAMPLING_RATE, 2 to 6 s.

    Pitch and rhythm always vary; with `augment` room, filter, noise and what is heard behind it, the `ambience`.
    """
    length = int(rng.choice(SECONDS)) * SAMPLING_RATE
    levelled = [_levelled(one.waveform) for one in recordings]
    dry = (_phrase if recordings[0].is_note else _repeated)(rng, levelled, length)
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
            note, fade = note[:held].copy(), min(800, held // 3)
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
    """In a room, through a microphone, with noise and over ambience, each of them now and then."""
    sound, length = dry, len(dry)
    if rng.random() < 0.5:
        sound = sound + reverberation(rng, sound, int(rng.uniform(0.08, 0.6) * SAMPLING_RATE), 0.8)
    if rng.random() < 0.5:  # highs or lows cut off, and a slope of up to 3 dB an octave
        spectrum, hertz = np.fft.rfft(sound), np.fft.rfftfreq(length, 1 / SAMPLING_RATE)
        gain = 10 ** (rng.uniform(-3, 3) * np.log2(np.maximum(hertz, 50) / 1000) / 20)
        if rng.random() < 0.5:
            gain = gain / (1 + (hertz / rng.uniform(2500, 9000)) ** 4)
        if rng.random() < 0.5:
            gain = gain * (1 - 1 / (1 + (hertz / rng.uniform(60, 400)) ** 2))
        sound = np.fft.irfft(spectrum * gain, length)
    sound = _levelled(sound)
    if rng.random() < 0.6:  # white, pink or brown noise
        level = LEVEL * 10 ** (-rng.uniform(8, 38) / 20)
        spectrum = np.fft.rfft(rng.standard_normal(length))
        noise = np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1.0) ** rng.choice([0, -0.5, -1]), length)
        sound = sound + level * (noise / (noise.std() + 1e-9))
    if rng.random() < 0.2 and ambience:
        behind = np.resize(ambience[rng.integers(len(ambience))].waveform, length)
        sound = sound + _levelled(behind) * 10 ** (-rng.uniform(3, 20) / 20)
    return sound.astype(np.float32)


def _faster(sound: np.ndarray, semitones: float) -> np.ndarray:
    """Higher and shorter, as a tape that runs faster."""
    return soxr.resample(sound, SAMPLING_RATE * 2 ** (semitones / 12), SAMPLING_RATE)


def _levelled(sound: np.ndarray) -> np.ndarray:
    return (LEVEL * sound / (np.sqrt(np.mean(np.square(sound))) + 1e-9)).astype(np.float32)
