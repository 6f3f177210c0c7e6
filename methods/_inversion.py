"""Text inversion: the free word whose sentence means what a sound means, and a bridge for what the sentence means.

Inverter. For each target t the word embedding e* = argmin_e 1 - cos(psi_t(e), t) is sought with Adam, psi_t being a
text encoder that reads a sentence with the free word e in it.

Targets are sought together, but no term joins two of them: each has a start, an optimiser's state and a stop of its
own, and leaves when it has stopped. So what comes out for a target does not depend on who else is there, but for the
last digits of the encoder's arithmetic, which may also move a stop by a step. A target's result is its best step up to
its own stop.

Bridge. Two text encoders put the same words in different spaces. Ridge regression from one to the other carries over
any point near the words, also one that is no word's own. The ridge is what keeps it from following the small
differences between words: a point that is only near a word differs from it just there (ridge regression is least
squares with noise on the source).

References:
    Gal et al., 2022, arXiv 2208.01618 (pseudo-words). Kingma and Ba, 2015, arXiv 1412.6980 (Adam).
    Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 1970.
    Bishop, "Training with noise is equivalent to Tikhonov regularization", Neural Computation 1995.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

MAX_ROWS = 16  # words a pass of the encoder

Encode = Callable[[torch.Tensor], torch.Tensor]  # (B, W) word embeddings -> (B, D) L2-normalised


@dataclass(frozen=True, eq=False)
class Inversion:
    """What came out for one target."""

    word: np.ndarray  # e*, (W,) float32
    text_embed: np.ndarray  # psi_t(e*), (D,) float32, L2-normalised
    similarity: float  # cos(psi_t(e*), target), in [-1, 1]
    losses: tuple[float, ...]  # 1 - cosine at the start and after each step, up to this target's own stop


@dataclass(frozen=True)
class Search:
    """How a word is looked for; everything but the draw with `seed` is deterministic."""

    steps: int  # Adam's, at most; 0 keeps the start
    learning_rate: float  # Adam's, in standard deviations of the token table: it means the same for every encoder
    patience: int  # a target stops after so many steps without an improvement by `min_delta`
    min_delta: float
    starts: int  # each target starts at the best of the table's mean and this many of its rows, drawn with `seed`
    seed: int


class Inverter:
    """Finds the free word of any target; what depends on the encoder alone is done once, when it is made."""

    def __init__(self, encode: Encode, word_embeddings: torch.Tensor, search: Search) -> None:
        """Draws the starting points and encodes them.

        Args:
            encode: differentiable; see `models.roles.AudioTextEncoder.pseudo_word_encoder`.
            word_embeddings: (V, W) float, the token table, which gives the starts and the scale, and is not kept.
            search: how.
        """
        self.encode, self.steps = encode, search.steps
        self.patience, self.min_delta = search.patience, search.min_delta
        with torch.inference_mode(False), torch.no_grad():
            table = word_embeddings.detach().float()
            self.step_size = search.learning_rate * float(table.std())
            drawn = np.sort(np.random.default_rng(search.seed).permutation(len(table))[: search.starts])
            self._words = torch.cat([table.mean(0, keepdim=True), table[torch.as_tensor(drawn, device=table.device)]])
            self._embeds = torch.cat([encode(words).float() for words in self._words.split(MAX_ROWS)])  # (S, D)

    def invert(self, targets: np.ndarray) -> list[Inversion]:
        """Finds the free word of each target: (N, D) float, L2-normalised."""
        results: list[Inversion] = []
        with torch.inference_mode(False), torch.enable_grad():
            goals = torch.tensor(np.asarray(targets), dtype=torch.float32, device=self._words.device)
            for first in range(0, len(goals), MAX_ROWS):
                results += self._descend(goals[first : first + MAX_ROWS])
        return results

    def _descend(self, goals: torch.Tensor) -> list[Inversion]:
        nearest = (goals[:, None, :] * self._embeds).sum(-1).argmax(1)  # (N,)
        rows = [_Row(self._words[start], goal) for start, goal in zip(nearest.tolist(), goals, strict=True)]
        adam = torch.optim.Adam([row.word for row in rows], lr=self.step_size)
        running = rows
        for step in range(self.steps + 1):
            embeds = self.encode(torch.stack([row.word for row in running])).float()  # (running, D)
            losses = 1 - (embeds * torch.stack([row.goal for row in running])).sum(-1)
            going_on = [
                row.note(loss, embed, self.min_delta) < self.patience
                for row, loss, embed in zip(running, losses.tolist(), embeds.detach(), strict=True)
            ]
            if step == self.steps or not any(going_on):
                break
            gradients = torch.autograd.grad(losses.sum(), [row.word for row in running])
            for row, gradient, goes_on in zip(running, gradients, going_on, strict=True):
                row.word.grad = gradient if goes_on else None  # without one, Adam leaves a word where it is
            adam.step()
            running = [row for row, goes_on in zip(running, going_on, strict=True) if goes_on]
        return [row.result() for row in rows]


class _Row:
    """A target on its way."""

    def __init__(self, start: torch.Tensor, goal: torch.Tensor) -> None:
        self.word = start.clone().requires_grad_(True)  # (W,)
        self.goal = goal  # (D,)
        self.losses: list[float] = []
        self._best = self.word, goal  # of the steps so far; its word, and what its sentence means
        self._lowest = self._mark = float("inf")  # the mark: the loss last counted as an improvement
        self._stale = 0  # steps since then

    def note(self, loss: float, embed: torch.Tensor, min_delta: float) -> int:
        """Takes down a step; returns for how many there was no improvement."""
        self.losses.append(loss)
        if loss < self._lowest:
            self._lowest, self._best = loss, (self.word.detach().clone(), embed.clone())
        improved = loss < self._mark - min_delta
        self._mark, self._stale = (loss, 0) if improved else (self._mark, self._stale + 1)
        return self._stale

    def result(self) -> Inversion:
        word, embed = (tensor.cpu().numpy() for tensor in self._best)
        return Inversion(word, embed, 1 - self._lowest, tuple(self.losses))


@dataclass(frozen=True, eq=False)
class Bridge:
    """y = y_bar + (x - x_bar) W, in float64."""

    weights: np.ndarray  # W, (S, T)
    source_mean: np.ndarray  # x_bar, (S,)
    target_mean: np.ndarray  # y_bar, (T,)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Carries points over: (M, S) float in the first space -> (M, T) float32 in the second."""
        deviations = np.asarray(points, np.float64) - self.source_mean
        return (self.target_mean + deviations @ self.weights).astype(np.float32)


def fit_bridge(source: np.ndarray, target: np.ndarray, ridge: float) -> Bridge:
    """Fits W = X' (X X' + r m I)^-1 Y, of deviations from the means; m is the mean squared length of X's rows.

    Args:
        source: (N, S) float, N >= 1; row n is word n in the first space.
        target: (N, T) float, the same words in the second.
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
