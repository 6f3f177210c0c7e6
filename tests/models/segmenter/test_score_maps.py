import numpy as np
import pytest
import torch

from models.segmenter.score_maps import Calibration, cut_at, query_embeds, stretched, strongest, within_aspect
from utils.types import Query

LOGITS = torch.arange(-400, 401) / 10


def test_the_plain_product():
    plain = Calibration(threshold=0.3, rescale=False, temperature=1.0)
    np.testing.assert_allclose(plain(LOGITS, 0.4), 0.4 / (1 + np.exp(-LOGITS.numpy())), atol=1e-6)


def test_one_half_stays_where_the_mask_ends_whatever_the_score():
    for score in (0.31, 0.5, 1.0):
        value = Calibration(threshold=0.3)(LOGITS, score)
        assert torch.equal(value > 0.5, LOGITS > 0)
        assert value[LOGITS == 0] == 0.5 and value.min() >= 0 and value.max() <= 1


def test_known_values():
    calibration = Calibration(threshold=0.25, temperature=2.0)
    logit = torch.tensor([2 * np.log(3.0), -2 * np.log(3.0)])  # probabilities 3/4 and 1/4
    np.testing.assert_allclose(calibration(logit, 0.5), [0.5 + (0.25 / 0.75) * 0.25, 0.25], atol=1e-6)
    np.testing.assert_allclose(calibration(logit, 1.0), [0.75, 0.25], atol=1e-6)


def test_it_grows_with_the_score_and_with_the_logit():
    calibration = Calibration(threshold=0.3)
    low, high = calibration(LOGITS, 0.4), calibration(LOGITS, 0.8)
    assert (high[LOGITS > 0] > low[LOGITS > 0]).all() and torch.equal(high[LOGITS <= 0], low[LOGITS <= 0])
    within = LOGITS.abs() <= 32
    assert (low[within].diff() > 0).all() and (high[within].diff() > 0).all()  # no two logits of SAM's range are equal
    saturated = Calibration(threshold=0.3, temperature=1.0)(LOGITS, 0.4)
    assert (saturated[within].diff() == 0).any()  # which is what the temperature is for


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5])
def test_however_little_is_accepted_it_is_above_one_half(threshold):
    little = torch.tensor([1e-30, -1e-30, 0.0])
    score = float(np.nextafter(np.float32(threshold), np.float32(1)))
    assert (Calibration(threshold)(little, score) > 0.5).tolist() == [True, False, False]


def test_what_is_not_accepted_is_below_one_half_in_the_order_of_score_and_logit():
    calibration = Calibration(threshold=0.4, temperature=2.0)
    logit = torch.tensor([2 * np.log(3.0), -2 * np.log(3.0)])  # probabilities 3/4 and 1/4
    np.testing.assert_allclose(calibration(logit, 0.4), [0.49 * 0.75, 0.49 * 0.25], atol=1e-6)
    np.testing.assert_allclose(calibration(logit, 0.1), [0.49 * 0.75 / 4, 0.49 * 0.25 / 4], atol=1e-6)
    assert not calibration(logit, 0.0).any() and not Calibration(threshold=0.0)(logit, 0.0).any()


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5, 0.9])
def test_more_is_never_less_on_either_side_of_the_threshold(rescale, threshold):
    calibration = Calibration(threshold, rescale)
    scores = np.linspace(0, 1, 42).tolist()
    values = torch.stack([calibration(LOGITS, score) for score in scores])
    within = values[:, LOGITS.abs() <= 32]
    assert (values.diff(dim=0) >= 0).all() and (within[1:].diff(dim=1) > 0).all()
    assert values.min() >= 0 and values.max() <= 1
    rejected = torch.tensor(scores) <= threshold
    assert (values[rejected] < 0.5).all() and (values[rejected].diff(dim=0) > 0).all()


