"""Text inversion where the answer is known: an encoder that reaches every meaning, and one that reaches some.

Bridges whose map is known: a linear one is recovered, a shaky source is steadied, odd vocabularies are answered.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from methods._inversion import MAX_ROWS, Inverter, Search, fit_bridge

SETTINGS = {"steps": 300, "learning_rate": 0.1, "patience": 20, "min_delta": 1e-4, "starts": 10, "seed": 0}
generator = torch.Generator().manual_seed(0)
TABLE = 0.02 * torch.randn((50, 12), generator=generator)
MIX = torch.randn((12, 16), generator=generator)
TARGETS = normalize(torch.randn((3 * MAX_ROWS + 1, 16), generator=generator), dim=-1).numpy()


def invert(encode, table, targets, **settings):
    return Inverter(encode, table, Search(**settings)).invert(targets)


def encode(words: torch.Tensor) -> torch.Tensor:
    return normalize(words @ MIX, dim=-1)


def best_cosine(target: np.ndarray) -> float:
    """The cosine with the projection onto what `encode` reaches."""
    basis = np.linalg.qr(MIX.numpy().T)[0]  # (16, 12)
    return float(np.linalg.norm(basis.T @ target))


def test_the_best_reachable_meaning_is_reached():
    for target, inversion in zip(TARGETS, invert(encode, TABLE, TARGETS, **SETTINGS), strict=True):
        assert inversion.similarity == pytest.approx(best_cosine(target), abs=0.02)
        assert inversion.word.shape == (12,) and inversion.word.dtype == np.float32
        np.testing.assert_allclose(encode(torch.from_numpy(inversion.word)[None])[0], inversion.text_embed, atol=1e-5)
        assert inversion.text_embed @ target == pytest.approx(inversion.similarity, abs=1e-5)


def test_a_row_of_the_table_is_its_own_answer():
    target = encode(TABLE[7:8]).numpy()
    found = invert(encode, TABLE, target, **{**SETTINGS, "starts": len(TABLE), "steps": 0})[0]
    assert found.similarity == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(found.word, TABLE[7].numpy())


def test_losses_fall_from_the_best_start_and_stop_early():
    found = invert(encode, TABLE, TARGETS[:1], **SETTINGS)[0]
    assert found.losses[0] == pytest.approx(
        min(1 - float(encode(start[None])[0].numpy() @ TARGETS[0]) for start in [TABLE.mean(0), *drawn_rows(10)]),
        abs=1e-6,
    )
    assert min(found.losses) == pytest.approx(1 - found.similarity, abs=1e-6)
    assert len(found.losses) < 300
    assert min(found.losses[:-20]) - min(found.losses) < 20 * 1e-4


def drawn_rows(count: int) -> list[torch.Tensor]:
    return list(TABLE[np.sort(np.random.default_rng(0).permutation(50)[:count])])


def test_patience_steps_without_an_improvement_end_it():
    found = invert(encode, TABLE, TARGETS[:1], **{**SETTINGS, "patience": 3, "min_delta": 10.0})[0]
    assert len(found.losses) == 4  # the start counts as an improvement, then three steps do not


def test_each_target_is_as_if_alone():
    together = invert(encode, TABLE, TARGETS, **SETTINGS)
    assert len({len(inversion.losses) for inversion in together}) > 1  # they do stop at different steps
    for row in (0, 5, MAX_ROWS, len(TARGETS) - 1):
        alone = invert(encode, TABLE, TARGETS[row : row + 1], **SETTINGS)[0]
        np.testing.assert_allclose(alone.text_embed, together[row].text_embed, atol=1e-3)
        shared = min(len(alone.losses), len(together[row].losses))  # a last improvement may just be one, or just not
        np.testing.assert_allclose(alone.losses[:shared], together[row].losses[:shared], atol=1e-4)
        assert len(alone.losses) == pytest.approx(len(together[row].losses), abs=SETTINGS["patience"])


def test_who_has_stopped_is_asked_no_more():
    asked = []

    def counting(words):
        asked.append(len(words))
        return encode(words)

    found = invert(counting, TABLE, TARGETS[:MAX_ROWS], **SETTINGS)
    lengths = [len(inversion.losses) for inversion in found]
    assert len(set(lengths)) > 1
    assert asked[1:] == [sum(length > step for length in lengths) for step in range(max(lengths))]


def test_the_starts_are_encoded_once_for_all_targets():
    asked = []

    def counting(words):
        asked.append(len(words))
        return encode(words)

    inverter = Inverter(counting, TABLE, Search(**{**SETTINGS, "steps": 0}))
    assert sum(asked) == 1 + SETTINGS["starts"]
    asked.clear()
    for row in range(3):
        inverter.invert(TARGETS[row : row + 1])
    assert asked == [1, 1, 1]


def test_runs_where_gradients_are_off_and_leaves_the_networks_without_any():
    network = torch.nn.Linear(12, 16)
    with torch.inference_mode():
        found = invert(lambda words: normalize(network(words), dim=-1), TABLE, TARGETS[:2], **SETTINGS)
    assert len(found) == 2 and found[0].losses[-1] < found[0].losses[0]
    assert network.weight.grad is None
    assert invert(encode, TABLE, np.zeros((0, 16), np.float32), **SETTINGS) == []


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
