"""Audio captioning: the sentence is the query."""

from __future__ import annotations

import numpy as np

import methods
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
