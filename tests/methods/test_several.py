"""Several: sets of words, and the sentence that decides how many, where all numbers are known by construction."""

from __future__ import annotations

from math import hypot, log, sqrt

import numpy as np
import pytest

import methods


@pytest.fixture
def propose(known):
    def propose(words, alike=None, **values):
        kind, sample = known
        models = kind(words, alike=alike)
        return methods.create("several", models.models(), {"prompt": "{}", **values}).propose([sample])[0]

    return propose


def scenes(together: float) -> dict:
    """Two things of which either is heard, and what their sentence has with the sound."""
    return {"dog": (2.0, 1.0, 0.9), "drum": (1.5, 1.0, 0.9), "dog and drum": (together, None, 0.0)}


def asked(proposal) -> list[str]:
    return [query.text for query in proposal.queries]


def test_the_thing_that_sounds_is_outlined(fakes):
    sample = fakes.make_sample("violin", ("dog", "violin"))
    prediction = methods.create("several", fakes.make_models()).predict([sample])[0]
    assert [query.text for query in prediction.queries] == ["A photo of violin"]
    assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)


def test_the_sentence_decides_how_many(propose):
    assert asked(propose(scenes(3.0))) == ["dog", "drum"]
    assert asked(propose(scenes(0.0))) == ["dog"]
    assert asked(propose(scenes(3.0), max_things=1)) == ["dog"]
    assert asked(propose(scenes(3.0), margin=0.5)) == ["dog"]  # the drum alone is 0.6 below


def test_the_formula(propose):
    proposal = propose(scenes(3.0))
    together = (3.0 + (2.0 + 1.5) / sqrt(2)) / 2
    in_view = log(0.9 + 1e-4)
    expected = {
        "dog and drum": 1.5 * (together + 0.7 * 2 / sqrt(2)) / hypot(1, 0.7) + sqrt(2) * in_view,
        "dog": 1.5 * (2.0 + 0.7) / hypot(1, 0.7) + in_view,
        "drum": 1.5 * (1.5 + 0.7) / hypot(1, 0.7) + in_view,
    }
    assert [(row["text"], row["score"]) for row in proposal.trail["sets"]] == [
        (words, pytest.approx(score, abs=1e-4)) for words, score in expected.items()
    ]


def test_two_words_for_one_thing_make_no_set(propose):
    words = {"dog": (2.0, 1.0, 0.9), "puppy": (2.0, 1.0, 0.9), "dog and puppy": (9.0, None, 0.0)}
    assert asked(propose(words, alike={"puppy": "dog"})) == ["dog"]
    assert asked(propose(words)) == ["dog", "puppy"]


def test_a_sentence_says_how_each_is_heard(known):
    kind, sample = known
    phrases = ("dog barking", "drum beating", "dog barking and drum beating")
    models = kind({"dog": (0.0, 1.0, 0.9), "drum": (0.0, 1.0, 0.9)} | dict.fromkeys(phrases, (1.0, None, 0.0)))
    methods.create("several", models.models(), {"prompt": "{}", "audio_prompt": "{sound}"}).propose([sample])
    assert set(models.encoded) == set(phrases)
