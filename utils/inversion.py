"""Text inversion: the free word whose sentence means what a sound means.

For each target t the word embedding e* = argmin_e 1 - cos(psi_t(e), t) is sought with Adam, psi_t being a text encoder
that reads a sentence with the free word e in it.

The targets are optimised in blocks of one fixed size, filled up with copies, and no term joins two rows: what comes out
for a target does not depend on which others are there. A row's result is its best step up to the row's own stop.

References:
    Gal et al., 2022, arXiv 2208.01618 (pseudo-words). Kingma and Ba, 2015, arXiv 1412.6980 (Adam).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["Inversion", "invert"]

BLOCK = 8  # rows optimised together, always exactly this many

Encode = Callable[[torch.Tensor], torch.Tensor]  # (BLOCK, W) word embeddings -> (BLOCK, D) L2-normalised


@dataclass(frozen=True, eq=False)
class Inversion:
    """What came out for one target.

    Attributes:
        word: e*, (W,) float32.
        text_embed: psi_t(e*), (D,) float32, L2-normalised.
        similarity: cos(psi_t(e*), target), in [-1, 1].
        losses: 1 - cosine at the start and after each step, up to this target's own stop.
    """

    word: np.ndarray
    text_embed: np.ndarray
    similarity: float
    losses: tuple[float, ...]


def invert(
    encode: Encode,
    word_embeddings: torch.Tensor,
    targets: np.ndarray,
    *,
    steps: int,
    learning_rate: float,
    patience: int,
    min_delta: float,
    starts: int,
    seed: int,
) -> list[Inversion]:
    """Finds the free word of each target.

    Args:
        encode: differentiable; see `models.roles.AudioTextEncoder.pseudo_word_encoder`.
        word_embeddings: (V, W) float, the token table the words live in; it gives the starts and the scale.
        targets: (N, D) float, L2-normalised.
        steps: Adam steps at most; 0 keeps the start.
        learning_rate: Adam's, in standard deviations of the token table, so that it means the same for every encoder.
        patience: a target stops after this many steps in a row without an improvement of `min_delta` in its loss.
        min_delta: see `patience`.
        starts: each target starts at the best of the table's mean and this many of its rows, drawn with `seed`.
        seed: of the draw; everything else is deterministic.

    Returns:
        One Inversion per target, in order.
    """
    with torch.inference_mode(False), torch.enable_grad():
        table = word_embeddings.detach().clone().float()
        goals = torch.as_tensor(np.asarray(targets), dtype=torch.float32).to(table.device)
        words, embeds = _starting_points(encode, table, starts, seed)
        nearest = (goals[:, None, :] * embeds).sum(-1).argmax(1)  # (N,); one row's sum never depends on the others
        results = []
        for rows in _blocks(len(goals)):
            results += _descend(
                encode,
                words[nearest[rows]],
                goals[rows],
                steps,
                learning_rate * float(table.std()),
                patience,
                min_delta,
            )[: len(goals) - len(results)]
    return results


def _starting_points(encode: Encode, table: torch.Tensor, starts: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns words (S, W) and what the sentence means with each of them, (S, D)."""
    drawn = np.random.default_rng(seed).permutation(len(table))[:starts]
    words = torch.cat([table.mean(0, keepdim=True), table[torch.as_tensor(np.sort(drawn), device=table.device)]])
    with torch.no_grad():
        embeds = torch.cat([encode(words[rows]).float() for rows in _blocks(len(words))])
    return words, embeds[: len(words)]


def _blocks(count: int) -> Iterator[list[int]]:
    """Yields the row numbers 0..count-1 in blocks of BLOCK, the last one filled up with its last row."""
    for first in range(0, count, BLOCK):
        yield [min(row, count - 1) for row in range(first, first + BLOCK)]


def _descend(
    encode: Encode,
    start: torch.Tensor,  # (BLOCK, W)
    goal: torch.Tensor,  # (BLOCK, D)
    steps: int,
    step_size: float,
    patience: int,
    min_delta: float,
) -> list[Inversion]:
    word = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([word], lr=step_size)
    best_word, best_embed = start.clone(), torch.zeros_like(goal)
    lowest = torch.full((len(start),), torch.inf, device=start.device)
    mark, stale = lowest.clone(), torch.zeros_like(lowest)  # the loss last counted as an improvement; steps since then
    running = torch.ones_like(lowest, dtype=torch.bool)
    losses: list[list[float]] = [[] for _ in start]
    for step in range(steps + 1):
        embed = encode(word).float()  # (BLOCK, D)
        loss = 1 - (embed * goal).sum(-1)  # (BLOCK,)
        now = loss.detach()
        for row in running.nonzero()[:, 0].tolist():
            losses[row].append(float(now[row]))
        better = running & (now < lowest)
        lowest = torch.where(better, now, lowest)
        best_word = torch.where(better[:, None], word.detach(), best_word)
        best_embed = torch.where(better[:, None], embed.detach(), best_embed)
        improved = now < mark - min_delta
        mark = torch.where(improved, now, mark)
        stale = torch.where(improved, 0, stale + 1)
        running &= stale < patience
        if step == steps or not running.any():
            break
        (word.grad,) = torch.autograd.grad(loss.sum(), word)
        adam.step()
    words, embeds = best_word.cpu().numpy(), best_embed.cpu().numpy()
    return [Inversion(words[row], embeds[row], 1 - float(lowest[row]), tuple(losses[row])) for row in range(len(start))]
