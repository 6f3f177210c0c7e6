"""How answers spread and whether confidence tells right from wrong, on answers made up by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.scoring.reliability import RELIABILITY_BINS, auroc, reliability
from utils.scoring.summary import iou_histogram


def test_the_histogram_leaves_out_samples_with_nothing_to_find(make_scores):
    answers = [make_scores(one) for one in (0.0, 0.04, 0.96, 1.0)] + [make_scores(0, foreground=0)]
    found = iou_histogram(answers)
    assert (found["counts"][0], found["counts"][-1], sum(found["counts"])) == (2, 2, 4)
    assert found["edges"] == pytest.approx([0.05 * k for k in range(21)])


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=20))
def test_auroc_is_the_share_of_pairs_in_the_right_order(pairs):
    scores, positive = zip(*pairs, strict=True)
    above = [p for p, right in pairs if right]
    below = [n for n, right in pairs if not right]
    if not above or not below:
        assert auroc(scores, positive) is None
    else:
        naive = np.mean([(p > n) + 0.5 * (p == n) for p in above for n in below])
        assert auroc(scores, positive) == pytest.approx(naive, abs=1e-12)


def test_auroc_of_a_whole_benchmark_needs_no_table_of_all_pairs():
    rng = np.random.default_rng(0)
    positive = rng.random(200_000) < 0.5
    assert auroc(rng.random(200_000) + positive / 2, positive) == pytest.approx(7 / 8, abs=0.01)  # P(U + 1/2 > V)


def test_confidence_that_never_varies_says_nothing(make_scores):
    assert reliability([make_scores(confidence=1.0)] * 5) is None
    assert reliability([make_scores()] * 5) is None
    assert reliability([]) is None


def test_bins_say_how_often_an_answer_is_right(make_scores):
    answers = [make_scores(0.9 if rank % 16 >= 4 else 0.1, confidence=rank / 64) for rank in range(64)]
    found = reliability([*answers, make_scores(0.0)])
    assert (found["asked"], found["samples"]) == (64, 65)
    assert [one["samples"] for one in found["bins"]] == [8] * RELIABILITY_BINS
    assert [one["right"] for one in found["bins"]] == [0.5, 1] * 4
    assert (found["bins"][0]["low"], found["bins"][0]["high"]) == (0, 7 / 64)
    assert found["auroc_in_view"] is None


def test_an_empty_answer_is_right_where_nothing_is_to_be_found(make_scores):
    nothing = make_scores(0, foreground=0, predicted=0, confidence=0.1)
    something = make_scores(0, foreground=0, predicted=3, confidence=0.2)
    found = reliability([nothing, something, make_scores(0.5, confidence=0.9)])
    assert [one["right"] for one in found["bins"]] == [1, 0, 1]
    assert (found["auroc_right"], found["auroc_in_view"]) == (0.5, 1)


def test_equal_confidences_share_a_bin_whatever_the_order(make_scores):
    rng = np.random.default_rng(0)
    answers = [make_scores(one, confidence=float(rng.integers(1, 5)) / 4) for one in rng.random(50)]
    found = reliability(answers)
    assert found == reliability([answers[i] for i in rng.permutation(50)])
    assert len(found["bins"]) <= 4
    assert all(one["high"] < other["low"] for one, other in zip(found["bins"], found["bins"][1:], strict=False))
    assert sum(one["samples"] for one in found["bins"]) == 50
    skewed = [make_scores(0.1, confidence=0.2), *(make_scores(0.9, confidence=0.8) for _ in range(63))]
    assert [(one["samples"], one["right"]) for one in reliability(skewed)["bins"]] == [(1, 0), (63, 1)]
