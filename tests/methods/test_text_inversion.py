"""Text inversion: the pseudo-word comes to mean the sound, and is handed on as an embedding or as a word."""

from __future__ import annotations

import numpy as np
import pytest

import methods
from utils.errors import UserError
from utils.language import audioset


@pytest.fixture
def make(fakes):
    def make(accepts_embeddings: bool = True, **values):
        models = fakes.make_models(accepts_embeddings)
        return methods.create("text_inversion", models, {**fakes.METHOD_SETTINGS["text_inversion"], **values})

    return make


@pytest.mark.parametrize("sounding", ["dog", "violin", "sea lion", "drum"])
@pytest.mark.parametrize("decoding", ["embedding", "nearest_word"])
def test_the_thing_that_sounds_is_found(fakes, make, sounding, decoding):
    sample = fakes.make_sample(sounding, ("dog", "violin", "sea lion", "drum"))
    prediction = make(decoding=decoding).predict([sample])[0]
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
    asked = {"embedding": f"A photo of W* (near {sounding})", "nearest_word": f"A photo of {sounding}"}
    assert prediction.queries[0].text == asked[decoding]
    assert prediction.queries[0].score == pytest.approx(0.9)  # of the word and the sound, in the fake world
    assert prediction.trail["similarity"] > 0.95  # of what was found and the sound
    assert prediction.trail["decoding"] == decoding
    assert prediction.trail["candidates"][0]["text"] == sounding
    assert prediction.trail["heard"].startswith(f"a pseudo-word W* close to {sounding}, ")


def test_the_loss_falls_and_its_curve_ends_where_the_similarity_says(fakes, make):
    trail = make().predict([fakes.make_sample("dog")])[0].trail
    losses = trail["losses"]
    assert losses[-1] < 0.1 < losses[0]
    assert min(losses) == pytest.approx(1 - trail["similarity"], abs=2e-4)


def test_auto_hands_on_what_the_segmenter_takes(fakes, make):
    sample = fakes.make_sample("dog")
    with_embedding = make(accepts_embeddings=True).predict([sample])[0]
    assert with_embedding.queries[0].embedding.shape == (fakes.SEGMENTER_DIM,)
    assert with_embedding.queries[0].embedding.dtype == np.float32
    assert with_embedding.trail["decoding"] == "embedding"
    assert with_embedding.trail["arrives_near"][0]["text"] == "dog"
    assert with_embedding.trail["arrives_near"][0]["score"] > 0.95
    with_words = make(accepts_embeddings=False).predict([sample])[0]
    assert with_words.queries[0].embedding is None
    assert with_words.trail["decoding"] == "nearest_word" and "arrives_near" not in with_words.trail


def test_the_same_seed_gives_the_same_and_another_seed_another_start(fakes, make):
    sample = fakes.make_sample("dog")
    first, again, other = (make(starts=3, seed=seed).predict([sample])[0].trail["losses"] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_no_steps_keep_the_start(fakes, make):
    trail = make(steps=0).predict([fakes.make_sample("dog")])[0].trail
    assert len(trail["losses"]) == 1


def test_a_sound_near_no_known_word_asks_for_nothing(fakes, make):
    prediction = make(vocabulary=["violin", "sea lion"], min_similarity=0.5).predict([fakes.make_sample("dog")])[0]
    assert prediction.queries == () and prediction.score_map.max() == 0
    assert prediction.trail["reason"].startswith("no known word fits the sound: the nearest,")
    assert prediction.trail["losses"]


def test_the_score_is_what_is_compared_with_the_least_similarity(fakes, make):
    sample = fakes.make_sample("dog")
    score = make().propose([sample])[0].queries[0].score
    assert make(min_similarity=score).propose([sample])[0].queries[0].score == score
    assert make(min_similarity=np.nextafter(score, 2).item()).propose([sample])[0].queries == ()


def test_unless_a_least_similarity_is_measured_nothing_is_refused(make, monkeypatch):
    assert make().min_similarity == -1
    found = {"text_embed": np.array([1, 0], np.float32), "similarity": 0.9, "losses": [0.1]}
    far = np.array([-3, 0], np.float32)  # of a network whose products are not normalised
    for least, asked in ((-1.0, 1), (-0.5, 0)):
        method = make(vocabulary=["dog"], min_similarity=least, decoding="nearest_word")
        monkeypatch.setitem(vars(method), "_word_embeds", np.array([[1, 0]], np.float32))
        assert len(method._choose(found, far).queries) == asked
    methods.check("text_inversion", {"min_similarity": 4.5})
    for value in (-1.1, float("inf"), float("nan")):
        with pytest.raises(UserError, match="text_inversion.min_similarity must be a number from -1 up; found"):
            methods.check("text_inversion", {"min_similarity": value})


def test_the_vocabulary_can_be_a_list_or_a_file(make, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("dog\nviolin\n")
    assert make(vocabulary=str(path)).vocabulary == ["dog", "violin"]
    assert make(vocabulary=["violin", "dog"]).vocabulary == ["violin", "dog"]
    with pytest.raises(UserError, match="vocabulary must be words, or the name of a file; found"):
        make(vocabulary=[])


def test_without_a_vocabulary_it_is_what_makes_audiosets_sounds(fakes):
    models = fakes.make_models()
    method = methods.create("text_inversion", models, {"steps": 150})
    named = methods.create("text_inversion", models, {"vocabulary": "audioset"})
    assert method.vocabulary == named.vocabulary == list(audioset.vocabulary())
    sample = fakes.make_sample("dog", ("dog", "violin"))
    prediction = method.predict([sample])[0]
    assert prediction.trail["candidates"][0]["text"] == "dog"
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)


def test_an_embedding_for_a_segmenter_of_text_is_refused(make):
    with pytest.raises(UserError, match="segmenter takes no embedding"):
        make(accepts_embeddings=False, decoding="embedding")
    with pytest.raises(UserError, match="decoding must be one of auto, embedding, nearest_word; found 'image'"):
        make(decoding="image")
