import math

import numpy as np
import pytest

from utils.scoring.extent import KINDS, lost_pixels, mean_lost
from utils.scoring.metrics import intersection_and_union
from utils.scoring.sample_scores import score_sample

SIZE = 100  # near the border is within 2 % of 141 pixels: 2.8, so 2 rows and columns on either side


def box(top, left, bottom, right):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top:bottom, left:right] = True
    return mask


THING = box(20, 20, 60, 60)  # 40 x 40
FAR = box(70, 70, 90, 90)  # 20 x 20
CASES = [  # answer, ground truth, what is lost
    (THING, THING, {}),
    (box(0, 0, 0, 0), THING, {"nothing": 1600}),
    (FAR, THING, {"wrong_thing": 1600 + 400}),
    (THING | FAR, THING, {"other_thing": 400}),
    (THING, THING | FAR, {"missed_part": 400}),
    (box(20, 20, 60, 40), THING, {"too_small": 800}),
    (box(20, 20, 60, 90), THING, {"too_large": 40 * 30}),
    (box(21, 21, 59, 59), THING, {"too_small": 1600 - 38 * 38}),  # near the border, but on one side alone
    (box(19, 20, 59, 60), THING, {"ragged": 2 * 40}),  # a row too much above, a row missing below
    (box(18, 20, 59, 60), THING, {"ragged": 2 * 40, "too_large": 40}),
]


@pytest.mark.parametrize(("mask", "gt_mask", "expected"), CASES)
def test_known_answers(mask, gt_mask, expected):
    assert {kind: pixels for kind, pixels in lost_pixels(mask, gt_mask).items() if pixels} == expected


def test_a_tenth_of_a_part_is_what_hits_it():
    nine, ten = (THING | box(70, 70, 70 + rows, 90) for rows in (1, 2))  # 20 and 40 of 400 pixels
    assert lost_pixels(nine, THING | FAR)["missed_part"] == 380
    assert lost_pixels(ten, THING | FAR)["missed_part"] == 0
    assert lost_pixels(THING | FAR, nine)["other_thing"] == 380
    assert lost_pixels(box(20, 20, 23, 60), THING)["wrong_thing"] == 1480  # 7.5 %
    assert lost_pixels(box(20, 20, 24, 60), THING)["wrong_thing"] == 0


def test_the_kinds_add_up_to_what_is_lost_exactly():
    rng = np.random.default_rng(0)
    for density in (0.02, 0.3, 0.5, 0.9):
        for _ in range(20):
            mask, gt_mask = (np.kron(rng.random((9, 7)) < density, np.ones((5, 4), bool)) for _ in range(2))
            mask ^= rng.random(mask.shape) < 0.05
            lost = lost_pixels(mask, gt_mask)
            intersection, union = intersection_and_union(mask, gt_mask)
            assert sum(lost.values()) == (union - intersection if gt_mask.any() else 0)
            assert min(lost.values(), default=0) >= 0 and list(lost) == (list(KINDS) if gt_mask.any() else [])


def test_a_truth_that_is_everywhere_has_no_border():
    everywhere = np.ones((SIZE, SIZE), bool)
    assert lost_pixels(THING, everywhere) == {**dict.fromkeys(KINDS, 0), "too_small": 10000 - 1600}


def test_ignored_pixels_are_lost_to_nothing():
    scores = score_sample((THING | FAR).astype(np.float32), THING, gt_ignore=FAR | box(20, 20, 21, 60))
    assert not any(scores.lost.values()) and scores.lost_to == "" and scores.iou_fixed == 1
    scores = score_sample(FAR.astype(np.float32), THING)
    assert scores.lost_to == "wrong_thing" and sum(scores.lost.values()) == scores.union - scores.intersection
    assert score_sample(FAR.astype(np.float32), box(0, 0, 0, 0)).lost == {}


def test_means_add_up_to_one():
    pairs = [(THING | FAR, THING), (box(20, 20, 60, 40), THING), (FAR, box(0, 0, 0, 0))]
    found = mean_lost((lost_pixels(*pair), intersection_and_union(*pair)[1]) for pair in pairs)
    assert found["samples"] == 2 and found["lost"]["other_thing"] == 0.1 and found["lost"]["too_small"] == 0.25
    assert found["found"] == pytest.approx((0.8 + 0.5) / 2)
    assert math.fsum([found["found"], *found["lost"].values()]) == pytest.approx(1, abs=1e-12)
    assert mean_lost([({}, 5)]) == {"samples": 0, "found": None, "lost": dict.fromkeys(KINDS, 0.0)}


def test_masks_of_another_form_are_refused():
    with pytest.raises(ValueError, match="expected two .* bool masks of one shape, found float64"):
        lost_pixels(THING.astype(float), THING)
