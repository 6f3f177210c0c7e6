"""What is answered where nothing in view sounds, and what a threshold costs: numbers known by construction."""

import numpy as np
import pytest

from utils.scoring.abstaining import OFFSCREEN, STEPS, confront, curves, first_refusing, hardest, j_lost, passing
from utils.scoring.bootstrap import draw_weights, estimate
from utils.scoring.protocol_columns import Setting, j_lost_column
from utils.scoring.protocol_columns import negatives as columns_of_negatives
from utils.types import Entry


@pytest.fixture
def scene(make_scores):
    """(scores, entry) of a sample: with an IoU of something in view, without of a scenario."""

    def make(confidence, iou=None, scenario="offscreen", predicted=2):
        blank = iou is None
        scores = make_scores(iou or 0, confidence=confidence, foreground=int(not blank), predicted=predicted)
        return scores, Entry(f"g{confidence}", scenario=scenario if blank else "single", blank=blank)

    return make


def judge(scenes, **controls):
    """One method on samples that are groups of their own; a control is a list of scores."""
    scores, entries = zip(*scenes, strict=True)
    answers = {"original": {"m": scores}, **{control: {"m": own} for control, own in controls.items()}}
    return confront(answers, entries, [[i] for i in range(len(scores))])


def number(statistic, found, method="m"):
    totals, value = statistic
    groups = [[found.answers[method][i] for i in group] for group in found.groups]
    return float(value(np.sum([totals(group) for group in groups], axis=0)))


def test_what_passes_is_what_loops_give():
    rng = np.random.default_rng(0)
    confidences = rng.integers(0, 9, 40).astype(float)
    confidences[::7] = np.nan
    thresholds, worth = [-np.inf, 0, 2.5, 3, 8, 9, np.inf], rng.random(40)
    expected = [sum(w for c, w in zip(confidences, worth, strict=True) if c >= t) for t in thresholds]
    assert passing(confidences, thresholds, worth) == pytest.approx(expected)
    assert passing(confidences, thresholds).tolist() == [sum(confidences >= t) for t in thresholds]
    assert passing([], [0.5]).tolist() == [0]


def test_the_first_threshold_that_refuses_enough():
    assert first_refusing(np.array([[0, 0.79, 0.8, 1], [0.9, 0.9, 0.9, 1]])).tolist() == [2, 0]
    assert first_refusing(np.array([0, 1 - 0.2 - 1e-16, 1])) == 1


NEGATIVES, MATCHING = (0.1, 0.2, 0.3, 0.4, 0.5), {0.15: 0.2, 0.35: 0.3, 0.6: 0.5}  # confidence: IoU


def test_the_trade_off_by_hand(scene):
    found = judge([*map(scene, NEGATIVES), *(scene(*one) for one in MATCHING.items())])
    (curve,) = curves(found).values()
    assert curve == {
        "kind": "offscreen",
        "negatives": 5,
        "refused": pytest.approx([0, 0.2, 0.2, 0.4, 0.6, 0.6, 0.8, 1, 1]),
        "kept": pytest.approx([1, 1, 0.8, 0.8, 0.8, 0.5, 0.5, 0.5, 0]),
        "thresholds": [0.1, 0.15, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, None],
    }
    assert number(j_lost(OFFSCREEN), found) == pytest.approx(0.5)  # at 0.5, which four of five are below


def test_an_empty_answer_is_a_refusal_whatever_its_confidence(scene):
    scenes = [scene(0.9, predicted=0), scene(0.9, predicted=0), scene(None, predicted=0), scene(0.8, predicted=0)]
    found = judge([*scenes, scene(0.1), *(scene(*one) for one in MATCHING.items())])
    (curve,) = curves(found).values()
    assert curve["refused"][0] == pytest.approx(0.8) and curve["thresholds"][0] == 0.1
    assert number(j_lost(OFFSCREEN), found) == 0


