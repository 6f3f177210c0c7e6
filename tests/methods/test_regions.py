"""Regions: which are taken, and what the map is, where every match and every place is known."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

import methods
from utils.types import Sample

SIZE = (20, 50)


def region(rows: slice, columns: slice, value: float = 0.8) -> np.ndarray:
    """(20, 50) float32: `value` inside, 0.2 outside."""
    score_map = np.full(SIZE, 0.2, np.float32)
    score_map[rows, columns] = value
    return score_map


LEFT, RIGHT = region(slice(0, 20), slice(0, 10)), region(slice(0, 20), slice(40, 50), 0.7)  # 20 % each
HEAD = region(slice(0, 4), slice(0, 10), 0.9)  # of what is on the left, a fifth of it


class Known:
    """Regions and matches that are given."""

    def __init__(self, regions, matches=()) -> None:
        self.regions, self.matches = np.asarray(regions, np.float32).reshape(-1, *SIZE), matches

    def propose_regions(self, images):
        return [self.regions for _ in images]

    def match_regions(self, waveforms, sampling_rates, images, regions):
        return [np.asarray(self.matches, np.float32) for _ in waveforms]


@pytest.fixture
def predict():
    def predict(regions, matches=(), loudness=0.5, **values):
        known = Known(regions, matches)
        method = methods.create("regions", {"audio_text": known, "segmenter": known}, values)
        waveform = loudness * np.sin(np.arange(8000)).astype(np.float32)
        return method.predict([Sample("any", np.zeros((*SIZE, 3), np.uint8), waveform, 8000)])[0]

    return predict


def test_what_sounds_is_found_without_a_word(fakes):
    models = fakes.make_models()
    for sounding in ("dog", "violin"):
        sample = fakes.make_sample(sounding, ("dog", "violin"))
        prediction = methods.create("regions", models).predict([sample])[0]
        assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
        assert prediction.queries == () and prediction.trail["query"] is None
        assert prediction.trail["reason"] == "no words are asked for: the best regions themselves are the answer"
    assert models["audio_text"].asked == [] and models["segmenter"].queries == []


def test_the_map_is_the_best_region_with_the_others_below_a_half_by_their_odds(predict):
    prediction = predict([LEFT, RIGHT], [0.0, -2.0], max_regions=1)
    odds = exp(-2) * 0.7 / 0.8  # the segmenter is less sure of it, too
    expected = np.maximum(LEFT, 0.49 * odds * RIGHT)
    np.testing.assert_allclose(prediction.score_map, expected, atol=1e-6)
    assert prediction.score_map.dtype == np.float32
    share = round(1 / (1 + odds), 4)
    assert prediction.trail["candidates"] == [
        {"text": "left, 20 %", "score": share},
        {"text": "right, 20 %", "score": round(1 - share, 4)},
    ]
    assert prediction.trail["regions"] == 2 and prediction.trail["taken"] == "left, 20 %"


@pytest.mark.parametrize(("weight", "taken"), [(0.0, "upper left, 4 %"), (0.5, "left, 20 %")])
def test_a_part_that_fits_a_little_better_gives_way_to_the_whole(predict, weight, taken):
    assert 0 < 0.6 + log(0.9 / 0.8) < 0.5 * log(5)  # what the head has more, and what the whole has by its size
    assert predict([LEFT, HEAD], [0.0, 0.6], area_weight=weight).trail["taken"] == taken


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ({}, "left, 20 %"),
        ({"margin": 1.0}, "left, 20 %; right, 20 %"),
        ({"margin": 1.0, "max_regions": 1}, "left, 20 %"),
        ({"margin": 9.0, "max_regions": 3}, "left, 20 %; right, 20 %"),
        ({"margin": 9.0, "max_regions": 3, "max_overlap": 1.0}, "left, 20 %; right, 20 %; upper left, 4 %"),
    ],
)
def test_what_is_nearly_as_good_and_apart_is_united(predict, values, taken):
    prediction = predict([HEAD, RIGHT, LEFT], [-1.0, -0.8, 0.0], **values)
    assert prediction.trail["taken"] == taken
    assert (prediction.score_map[:, 40:] > 0.5).all() == ("right" in taken)
    assert (prediction.score_map[:, :10] > 0.5).all() and (prediction.score_map[:, 10:40] < 0.5).all()


def test_nothing_stands_out_or_nothing_is_heard(predict):
    nothing = predict([])
    assert not nothing.score_map.any() and nothing.score_map.shape == SIZE
    assert nothing.trail["reason"] == "nothing in view stands out as a region"
    silent = predict([LEFT], [0.0], loudness=1e-5)
    assert not silent.score_map.any() and silent.trail["heard"] == "nothing"
