"""Bridges whose map is known: a linear one is recovered, noise is not fitted, degenerate vocabularies are answered."""

from __future__ import annotations

import numpy as np
import pytest

from utils.bridge import fit_bridge


def linear_world(words: int, source_dim: int, target_dim: int, noise: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(words, source_dim))
    weights, offset = rng.normal(size=(source_dim, target_dim)), rng.normal(size=target_dim)
    return source, source @ weights + offset + noise * rng.normal(size=(words, target_dim)), weights, offset


def test_a_linear_map_with_an_offset_is_recovered():
    source, target, weights, offset = linear_world(words=60, source_dim=8, target_dim=5)
    bridge = fit_bridge(source, target)
    unseen = np.random.default_rng(1).normal(size=(20, 8))
    np.testing.assert_allclose(bridge(unseen), unseen @ weights + offset, atol=1e-4)
    assert bridge(unseen).shape == (20, 5) and bridge(unseen).dtype == np.float32
    assert bridge.strength == pytest.approx(1e-6)
    assert bridge.left_out_cosine > 0.999


def test_equals_the_textbook_ridge():
    source, target, _, _ = linear_world(words=12, source_dim=20, target_dim=3, noise=0.5)
    bridge = fit_bridge(source, target, strengths=[0.1])
    x, y = source - source.mean(0), target - target.mean(0)
    ridge = 0.1 * np.square(x).sum(1).mean()
    expected = np.linalg.solve(x.T @ x + ridge * np.eye(20), x.T @ y)
    np.testing.assert_allclose(bridge.weights, expected, atol=1e-10)


def test_more_noise_asks_for_more_ridge():
    clean = fit_bridge(*linear_world(words=40, source_dim=30, target_dim=4)[:2])
    rng = np.random.default_rng(2)
    noise = fit_bridge(rng.normal(size=(40, 30)), 5 + rng.normal(size=(40, 4)))
    assert noise.strength > 100 * clean.strength
    np.testing.assert_allclose(noise(rng.normal(size=(9, 30))), 5, atol=1.5)  # close to the mean: there is nothing to know


def test_the_left_out_error_is_that_of_fitting_without_the_word():
    source, target, _, _ = linear_world(words=200, source_dim=6, target_dim=4, noise=1.0)
    bridge = fit_bridge(source, target, strengths=[0.05])
    cosines = []
    for n in range(200):
        others = np.arange(200) != n
        predicted = fit_bridge(source[others], target[others], strengths=[0.05])(source[n : n + 1])[0]
        cosines.append(predicted @ target[n] / np.linalg.norm(predicted) / np.linalg.norm(target[n]))
    assert bridge.left_out_cosine == pytest.approx(np.mean(cosines), abs=0.01)


@pytest.mark.parametrize("source", [np.ones((1, 4)), np.ones((5, 4))])
def test_words_all_alike_give_the_mean(source):
    target = np.arange(len(source) * 3.0).reshape(-1, 3)
    bridge = fit_bridge(source, target)
    np.testing.assert_allclose(bridge(np.random.default_rng(0).normal(size=(2, 4))), np.tile(target.mean(0), (2, 1)))
    assert np.isnan(bridge.left_out_cosine)


@pytest.mark.parametrize(("rows", "others"), [(3, 4), (0, 0)])
def test_unequal_or_empty_vocabularies_are_refused(rows, others):
    with pytest.raises(ValueError, match=f"found {rows} and {others}"):
        fit_bridge(np.zeros((rows, 2)), np.zeros((others, 2)))
