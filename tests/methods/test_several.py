"""Several: the sentence that decides how many, and windows, where all numbers are known."""

from __future__ import annotations

from dataclasses import replace
from math import hypot, log, sqrt

import numpy as np
import pytest

import methods
from methods.several import turns_of


@pytest.fixture
def propose(known):
    def propose(words, alike=None, **values):
        kind, sample = known
        models, values = kind(words, alike=alike), {"prompt": "{}", **values}
        return methods.create("several", models.models(), values).propose([sample])[0]

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


def test_a_single_candidate_is_all_there_is(propose):
    assert asked(propose({"dog": (2.0, 1.0, 0.9)})) == ["dog"]


def test_what_wins_a_window_clearly_is_asked_for_too(fakes):
    """A dog for 2 s, then a drum: as a whole, it sounds like the louder one."""
    first, second = (fakes.make_sample(thing, ("dog", "drum"), seconds=2.0) for thing in ("dog", "drum"))
    joined = replace(first, waveform=np.concatenate([first.waveform, 0.6 * second.waveform]))
    asked = {
        windows: methods.create("several", fakes.make_models(), {"windows": windows}).predict([joined])[0]
        for windows in ("whole", "turns")
    }
    assert [query.text for query in asked["whole"].queries] == ["A photo of dog"]
    assert [query.text for query in asked["turns"].queries] == ["A photo of dog", "A photo of drum"]
    assert asked["turns"].trail["turns"] == "drum (2.0-4.0 s)"
    assert np.array_equal(asked["turns"].score_map > 0.5, first.gt_mask | second.gt_mask)


def test_what_is_faint_or_short_has_no_turn(fakes):
    first, second = (fakes.make_sample(thing, ("dog", "drum"), seconds=2.0) for thing in ("dog", "drum"))
    faint = replace(first, waveform=np.concatenate([first.waveform, 0.05 * second.waveform]))
    for sample in (faint, first):
        method = methods.create("several", fakes.make_models(), {"windows": "turns"})
        assert [query.text for query in method.propose([sample])[0].queries] == ["A photo of dog"]
    assert [when for when, _ in turns_of(faint)] == ["0.0-2.0 s"] and turns_of(first) == []
