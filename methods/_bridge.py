"""A linear bridge between two embedding spaces, fitted on words encoded in both.

Two text encoders put the same words in different spaces. Ridge regression from one to the other carries over any point
near the words, also one that is no word's own. The ridge is what keeps it from following the small differences between
words: a point that is only near a word differs from it just there (ridge regression is least squares with noise on the
source).

Conventions:
    source: (N, S) float, row n is word n in the first space.
    target: (N, T) float, the same words in the second space.
    x_bar, y_bar: column means of source and target; X, Y are source and target without them.

Reference:
    Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 1970.
    Bishop, "Training with noise is equivalent to Tikhonov regularization", Neural Computation 1995.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Bridge", "fit_bridge"]


@dataclass(frozen=True, eq=False)
class Bridge:
    """y = y_bar + (x - x_bar) W.

    Attributes:
        weights: W, (S, T) float64.
        source_mean: x_bar, (S,) float64.
        target_mean: y_bar, (T,) float64.
    """

    weights: np.ndarray
    source_mean: np.ndarray
    target_mean: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Carries points over.

        Args:
            points: (M, S) float, in the first space.

        Returns:
            (M, T) float32, in the second.
        """
        deviations = np.asarray(points, np.float64) - self.source_mean
        return (self.target_mean + deviations @ self.weights).astype(np.float32)


def fit_bridge(source: np.ndarray, target: np.ndarray, ridge: float) -> Bridge:
    """Fits W = X' (X X' + r m I)^-1 Y, with m the mean squared length of X's rows.

    Args:
        source: (N, S) float, N >= 1.
        target: (N, T) float.
        ridge: r, positive, relative to m, so that it means the same in every space.

    Returns:
        The bridge. With one word, or words all alike in the source, it answers y_bar everywhere.

    Raises:
        ValueError: the two do not hold the same number of rows, or hold none, or the ridge is not positive.
    """
    if len(source) != len(target) or len(source) == 0:
        found = f"{len(source)} and {len(target)}"
        raise ValueError(f"expected as many source rows as target rows and at least one, found {found}")
    if not ridge > 0:
        raise ValueError(f"expected a positive ridge, found {ridge}")
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = x.mean(0), y.mean(0)
    x, y = x - source_mean, y - target_mean
    scale = np.square(x).sum(1).mean()
    if scale <= np.finfo(np.float32).eps ** 2:
        return Bridge(np.zeros((x.shape[1], y.shape[1])), source_mean, target_mean)
    weights = x.T @ np.linalg.solve(x @ x.T + ridge * scale * np.eye(len(x)), y)
    return Bridge(weights, source_mean, target_mean)
