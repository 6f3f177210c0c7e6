"""Bridges whose map is known: a linear one is recovered, a shaky source is steadied, odd vocabularies are answered."""

from __future__ import annotations

import numpy as np
import pytest

from methods._bridge import fit_bridge


def linear_world(words: int, source_dim: int, target_dim: int, noise: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(words, source_dim))
    weights, offset = rng.normal(size=(source_dim, target_dim)), rng.normal(size=target_dim)
    return source, source @ weights + offset + noise * rng.normal(size=(words, target_dim)), weights, offset


def test_a_linear_map_with_an_offset_is_recovered():
    source, target, weights, offset = linear_world(words=60, source_dim=8, target_dim=5)
    bridge = fit_bridge(source, target, ridge=1e-9)
    unseen = np.random.default_rng(1).normal(size=(20, 8))
    np.testing.assert_allclose(bridge(unseen), unseen @ weights + offset, atol=1e-5)
    assert bridge(unseen).shape == (20, 5) and bridge(unseen).dtype == np.float32


@pytest.mark.parametrize("words", [12, 40])
def test_equals_the_textbook_ridge(words):
    source, target, _, _ = linear_world(words, source_dim=20, target_dim=3, noise=0.5)
    bridge = fit_bridge(source, target, ridge=0.1)
    x, y = source - source.mean(0), target - target.mean(0)
    ridge = 0.1 * np.square(x).sum(1).mean()
    expected = np.linalg.solve(x.T @ x + ridge * np.eye(20), x.T @ y)
    np.testing.assert_allclose(bridge.weights, expected, atol=1e-10)


def test_the_ridge_means_the_same_at_any_scale():
    source, target, _, _ = linear_world(words=12, source_dim=20, target_dim=3, noise=0.5)
    np.testing.assert_allclose(
        fit_bridge(1000 * source, target, 0.1)(1000 * source), fit_bridge(source, target, 0.1)(source)
    )


def test_a_point_near_a_word_needs_a_ridge_to_arrive_near_it():
    """Words that differ much in some directions and little in others, and points a little off them."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(80, 100)) * np.geomspace(1, 1e-3, 100)
    target = rng.normal(size=(80, 50))
    points = words + 0.02 * rng.normal(size=words.shape)

    def share_at_home(ridge: float) -> float:
        arrived = fit_bridge(words, target, ridge)(points)
        distances = np.linalg.norm(arrived[:, None] - target[None], axis=-1)
        return float(np.mean(distances.argmin(1) == np.arange(80)))

    assert share_at_home(1e-9) < 0.5
    assert share_at_home(0.03) > 0.95


@pytest.mark.parametrize("source", [np.ones((1, 4)), np.ones((5, 4))])
def test_words_all_alike_give_the_mean(source):
    target = np.arange(len(source) * 3.0).reshape(-1, 3)
    bridge = fit_bridge(source, target, ridge=0.1)
    np.testing.assert_allclose(bridge(np.random.default_rng(0).normal(size=(2, 4))), np.tile(target.mean(0), (2, 1)))


def test_impossible_questions_are_refused():
    for rows, others in ((3, 4), (0, 0)):
        with pytest.raises(ValueError, match=f"found {rows} and {others}"):
            fit_bridge(np.zeros((rows, 2)), np.zeros((others, 2)), ridge=0.1)
    with pytest.raises(ValueError, match="positive ridge, found 0"):
        fit_bridge(np.eye(2), np.eye(2), ridge=0)
