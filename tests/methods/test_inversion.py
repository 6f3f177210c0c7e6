"""Text inversion where the answer is known: an encoder that reaches every meaning, and one that reaches some."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from methods._inversion import MAX_ROWS, Inverter

SETTINGS = {"steps": 300, "learning_rate": 0.1, "patience": 20, "min_delta": 1e-4, "starts": 10, "seed": 0}
generator = torch.Generator().manual_seed(0)
TABLE = 0.02 * torch.randn((50, 12), generator=generator)
MIX = torch.randn((12, 16), generator=generator)
TARGETS = normalize(torch.randn((3 * MAX_ROWS + 1, 16), generator=generator), dim=-1).numpy()


def invert(encode, table, targets, **settings):
    return Inverter(encode, table, **settings).invert(targets)


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

    inverter = Inverter(counting, TABLE, **{**SETTINGS, "steps": 0})
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
