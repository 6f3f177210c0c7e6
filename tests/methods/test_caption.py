"""Audio captioning: the sentence is the query."""

from __future__ import annotations

import numpy as np

import methods


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
