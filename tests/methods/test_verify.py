"""Verify: a mask gives way to that of a candidate which what is heard fits clearly better, and to none otherwise."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import methods
from methods._verify import Verified
from utils.errors import UserError
from utils.types import Prediction, Query


@pytest.fixture
def answer(fakes):
    """What a method that hears a dog answers once its audio-text encoder, or its tagger, is wrong."""

    def answer(name="cross_modal", visible=("dog", "violin"), heard="dog", **values):
        models = fakes.make_models()
        if heard != "dog":
            models["audio_text"].encode_audio = lambda waveforms, rates: models["audio_text"].encode_text([heard])
        method = methods.create(name, models, {"verify": 2, **values})
        sample = fakes.make_sample("dog", visible)
        return method.predict([sample])[0], sample, models["segmenter"]

    return answer


def test_a_mask_that_holds_nothing_of_what_is_heard_gives_way(answer):
    prediction, sample, _ = answer(heard="violin")
    assert [query.text for query in prediction.queries] == ["A photo of dog"]
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
    trail = prediction.trail
    assert trail["query"] == "A photo of dog" and trail["reason"] is None
    assert [row["text"] for row in trail["fit"]] == ["A photo of violin", "A photo of dog"]
    # 0.8 of what is heard is the dog, 0.05 each other thing: 0.95 in all; 0.9 in view or, elsewhere, 0.1
    assert [row["score"] for row in trail["fit"]] == pytest.approx([0.1421, 0.7737], abs=1e-4)
    assert (
        trail["rejected"]
        == '"A photo of violin" holds 14% of what is heard; "A photo of dog" holds 77% of what is heard'
    )
    assert set(trail["seconds"]) == {"propose", "segment", "verify"}


def test_a_mask_that_fits_stays_and_no_other_is_looked_at(answer):
    prediction, sample, segmenter = answer()
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
    assert [row["text"] for row in prediction.trail["fit"]] == ["A photo of dog"]
    assert "rejected" not in prediction.trail and len(segmenter.queries) == 1


def test_where_nothing_is_found_the_next_candidate_is_asked_for(answer):
    prediction, _, _ = answer("classify", visible=("violin",), min_probability=0.0)
    assert [query.text for query in prediction.queries] == ["A photo of violin"]
    assert prediction.trail["rejected"].startswith('"A photo of dog" finds nothing; "A photo of violin" holds ')


def test_what_is_too_improbable_is_no_candidate(answer):
    prediction, _, _ = answer("classify", visible=("violin",), min_probability=0.1)
    assert [query.text for query in prediction.queries] == ["A photo of dog"]
    assert not (prediction.score_map > 0.5).any() and "fit" not in prediction.trail


def test_no_more_rounds_than_asked_for(answer):
    visible = ("dog", "violin", "drum", "sea lion")
    looked_at = [len(answer(visible=visible, heard="violin", verify=rounds)[0].trail["fit"]) for rounds in (1, 2)]
    assert looked_at == [2, 3]
    with pytest.raises(UserError, match="cross_modal.verify must be a whole number from 0 to 2; found 3"):
        answer(verify=3)


@pytest.mark.parametrize("name", ["caption", "text_inversion"])
def test_a_method_may_have_no_other_candidate_or_one_by_word(answer, fakes, name):
    settings = fakes.METHOD_SETTINGS.get(name, {})
    prediction, sample, _ = answer(name, **settings)
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
    assert ("fit" in prediction.trail) == (name == "text_inversion")


@pytest.mark.parametrize("stays", [True, False])
def test_what_was_asked_besides_is_told_of_the_mask_that_it_made(fakes, stays):
    sample, queries = fakes.make_sample("dog", ("dog", "violin")), (Query("A man"), Query("A person"))
    told = {"query": "A man", "also_asked": "A person", "candidates": [], "seconds": {}}
    score_map = (sample.gt_mask & stays).astype(np.float32)
    method = SimpleNamespace(
        predict=lambda samples: [Prediction(score_map, queries, told)], next_queries=lambda answer: [Query("A dog")]
    )
    (prediction,) = Verified(fakes.make_models(), method, 2).predict([sample])
    also = {key: prediction.trail.get(key) for key in ("query", "also_asked")}
    assert also == ({"query": "A man", "also_asked": "A person"} if stays else {"query": "A dog", "also_asked": None})


def test_silence_is_left_as_it_is(fakes):
    method = methods.create("cross_modal", fakes.make_models(), {"verify": 2})
    (prediction,) = method.predict([fakes.make_sample(None)])
    assert prediction.queries == () and "fit" not in prediction.trail and "silent" in prediction.trail["reason"]


def test_baselines_are_not_verified_and_the_setting_is_seen():
    assert methods.verifying(["cross_modal", "image_only", "nothing"]) == ["cross_modal.verify=2"]
    assert methods.settings("cross_modal")["verify"] == 0 and "verify" not in methods.settings("centre")
    with pytest.raises(UserError, match="expected a method whose masks can be verified, .* found regions, nothing"):
        methods.verifying(["regions", "nothing"])
    with pytest.raises(UserError, match='image_only has no setting "verify"'):
        methods.check("image_only", {"verify": 2})


def test_the_tagger_is_asked_for_where_masks_are_verified():
    assert methods.requires("cross_modal", {"verify": 0}) == methods.requires("cross_modal")
    assert methods.requires("cross_modal", {"verify": 1}) == ("audio_tagger", *methods.requires("cross_modal"))
