"""The gallery shows telling samples as they were answered, from small sketches."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from utils.media.drawing import TINT
from utils.runs.gallery import SHADES, SKETCH_SIDE, choose, draw, sketch
from utils.types import Entry, Prediction, Sample

HEIGHT, WIDTH = 400, 640


def left(of: int = 2) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, : WIDTH // of] = True
    return mask


def test_a_sketch_is_small_and_close_to_the_map():
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    score_map = np.exp(-((xs - 300) ** 2 + (ys - 200) ** 2) / 2e4).astype(np.float32)
    kept = sketch(Prediction(score_map, trail={"heard": "a dog", "query": "dog", "seconds": {"segment": 1.0}}), 0.5)
    small = np.asarray(Image.open(BytesIO(kept.score_map)), np.float32) / (2 * SHADES)
    assert small.shape == (80, SKETCH_SIDE) and len(kept.score_map) < 3000
    np.testing.assert_allclose(small, score_map[2::5, 2::5], atol=0.5 / SHADES + 0.02)
    assert kept.trail[0] == ["heard", "a dog"] and not any(label == "seconds" for label, _ in kept.trail)


def test_each_methods_best_and_worst_and_some_by_lot_are_chosen():
    entries = {f"s{i:02}": Entry("g", blank=i % 4 == 0) for i in range(20)}
    named = {
        "m": {"best": [{"id": "s01"}, {"id": "s02"}], "worst": [{"id": "s03"}, {"id": "s05"}]},
        "n": {"best": [{"id": "s01"}, {"id": "s02"}], "worst": [{"id": "s03"}, {"id": "s07"}]},
    }
    chosen = choose(named, entries, ["m", "n"])
    assert chosen[:4] == ["s03", "s07", "s01", "s02"]  # none twice
    assert choose(named, entries, ["m"])[:4] == ["s03", "s05", "s01", "s02"]
    assert [entries[name].blank for name in chosen[4:]] == [True, True, False, False]
    assert len(set(chosen)) == 8
    assert choose(named, dict(reversed(entries.items())), ["m", "n"]) == chosen


def test_what_was_answered_is_drawn_over_the_image(tmp_path, make_scores):
    sample = Sample("a.b", np.full((HEIGHT, WIDTH, 3), 128, np.uint8), np.zeros(4, np.float32), 4, left(4))
    predictions = {"half": Prediction(0.9 * left().astype(np.float32)), "none": Prediction(np.zeros((HEIGHT, WIDTH)))}
    scores = {"half": make_scores(0.5), "none": make_scores(0, foreground=0, predicted=0)}
    sketches = {name: sketch(one, 0.5) for name, one in predictions.items()}
    drawn = draw(sample, Entry("g", ("dog",), "single"), sketches, scores, 0.5, tmp_path)
    assert (drawn["id"], drawn["group"], drawn["categories"], drawn["blank"]) == ("a.b", "g", ["dog"], False)
    assert (drawn["methods"]["half"]["iou"], drawn["methods"]["half"]["area"]) == (0.5, 0.2)
    assert drawn["methods"]["none"]["iou"] is None

    def tinted(path):
        pixels = np.asarray(Image.open(tmp_path / path).convert("RGB"), int)
        assert pixels.shape == (400, 640, 3)
        return (pixels[..., 0] - pixels[..., 1]).mean(0) > 0.5 * 0.45 * (TINT[0] - TINT[1])  # by column

    assert drawn["sound"] == "gallery/a.b.sound.mp3" and (tmp_path / drawn["sound"]).stat().st_size > 200
    assert drawn["image"] == "gallery/a.b.image.jpg" and not tinted(drawn["image"]).any()
    for path, width in (
        (drawn["truth"], 160),
        (drawn["methods"]["half"]["map"], 320),
        (drawn["methods"]["none"]["map"], 0),
    ):
        found = tinted(path)
        assert abs(found.sum() - width) <= 8 and not found[width + 8 :].any()  # the contour is no tint


@pytest.mark.parametrize("threshold", [0, 0.1, 0.3, 0.5, 0.9, 1])
def test_a_mask_is_drawn_where_it_was_predicted(threshold, tmp_path, make_scores, monkeypatch):
    """A value beside the threshold stays on its side, however few shades a sketch has."""
    masks = []

    def draw_overlay(image, mask, score_map=None):
        masks.append(mask)
        return Image.fromarray(image)

    monkeypatch.setattr("utils.runs.gallery.draw_overlay", draw_overlay)
    sample = Sample("a", np.full((20, 20, 3), 128, np.uint8), np.zeros(4, np.float32), 4, np.ones((20, 20), bool))
    for value in (threshold - 0.01, threshold, threshold + 0.01):
        prediction = Prediction(np.full((20, 20), np.clip(value, 0, 1), np.float32))
        draw(sample, Entry("g"), {"m": sketch(prediction, threshold)}, {"m": make_scores()}, threshold, tmp_path)
        np.testing.assert_array_equal(masks[-2], prediction.score_map > threshold)  # the last is the truth's
