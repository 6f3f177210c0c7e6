"""Cross-modal verification: the sound decides between the nouns of the caption."""

from __future__ import annotations

import numpy as np
import pytest

import methods
from utils.errors import UserError


@pytest.fixture
def models(fakes):
    return fakes.make_models()


@pytest.mark.parametrize("sounding", ["dog", "violin", "sea lion"])
def test_the_noun_that_sounds_is_asked_for_wherever_it_stands(fakes, models, sounding):
    sample = fakes.make_sample(sounding, ("dog", "violin", "sea lion"))
    prediction = methods.create("cross_modal", models).predict([sample])[0]
    assert [query.text for query in prediction.queries] == [f"A photo of {sounding}"]
    assert prediction.queries[0].score == pytest.approx(0.9, abs=1e-5)
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
    assert prediction.trail["seen"] == "a sea lion and a violin and a dog"
    assert prediction.trail["heard"] == f"a sound most like {sounding}"
    assert prediction.trail["candidates"][0] == {"text": sounding, "score": 0.9}
    assert {row["text"] for row in prediction.trail["candidates"]} == {"dog", "violin", "sea lion"}


def test_bare_nouns_are_what_is_compared_with_the_sound(fakes, models):
    methods.create("cross_modal", models).predict([fakes.make_sample("dog", ("dog", "sea lion"))])
    assert models["audio_text"].asked == ["sea lion", "dog"]


def test_prompts_are_settings(fakes, models):
    values = {"prompt": "the {}!", "audio_prompt": "sound of a {}"}
    prediction = methods.create("cross_modal", models, values).predict([fakes.make_sample("dog", ("dog",))])[0]
    assert prediction.queries[0].text == "the dog!"
    assert models["audio_text"].asked == ["sound of a dog"]


def test_a_sound_of_nothing_in_view_asks_for_nothing(fakes, models):
    sample = fakes.make_sample("drum", ("dog", "violin"))
    prediction = methods.create("cross_modal", models, {"min_similarity": 0.3}).predict([sample])[0]
    assert prediction.queries == () and prediction.score_map.max() == 0
    assert prediction.trail["reason"].startswith("nothing seen fits the sound: the nearest,")
    assert prediction.trail["reason"].endswith("< 0.3")
    assert len(prediction.trail["candidates"]) == 2


def test_a_caption_without_a_noun_asks_for_nothing(fakes, models):
    prediction = methods.create("cross_modal", models).predict([fakes.make_sample("dog", ())])[0]
    assert prediction.trail["seen"] == "it is grey"
    assert prediction.trail["reason"] == "the image caption names no thing"
    assert prediction.score_map.max() == 0


def test_what_is_seen_is_told_in_silence_too(fakes, models):
    prediction = methods.create("cross_modal", models).predict([fakes.make_sample(None, ("dog",))])[0]
    assert prediction.trail["seen"] == "a dog"
    assert prediction.trail["reason"] == "the sound is silent: it never rises above -60 dBFS"


@pytest.mark.parametrize("setting", ["prompt", "audio_prompt"])
@pytest.mark.parametrize("prompt", ["no place", "{} and {}"])
def test_a_prompt_without_its_one_place_is_refused(models, setting, prompt):
    with pytest.raises(UserError, match=f'one "{{}}" for the word as the setting {setting}'):
        methods.create("cross_modal", models, {setting: prompt})
