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


@pytest.mark.parametrize("prompt", ["no place", "{} and {}", ["{}"], "{sound}"])
def test_a_prompt_without_its_one_place_is_refused(models, prompt):
    with pytest.raises(UserError, match='cross_modal.prompt must be a sentence with one "{}" for the word'):
        methods.create("cross_modal", models, {"prompt": prompt})


@pytest.mark.parametrize("prompt", ["no place", "{} and {}", "{}: {sound}", [], ["{}", "no place"], [["{}"]], 3])
def test_an_audio_prompt_without_its_one_place_is_refused(models, prompt):
    wanted = 'a sentence with one "{}" for the noun or one "{sound}" for how it is heard, or a list of such'
    with pytest.raises(UserError, match=f"cross_modal.audio_prompt must be {wanted}"):
        methods.create("cross_modal", models, {"audio_prompt": prompt})


class Vectors:
    """An audio-text space of two dimensions, where each sentence is at an angle in degrees and every sound at 0."""

    embed_dim = 2

    def __init__(self, angles, length=1.0):
        self.angles, self.length, self.asked = angles, length, []

    def encode_audio(self, waveforms, sampling_rates):
        return np.float32([[self.length, 0]] * len(waveforms))

    def encode_text(self, texts):
        self.asked += texts
        angles = np.deg2rad([self.angles[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) * self.length


def weighed(fakes, models, **values):
    found = methods.create("cross_modal", models, values).propose([fakes.make_sample("dog")])[0]
    return found, {row["text"]: row["score"] for row in found.trail["candidates"]}


def test_of_several_sentences_the_mean_is_compared_at_their_own_length(fakes, models):
    angles = {"dog": 80, "dog barking": 0, "table": 50}  # in the middle 40 degrees; no one knows how a table is heard
    models |= {"image_captioner": Says("a table and a dog"), "audio_text": Vectors(angles)}
    found, scores = weighed(fakes, models, audio_prompt=["{}", "{sound}"])
    assert models["audio_text"].asked == ["table", "table", "dog", "dog barking"]
    assert scores == pytest.approx({"dog": np.cos(np.deg2rad(40)), "table": np.cos(np.deg2rad(50))}, abs=1e-4)
    assert found.queries[0].text == "A photo of dog" and found.queries[0].score == pytest.approx(0.76604, abs=1e-5)
    assert weighed(fakes, models, audio_prompt="{}")[0].queries[0].text == "A photo of table"
    models["audio_text"] = Vectors(angles, length=3.0)  # products that are no cosines
    assert weighed(fakes, models, audio_prompt=["{}", "{sound}"])[1]["dog"] == pytest.approx(9 * 0.76604, abs=1e-3)


def test_how_a_noun_is_heard_is_compared(fakes, models):
    methods.create("cross_modal", models, {"audio_prompt": "the sound of {sound}."}).predict(
        [fakes.make_sample("dog", ("dog", "violin"))]
    )
    assert models["audio_text"].asked == ["the sound of violin playing.", "the sound of dog barking."]


def test_sentences_that_cancel_out_are_no_error(fakes, models):
    angles = {"a dog": 0, "no dog": 180, "a cat": 100, "no cat": 100}
    models |= {"image_captioner": Says("a cat and a dog"), "audio_text": Vectors(angles)}
    found, scores = weighed(fakes, models, audio_prompt=["a {}", "no {}"])
    assert scores["cat"] == pytest.approx(np.cos(np.deg2rad(100)), abs=1e-4)
    assert abs(scores["dog"]) < 0.1 and found.queries[0].text == "A photo of dog"


def test_a_list_of_one_sentence_is_that_sentence_to_the_byte(fakes, models):
    models |= {"image_captioner": Says("a dog"), "audio_text": Vectors({"dog": 33}, length=1 + 2**-20)}
    one, several = (weighed(fakes, models, audio_prompt=prompt)[0].queries[0].score for prompt in ("{}", ["{}"]))
    audio, text = (models["audio_text"].encode_audio([0], [0])[0], models["audio_text"].encode_text(["dog"])[0])
    assert one == several == float(text @ audio)


@pytest.mark.parametrize(("angle", "length"), [(135, 1.0), (180, 1.0), (180, 4.0)])  # similarity -0.7, -1, -16
def test_by_default_nothing_is_too_little(fakes, models, angle, length):
    models |= {"image_captioner": Says("a dog"), "audio_text": Vectors({"dog": angle}, length)}
    found, _ = weighed(fakes, models)
    assert [query.text for query in found.queries] == ["A photo of dog"]
    assert found.queries[0].score == pytest.approx(np.cos(np.deg2rad(angle)) * length**2, rel=1e-5)
    refused, _ = weighed(fakes, models, min_similarity=-0.5)
    assert refused.queries == () and refused.trail["reason"].endswith("< -0.5")


def test_a_threshold_of_products_may_be_above_1(fakes, models):
    models |= {"image_captioner": Says("a dog"), "audio_text": Vectors({"dog": 0}, length=4.0)}
    assert weighed(fakes, models, min_similarity=15.9)[0].queries
    assert not weighed(fakes, models, min_similarity=16.1)[0].queries


@pytest.mark.parametrize("value", [-1.1, float("inf"), float("nan"), "0.2"])
def test_a_similarity_below_minus_1_is_no_threshold(models, value):
    with pytest.raises(UserError, match="cross_modal.min_similarity must be a number from -1 up"):
        methods.create("cross_modal", models, {"min_similarity": value})


class Says:
    """A captioner and a tagger of few words."""

    def __init__(self, caption, label=None):
        self.said, self.label = caption, label

    def caption(self, images):
        return [self.said] * len(images)

    def tag(self, waveforms, sampling_rates, top_k=5):
        return [[(self.label, 0.8)]] * len(waveforms)


class KnowsOnly:
    """Finds a word with 0.9 in the upper half, anything else with 0.2 everywhere."""

    accepts_embeddings, text_embed_dim = False, 0

    def __init__(self, word):
        self.word, self.asked = word, []

    def segment(self, images, queries):
        self.asked += [[query.text for query in own] for own in queries]
        return [self._map(image.shape[:2], own) for image, own in zip(images, queries, strict=True)]

    def _map(self, size, queries):
        score_map = np.full(size, 0.2 if queries else 0, np.float32)
        if any(self.word in query.text for query in queries):
            score_map[: size[0] // 2] = 0.9
            score_map[size[0] // 2 :] = 0.1
        return score_map


@pytest.mark.parametrize("method", ["cross_modal", "image_only", "classify"])
def test_people_are_tried_as_a_person_where_nothing_is_found(fakes, models, method):
    says, segmenter = Says("a woman", "Female speech, woman speaking"), KnowsOnly("person")
    models |= {"image_captioner": says, "audio_tagger": says, "segmenter": segmenter}
    found = methods.create(method, models, {"prompt": "the {}"}).predict([fakes.make_sample("dog")])[0]
    assert [query.text for query in found.queries] == ["the woman", "the person"]
    assert (found.trail["query"], found.trail["also_asked"]) == ("the woman", "the person")
    assert (found.score_map[0, 0], found.score_map[-1, 0]) == pytest.approx((0.9, 0.2))  # as if asked for both at once


@pytest.mark.parametrize(("caption", "known"), [("a woman", "woman"), ("a dog", "person"), ("a person", "woman")])
def test_nothing_more_is_asked_where_it_is_found_or_nobody_is_meant(fakes, models, caption, known):
    models |= {"image_captioner": Says(caption), "segmenter": KnowsOnly(known)}
    found = methods.create("cross_modal", models).predict([fakes.make_sample("dog")])[0]
    assert models["segmenter"].asked == [[f"A photo of {caption.removeprefix('a ')}"]]
    assert len(found.queries) == 1 and "also_asked" not in found.trail