def test_the_plain_product_of_what_is_not_accepted():
    probability = 1 / (1 + np.exp(-LOGITS.numpy()))
    for threshold, expected in ((0.3, 0.2 * probability), (0.5, 0.49 / 0.5 * 0.2 * probability)):
        plain = Calibration(threshold, rescale=False, temperature=1.0)
        np.testing.assert_allclose(plain(LOGITS, 0.2), expected, atol=1e-6)


def test_half_precision_logits_become_float32():
    assert Calibration(threshold=0.3)(LOGITS.half(), 0.5).dtype == torch.float32


def test_the_authors_cut_becomes_one_half():
    value = cut_at(np.array([[0, 0.15, 0.3], [0.4, 0.65, 1]], np.float32), 0.3)
    np.testing.assert_allclose(value, [[0, 0.25, 0.5], [0.5 + 0.1 / 1.4, 0.75, 1]], atol=1e-6)
    assert value.dtype == np.float32 and (value > 0.5).tolist() == [[False] * 3, [True] * 3]
    as_it_is = np.array([0.2, 0.7], np.float32)
    np.testing.assert_array_equal(cut_at(as_it_is, 0.5), as_it_is)


@pytest.mark.parametrize("threshold", [0.01, 0.24, 0.3, 0.35, 0.4999, 0.5, 0.77, 0.99])
def test_the_cut_moves_no_pixel_past_another(threshold):
    at_the_cut = np.float32(threshold)
    nearby = [np.nextafter(at_the_cut, np.float32(side)) for side in (0, 1)]
    score_map = np.sort(np.append(np.random.default_rng(0).random(4000, np.float32), [0, at_the_cut, *nearby, 1]))
    value = cut_at(score_map.astype(np.float32), threshold)
    np.testing.assert_array_equal(value > 0.5, score_map > at_the_cut)
    assert (np.diff(value) >= 0).all() and value[0] == 0 and value[-1] == 1
    apart = np.diff(score_map) > 1e-6  # nearer, they may become one value
    assert (np.diff(value)[apart] > 0).all() and value.dtype == np.float32


def test_the_strongest_of_any_number():
    maps = [torch.tensor([[0.1, 0.9]]), torch.tensor([[0.4, 0.2]])]
    np.testing.assert_allclose(strongest(iter(maps), (1, 2)), [[0.4, 0.9]])
    nothing = strongest((), (2, 3))
    assert nothing.shape == (2, 3) and nothing.dtype == np.float32 and not nothing.any()


def test_maps_are_stretched_over_the_whole_image():
    low_res = torch.tensor([[0.0, 1.0]])
    np.testing.assert_allclose(stretched(low_res, (2, 4)), [[0, 0.25, 0.75, 1]] * 2)
    np.testing.assert_allclose(
        strongest([stretched(one, (1, 2)) for one in (low_res, 0.5 - low_res / 2)], (1, 2)), [[0.5, 1]]
    )


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        ((3, 7), (3, 7)),
        ((16, 1), (16, 1)),
        ((2, 33), (3, 33)),
        ((1, 4000), (250, 4000)),
        ((320, 5), (320, 20)),
    ],
)
def test_very_long_images_are_filled_up_and_pixels_keep_their_places(size, padded):
    image = np.random.default_rng(0).integers(1, 256, (*size, 3), dtype=np.uint8)
    seen = within_aspect(image)
    assert seen.shape == (*padded, 3) and seen.dtype == np.uint8
    np.testing.assert_array_equal(seen[: size[0], : size[1]], image)
    assert seen.sum() == image.sum()


def test_a_query_is_its_own_embedding_or_that_of_its_text():
    asked = [Query("dog"), Query("ignored", embedding=np.array([5.0, 6.0])), Query("cat")]
    embeds = query_embeds(asked, np.array([[1, 2], [3, 4]]), 2)
    np.testing.assert_array_equal(embeds, [[1, 2], [5, 6], [3, 4]])
    assert embeds.dtype == np.float32 and query_embeds([], np.zeros((0, 2)), 2).shape == (0, 2)
    with pytest.raises(ValueError, match=r"expected query embeddings of shape \(3,\), found \(2,\)"):
        query_embeds(asked[1:2], np.zeros((0, 3)), 3)
