"""What a sound of several windows is, whatever hears it: used by the tests of encoders and taggers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mean_by_energy(heard: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of what is heard of each part, (N, D), weighted by the part's energy.

    Args:
        heard: of each part by itself.
        parts: waveforms without a constant offset.
    """
    energies = np.array([np.square(part, dtype=np.float64).sum() for part in parts])
    return energies @ heard / energies.sum()


def mean_embed(encoder, parts: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """The same of an audio-text encoder, L2-normalised: (D,)."""
    mean = mean_by_energy(encoder.encode_audio(parts, [rate] * len(parts)), parts)
    return mean / np.linalg.norm(mean)
