"""The outline decoder: what it is told of a query, and that its answer has the size and follows the query."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.segmenter.outline_decoder import HINTS, OutlineDecoder, hints, share_of_query

CHANNELS, NAMES = (4, 6, 8, 10), 12


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    return OutlineDecoder(CHANNELS, (8, 8, 16, 16)).eval().requires_grad_(False)


def drawn(batch=2, size=(64, 96), seed=1):
    """Features at strides 4 to 32 and logits at stride 32, random."""
    generator = torch.Generator().manual_seed(seed)
    high, wide = size
    features = [
        torch.randn(batch, channels, high // stride, wide // stride, generator=generator)
        for channels, stride in zip(CHANNELS, (4, 8, 16, 32), strict=True)
    ]
    return features, 3 * torch.randn(batch, NAMES, high // 32, wide // 32, generator=generator)


def one_hot(*names):
    query = torch.zeros(1, NAMES)
    query[0, list(names)] = 1
    return query


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 32), (32, 512)])
def test_an_outline_has_a_quarter_of_the_sides(decoder, size):
    features, logits = drawn(size=size)
    assert decoder(features, logits, torch.ones(2, NAMES)).shape == (2, size[0] // 4, size[1] // 4)


def test_all_names_share_every_place():
    _, logits = drawn()
    np.testing.assert_allclose(share_of_query(logits, torch.ones(2, NAMES)), np.ones((2, 2, 3)), atol=1e-6)
    each = torch.stack([share_of_query(logits, one_hot(name).expand(2, -1)) for name in range(NAMES)], 1)
    np.testing.assert_allclose(each, logits.softmax(1), atol=1e-6)
    query = torch.rand(2, NAMES, generator=torch.Generator().manual_seed(2))
    expected = (each * query[:, :, None, None]).sum(1)
    np.testing.assert_allclose(share_of_query(logits, query), expected, atol=1e-6)


def test_hints_are_the_share_its_logarithm_and_how_far_it_stands_out():
    logits = torch.full((1, NAMES, 1, 4), -20.0)
    logits[0, 3, 0, 0] = logits[0, 4, 0, 1:] = 20
    share, logarithm, standing = hints(logits, one_hot(3))[0, :, 0]
    np.testing.assert_allclose(share, [1, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(logarithm, [1, 0, 0, 0], atol=1e-5)
    assert standing[0] > 0.5 and standing[1:].max() < 0 and standing.sum().item() == pytest.approx(0, abs=1e-5)
    tenth = torch.tensor([[0.01, 0.99]]).log()[..., None, None]  # halfway to the least share on its logarithm
    assert hints(tenth, torch.tensor([[1.0, 0.0]]))[0, 1].item() == pytest.approx(0.5, abs=1e-4)
    assert hints(*drawn()[1:], torch.ones(2, NAMES)).shape == (2, HINTS, 2, 3)


def test_standing_out_is_measured_against_the_images_other_places():
    _, logits = drawn(1)
    query = torch.rand(1, NAMES, generator=torch.Generator().manual_seed(2))
    asked = (logits[0].double().exp() * query[0].double()[:, None, None]).sum(0).log()
    expected = (asked - asked.mean()) / (asked.std(correction=0) + 0.5) / 3
    np.testing.assert_allclose(hints(logits, query)[0, 2], expected, atol=1e-4)


def test_a_query_of_half_the_weights_stands_out_as_far():
    _, logits = drawn(1)
    whole, half = hints(logits, one_hot(2, 5)), hints(logits, 0.5 * one_hot(2, 5))
    np.testing.assert_allclose(half[:, 2], whole[:, 2], atol=1e-4)
    np.testing.assert_allclose(half[:, 0], 0.5 * whole[:, 0], atol=1e-6)


def test_places_that_are_all_alike_stand_out_nowhere():
    logits = torch.randn(1, NAMES, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 2, 3)
    np.testing.assert_allclose(hints(logits, one_hot(1))[:, 2], 0, atol=1e-5)


def test_the_query_decides_and_its_company_does_not(decoder):
    features, logits = drawn()
    queries = torch.cat([one_hot(0, 1), one_hot(7)])
    together = decoder(features, logits, queries)
    for row in range(2):
        alone = decoder([f[row : row + 1] for f in features], logits[row : row + 1], queries[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-4)
    assert (decoder(features, logits, queries.flip(0)) - together).abs().max() > 0.01


def test_what_looks_like_the_place_that_answers_is_told_apart(decoder):
    """The fourth hint: how alike a position's features are to those where the query's share is."""
    from models.segmenter.outline_decoder import _likeness

    features = torch.zeros(1, 2, 1, 4)
    features[0, 0, 0, :2], features[0, 1, 0, 2:] = 1, 1
    share = torch.tensor([[[1.0, 0, 0, 0]]])
    np.testing.assert_allclose(_likeness(features, share)[0, 0, 0], [1, 1, 0, 0], atol=1e-4)


def test_every_weight_of_it_is_learnt_from():
    torch.manual_seed(0)
    network = OutlineDecoder(CHANNELS, (8, 8, 16, 16))
    features, logits = drawn()
    network(features, logits, torch.cat([one_hot(0), one_hot(7)])).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_widths_and_channels_are_of_four_maps():
    with pytest.raises(ValueError, match="zip"):
        OutlineDecoder(CHANNELS, (8, 8, 16))