def test_many_confidences_are_cut_into_steps(scene):
    rng = np.random.default_rng(0)
    found = judge([scene(c) for c in rng.normal(0, 1, 400)] + [scene(c, 0.5) for c in rng.normal(2, 1, 800)])
    assert len(found.thresholds["m"]) <= STEPS
    negatives, matching = (np.random.default_rng(0).normal(0, 1, 400), None)
    exact = np.sort(negatives)[319]
    matching = [one.confidence for one in found.answers["m"] if not one.gt_empty]
    assert number(j_lost(OFFSCREEN), found) == pytest.approx(np.mean(np.array(matching) <= exact), abs=2 / STEPS)


def test_all_equal_or_none_tell_nothing(scene, make_scores):
    for confidence in (1.0, None):
        found = judge([scene(confidence), scene(confidence, 0.5)])
        assert curves(found) == {} and np.isnan(number(j_lost(OFFSCREEN), found))
    found = judge([scene(0.1, 0.5), scene(0.2, 0.4)])  # no negatives
    assert (curves(found), list(found.kinds)) == ({}, [])
    assert curves(judge([scene(0.1), scene(0.2, 0.0)])) == {}  # no J to lose


def test_negatives_are_blank_samples_and_what_controls_make_of_the_others(scene, make_scores):
    scenes = [scene(0.1, scenario="silent"), scene(0.2), scene(0.3, scenario=""), scene(0.9, 0.7), scene(0.8, 0.6)]
    scores, entries = zip(*scenes, strict=True)
    noise = [make_scores(0.5, predicted=0, confidence=None)] * 4 + [make_scores(0.5, predicted=5, confidence=0.4)]
    answers = {"original": {"m": scores, "deaf": scores}, "noise": {"m": noise}, "swap": {"m": noise}}
    found = confront(answers, entries, [[0, 3], [1, 4], [2]])
    assert found.kinds == ["silence", "noise", "offscreen", "other"]
    assert found.groups == [[0, 3, 5], [1, 4, 6], [2]]
    assert [one.kind for one in found.answers["m"]] == ["silence", "offscreen", "other", "", "", "noise", "noise"]
    setting = Setting(negatives=found.kinds, blank=3)
    values = {}
    for method in found.answers:
        for column in columns_of_negatives(setting):
            values[method, column.title] = number((column.totals, column.value), found, method)
    assert values["m", "N-acc (noise)"] == 0.5 and values["deaf", "N-acc (noise)"] == 0  # the same under any sound
    assert values["m", "N-acc"] == 1 / 5 and values["m", "missed"] == 0
    assert values["m", "false area"] == pytest.approx((3 * 0.2 + 0 + 0.5) / 5)
    assert [title for method, title in values if method == "m"] == [
        "false area", "N-acc", "N-acc (silence)", "N-acc (noise)", "N-acc (offscreen)", "N-acc (other)", "missed",
        "J lost (offscreen)",
    ]  # fmt: skip
    assert hardest(["silence", "noise"]) == "noise"


def test_the_interval_searches_the_threshold_in_every_draw(scene):
    rng = np.random.default_rng(1)
    found = judge([scene(c) for c in rng.normal(0, 1, 60)] + [scene(c, 0.5) for c in rng.normal(1.5, 1, 60)])
    column, own = j_lost_column(OFFSCREEN), found.answers["m"]
    totals = np.array([column.totals([own[i] for i in group]) for group in found.groups])
    weights = draw_weights(len(totals), 50)
    drawn = column.value(weights @ totals)
    for weight, value in zip(weights[:5].astype(int), drawn, strict=False):
        again = [own[i] for i, times in enumerate(weight) for _ in range(times)]
        assert value == pytest.approx(float(column.value(column.totals(again))))
    one = estimate(column, totals, weights)
    assert one.low < one.value < one.high
    assert column.kind == "oracle" and column.better == "lower"
