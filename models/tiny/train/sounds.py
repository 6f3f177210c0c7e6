"""Training sounds: every recording in many pitches and tempos, and the features of thousands of staged sounds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from datasets.stamp_catalog import SOUNDING
from datasets.stamp_sounds import SAMPLING_RATE, SECONDS, staged, stretched
from models.tiny.train.loop import Steps

VARIANTS = 40
MAX_SECONDS = 8  # of one recording kept in the bank


def _variants(task: tuple[int, Path, int]) -> list[np.ndarray]:
    index, root, seed = task
    rng = np.random.default_rng([seed, 1, index])
    drawn = [stretched(rng, SOUNDING[index], root, "train") for _ in range(VARIANTS)]
    return [np.round(np.clip(one[: MAX_SECONDS * SAMPLING_RATE], -1, 1) * 32767).astype(np.int16) for one in drawn]


@dataclass(frozen=True, eq=False)
class Bank:
    """Stretched recordings: `waveforms[kind][variant]` is (T,) int16 at SAMPLING_RATE."""

    waveforms: list[list[np.ndarray]]

    def draw(self, rng: np.random.Generator, kind: int) -> np.ndarray:
        """A training sound of the kind, 2 to 5 seconds, (T,) float32 in [-1, 1]."""
        variants = self.waveforms[kind]
        waveform = variants[rng.integers(len(variants))].astype(np.float32) / 32767
        return staged(rng, waveform, "train", float(rng.uniform(*SECONDS)))


def load_bank(root: Path, runs: Path, seed: int) -> Bank:
    """Reads the bank from `runs/bank_SEED.npz`, or makes it there (about two minutes on two cores)."""
    path = runs / f"bank_{seed}.npz"
    if not path.exists():
        runs.mkdir(parents=True, exist_ok=True)
        print("sounds: stretching every recording", flush=True)
        with get_context("spawn").Pool(2) as pool:
            waveforms = pool.map(_variants, [(i, root, seed) for i in range(len(SOUNDING))], chunksize=1)
        flat = {f"{i}_{j}": waveform for i, variants in enumerate(waveforms) for j, waveform in enumerate(variants)}
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, **flat)
        os.replace(temporary, path)
    with np.load(path) as stored:
        return Bank([[stored[f"{i}_{j}"] for j in range(VARIANTS)] for i in range(len(SOUNDING))])


@dataclass(frozen=True, eq=False)
class Features:
    """What a network's own processor makes of training sounds, drawn once; and how a step draws from it.

    Attributes:
        values: (N, ...) float16, one row per sound; the last two axes are time and frequency in some order.
        kinds: (N,) int64 index into SOUNDING.
        seed, stage: what the random numbers of a step come from, with its index.
    """

    values: np.ndarray
    kinds: np.ndarray
    seed: int
    stage: int

    def __call__(self, index: int) -> tuple[np.ndarray, int, np.random.Generator]:
        """One row with a random band of each of its last two axes replaced by the row's mean (SpecAugment)."""
        rng = np.random.default_rng([self.seed, self.stage, index])
        row = int(rng.integers(len(self.values)))
        value = self.values[row].astype(np.float32)
        if rng.random() < 0.7:
            mean = value.mean()
            for axis in (-1, -2):
                size = value.shape[axis]
                width = int(rng.integers(0, size // 6))
                start = int(rng.integers(0, size - width + 1))
                band = [slice(None)] * value.ndim
                band[axis] = slice(start, start + width)
                value[tuple(band)] = mean
        return value, int(self.kinds[row]), rng


def load_features(
    name: str, bank: Bank, extract: Callable[[np.ndarray], np.ndarray], per_kind: int, runs: Path, seed: int, stage: int
) -> Features:
    """Reads `runs/NAME_features_SEED.npz`, or makes it there (a few minutes).

    Args:
        name: of the network.
        bank: stretched recordings.
        extract: (T,) float32 waveform at SAMPLING_RATE -> the network's input features of it.
        per_kind: how many sounds of each kind.
        runs: folder of intermediate files.
        seed, stage: what the sounds are drawn from.
    """
    path = runs / f"{name}_features_{seed}.npz"
    kinds = np.arange(per_kind * len(SOUNDING)) % len(SOUNDING)
    if not path.exists():
        print(f"{name}: {len(kinds)} training sounds", flush=True)

        def make(index: int) -> np.ndarray:
            rng = np.random.default_rng([seed, stage + 100, index])
            return extract(bank.draw(rng, int(kinds[index]))).astype(np.float16)

        loader = DataLoader(Steps(make), batch_size=66, sampler=range(len(kinds)), collate_fn=np.stack, num_workers=1)
        values = np.concatenate(list(loader))
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, values=values)
        os.replace(temporary, path)
    with np.load(path) as stored:
        return Features(stored["values"], kinds, seed, stage)
