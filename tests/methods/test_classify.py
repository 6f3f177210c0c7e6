"""Audio classification: the most probable tags are asked for."""

from __future__ import annotations

import numpy as np
import pytest

import methods
from utils.errors import UserError


def test_the_class_of_the_sound_is_asked_for(fakes):
    sample = fakes.make_sample("violin", ("dog", "violin"))
    prediction = methods.create("classify", fakes.make_models()).predict([sample])[0]
    assert [(query.text, query.score) for query in prediction.queries] == [("A photo of violin", 0.8)]
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
    assert prediction.trail["heard"] == "violin (80%)"
    assert prediction.trail["seen"] is None
    assert prediction.trail["candidates"][:2] == [{"text": "violin", "score": 0.8}, {"text": "dog", "score": 0.05}]


def test_several_classes_can_be_asked_for(fakes):
    sample = fakes.make_sample("drum", ("dog", "violin"))
    method = methods.create("classify", fakes.make_models(), {"top_k": 2, "prompt": "{}"})
    prediction = method.predict([sample])[0]
    assert [query.text for query in prediction.queries] == ["drum", "dog"]
    assert prediction.trail["query"] == "drum; dog"
    assert np.array_equal(prediction.score_map > 0.5, fakes.colour_mask(sample.image, "dog"))


def test_only_probable_classes_are_asked_for(fakes):
    sample = fakes.make_sample("drum")
    method = methods.create("classify", fakes.make_models(), {"top_k": 4, "min_probability": 0.5})
    assert [query.text for query in method.predict([sample])[0].queries] == ["A photo of drum"]


def test_a_sound_of_no_known_class_asks_for_nothing(fakes, monkeypatch):
    monkeypatch.setitem(fakes.THINGS, "drum", ((230, 220, 40), 3000))
    sample = fakes.make_sample("drum", ("dog",))
    monkeypatch.undo()
    prediction = methods.create("classify", fakes.make_models()).predict([sample])[0]
    assert prediction.queries == () and prediction.score_map.max() == 0
    assert prediction.trail["reason"] == 'no known sound was recognised: the most probable, "dog", has 0.02 < 0.05'


def test_asking_for_no_class_is_refused(fakes):
    with pytest.raises(UserError, match="top_k to be 1 or more, found 0"):
        methods.create("classify", fakes.make_models(), {"top_k": 0})
