"""A linear bridge between two embedding spaces, fitted on words encoded in both.

Two text encoders put the same words in different spaces. Ridge regression from one to the other carries over any point that
lies among the words, also one that is no word's own.

Conventions:
    source: (N, S) float, row n is word n in the first space.
    target: (N, T) float, the same words in the second space.
    x_bar, y_bar: column means of source and target; the map is fitted to what is left without them.

References:
    Hoerl and Kennard, 1970 (ridge). Golub, Heath and Wahba, 1979 (the leave-one-out error from one fit, used for the
    strength).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["STRENGTHS", "Bridge", "fit_bridge"]

STRENGTHS = tuple(10.0**exponent for exponent in range(-6, 3))  # of the ridge, relative to the mean squared row length


@dataclass(frozen=True, eq=False)
class Bridge:
    """y = y_bar + (x - x_bar) W.

    Attributes:
        weights: W, (S, T) float64.
        source_mean: x_bar, (S,) float64.
        target_mean: y_bar, (T,) float64.
        strength: the ridge that was chosen, relative to the mean squared row length.
        left_out_cosine: mean over words of the cosine between a word's target and what a bridge fitted on all other words
            makes of its source; in [-1, 1], nan for fewer than three words. What an unknown word can expect.
    """

    weights: np.ndarray
    source_mean: np.ndarray
    target_mean: np.ndarray
    strength: float
    left_out_cosine: float

    def __call__(self, source: np.ndarray) -> np.ndarray:
        """Carries points over.

        Args:
            source: (M, S) float.

        Returns:
            (M, T) float32.
        """
        return (self.target_mean + (np.asarray(source, np.float64) - self.source_mean) @ self.weights).astype(np.float32)


def fit_bridge(source: np.ndarray, target: np.ndarray, strengths: Sequence[float] = STRENGTHS) -> Bridge:
    """Fits W = X'(XX' + s m I)^-1 Y for the strength s with the least squared leave-one-out error.

    X, Y are source and target without their means, m is the mean squared length of X's rows. The leave-one-out residual of
    row n is [(G Y)_n] / G_nn with G = (XX' + s m I)^-1 (means held fixed).

    Args:
        source: (N, S) float, N >= 1.
        target: (N, T) float.
        strengths: positive candidates for s; of equally good ones the first is taken.

    Returns:
        The bridge. With one word, or words all alike in the source, it answers y_bar everywhere.

    Raises:
        ValueError: the two do not hold the same number of rows, or hold none.
    """
    if len(source) != len(target) or len(source) == 0:
        raise ValueError(f"expected as many source rows as target rows and at least one, found {len(source)} and {len(target)}")
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = x.mean(0), y.mean(0)
    x, y = x - source_mean, y - target_mean
    scale = np.square(x).sum(1).mean()
    if scale <= np.finfo(np.float32).eps ** 2:
        return Bridge(np.zeros((x.shape[1], y.shape[1])), source_mean, target_mean, float(strengths[0]), float("nan"))
    eigenvalues, vectors = np.linalg.eigh(x @ x.T)
    eigenvalues = eigenvalues.clip(0)
    best_error, best = np.inf, None
    for strength in strengths:
        inverse = (vectors / (eigenvalues + strength * scale)) @ vectors.T  # G, (N, N)
        left_out = inverse @ y / np.diag(inverse)[:, None]  # residuals, (N, T)
        error = np.square(left_out).mean()
        if error < best_error:
            best_error, best = error, (strength, inverse, left_out)
    strength, inverse, left_out = best
    expected = y + target_mean
    quality = _mean_cosine(expected - left_out, expected) if len(x) > 2 else float("nan")
    return Bridge(x.T @ (inverse @ y), source_mean, target_mean, float(strength), quality)


def _mean_cosine(predicted: np.ndarray, expected: np.ndarray) -> float:
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(expected, axis=1)
    return float(np.mean(np.einsum("nd,nd->n", predicted, expected) / np.maximum(lengths, 1e-12)))
