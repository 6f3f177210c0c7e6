"""Audio captioning: the sentence is the query, or the things it names are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import methods
from utils.errors import UserError
from utils.language import phrases
from utils.trails import describe_trail


def test_the_sentence_itself_is_asked_for(fakes):
    sample = fakes.make_sample("violin", ("dog", "violin"))
    prediction = methods.create("caption", fakes.make_models()).predict([sample])[0]
    assert [query.text for query in prediction.queries] == ["a violin is heard"]
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
    assert prediction.trail["heard"] == prediction.trail["query"] == "a violin is heard"
    assert prediction.trail["seen"] is None and prediction.trail["candidates"] == []


def test_a_captioner_that_says_nothing_asks_for_nothing(fakes, monkeypatch):
    monkeypatch.setitem(fakes.THINGS, "drum", ((230, 220, 40), 3000))
    sample = fakes.make_sample("drum", ("dog",))
    monkeypatch.undo()
    prediction = methods.create("caption", fakes.make_models()).predict([sample])[0]
    assert prediction.queries == () and prediction.score_map.max() == 0
    assert prediction.trail["reason"] == "the audio captioner says nothing about the sound"


def test_what_a_captioner_did_not_listen_to_is_in_the_trail(fakes):
    sample = fakes.make_sample("violin", ("dog", "violin"))
    models = fakes.make_models()
    assert "unheard" not in methods.create("caption", models).predict([sample])[0].trail

    class Hasty(type(models["audio_captioner"])):
        def unheard(self, waveform, sampling_rate):
            assert len(waveform) == len(sample.waveform) and sampling_rate == sample.sampling_rate
            return [(0.0, 30.0), (61.25, 90.0)]

    trail = methods.create("caption", models | {"audio_captioner": Hasty()}).predict([sample])[0].trail
    assert trail["unheard"] == "0.0-30.0 s, 61.2-90.0 s"
    assert ("unheard", "0.0-30.0 s, 61.2-90.0 s") in describe_trail(trail)


class Says:
    """An audio captioner of one sentence."""

    def __init__(self, sentence):
        self.sentence = sentence

    def caption(self, waveforms, sampling_rates):
        return [self.sentence] * len(waveforms)


class Phrases:
    """Knows phrases only, each with rows of its own: of anything else it makes the whole picture."""

    accepts_sentences, accepts_embeddings, text_embed_dim = False, False, 0

    def __init__(self, **places):
        self.places, self.asked = places, []

    def segment(self, images, queries):
        self.asked += [query.text for own in queries for query in own]
        return [self._map(image.shape[:2], own) for image, own in zip(images, queries, strict=True)]

    def _map(self, size, queries):
        score_map = np.zeros(size, np.float32)
        for query in queries:
            score_map[self.places.get(query.text, slice(None))] = 0.9
        return score_map


def ask(fakes, sentence, segmenter):
    models = fakes.make_models() | {"audio_captioner": Says(sentence), "segmenter": segmenter}
    return methods.create("caption", models).predict([fakes.make_sample("dog", size=(8, 8))])[0]


def test_a_segmenter_of_phrases_is_asked_for_each_thing_once(fakes):
    segmenter = Phrases(dog=slice(0, 2), guitar=slice(5, 6))
    said = "A dog is barking in the distance and a guitar is played in a room. The dog barks again over a guitar."
    found = ask(fakes, said, segmenter)
    assert segmenter.asked == ["dog", "guitar"]
    assert [(query.text, query.score) for query in found.queries] == [("dog", 1.0), ("guitar", 1.0)]
    assert (found.score_map > 0.5).any(1).tolist() == [True, True, False, False, False, True, False, False]  # the union
    assert (found.trail["heard"], found.trail["query"], found.trail["reason"]) == (said, "dog; guitar", None)


def test_people_are_tried_as_a_person_by_a_segmenter_of_phrases(fakes):
    segmenter = Phrases(man=slice(0, 0), person=slice(0, 1))  # by the first word nothing is found
    found = ask(fakes, "A man is speaking", segmenter)
    assert segmenter.asked == ["man", "person"]
    assert (found.score_map > 0.5).any(1).tolist() == [True] + [False] * 7
    assert found.trail["also_asked"] == "person"


@pytest.mark.parametrize("sentence", ["Music is playing.", "Rain and wind in a street", "something rustles"])
def test_a_sentence_that_names_no_thing_abstains_where_sentences_are_not_understood(fakes, sentence):
    segmenter = Phrases()
    found = ask(fakes, sentence, segmenter)
    assert segmenter.asked == [] and found.queries == () and not found.score_map.any()
    assert found.trail["heard"] == sentence
    reason = "what was heard names no visible thing, and this segmenter is asked for things, not sentences"
    assert found.trail["reason"] == reason


@pytest.mark.parametrize("sentence", ["A dog barks at a man in a room.", "Music is playing."])
def test_the_sentence_is_asked_where_sentences_are_understood(fakes, sentence):
    segmenter = fakes.make_models()["segmenter"]
    found = ask(fakes, sentence, segmenter)
    assert [query.text for query in found.queries] == [found.trail["query"]] == [sentence]


def test_its_noun_parser_is_a_setting(fakes, monkeypatch):
    token = SimpleNamespace(text="frog", pos_="NOUN")
    monkeypatch.setattr(phrases, "_spacy_pipeline", {"en_x": lambda sentence: [token]}.get)
    monkeypatch.setattr(phrases, "entry_points", lambda group: SimpleNamespace(names={"en_x"}))
    models = fakes.make_models() | {"audio_captioner": Says("A dog barks"), "segmenter": Phrases()}
    method = methods.create("caption", models, {"noun_parser": "en_x"})
    assert method.predict([fakes.make_sample("dog")])[0].trail["query"] == "frog"
    with pytest.raises(UserError, match='caption.noun_parser must be "hanta" or an installed spaCy pipeline'):
        methods.create("caption", models, {"noun_parser": "en_y"})
