"""Consensus: the words, their numbers, and what is asked for, where all of it is known by construction."""

from __future__ import annotations

from math import exp, hypot, log

import numpy as np
import pytest

import methods
from utils.errors import UserError


@pytest.fixture
def propose(known):
    def propose(words, nouns=(), alike=None, **values):
        kind, sample = known
        models = kind(words, nouns, alike)
        return methods.create("consensus", models.models(), {"prompt": "{}", **values}).propose([sample])[0]

    return propose


def asked(proposal) -> list[str]:
    return [query.text for query in proposal.queries]


def test_what_is_heard_and_in_view_is_outlined(fakes):
    for sounding in ("dog", "violin"):
        sample = fakes.make_sample(sounding, ("dog", "violin"))
        prediction = methods.create("consensus", fakes.make_models(), {"max_things": 1}).predict([sample])[0]
        assert [query.text for query in prediction.queries] == [f"A photo of {sounding}"]
        assert np.array_equal(prediction.score_map > 0.5, sample.gt_mask)
        assert prediction.trail["heard"] == f"a sound most like {sounding}"
        assert prediction.trail["seen"] == "a violin and a dog"


def test_the_formulas(propose):
    proposal = propose({"dog": (2.0, 1.0, 0.5), "drum": (1.0, 2.0, 0.8), "bell": (3.0, 3.0, 0.0)}, tagger_weight=0.5)
    heard = {word: (z + 0.5 * tag) / hypot(1, 0.5) for word, z, tag in (("dog", 2, 1), ("drum", 1, 2), ("bell", 3, 3))}
    score = {word: 1.5 * heard[word] + log(v + 1e-4) for word, v in (("dog", 0.5), ("drum", 0.8), ("bell", 0.0))}
    order = sorted(score, key=score.get, reverse=True)
    assert order == ["dog", "drum", "bell"] and asked(proposal) == ["dog", "drum"]  # the bell is 2 below
    total = sum(exp(value) for value in score.values())
    for key, numbers in (
        ("candidates", {word: exp(score[word]) / total for word in order}),
        ("heard z", heard),
        ("in view", {"dog": 0.5, "drum": 0.8, "bell": 0.0}),
    ):
        assert [(row["text"], row["score"]) for row in proposal.trail[key]] == [
            (word, pytest.approx(numbers[word], abs=1e-4)) for word in order
        ]


def test_its_score_is_how_much_of_what_is_heard_is_in_view(propose):
    words = {"dog": (2.0, 1.0, 0.5), "drum": (1.0, 2.0, 0.8), "bell": (3.0, 3.0, 0.0)}
    tags = {word: exp(tag - 4) - 1e-4 for word, (_, tag, _) in words.items()}
    share = (0.5 * tags["dog"] + 0.8 * tags["drum"]) / sum(tags.values())
    assert [query.score for query in propose(words).queries] == [pytest.approx(share, rel=1e-5)] * 2
    refused = propose(words, min_in_view=0.4)
    assert refused.queries == () and refused.trail["reason"] == f"what is heard is not in view: {share:.3f} < 0.4"
    assert refused.trail["query"] is None and refused.trail["heard in view"] == round(share, 4)


def test_a_thing_in_view_that_no_tag_names_is_a_candidate(propose):
    """Also where it is heard less than in unrelated sounds: that does not speak for what is hardly in view."""
    words = {"trombone": (3.0, 2.0, 0.002), "taxi": (-3.0, None, 0.99)}
    assert asked(propose(words, ["taxi"], max_things=1)) == ["taxi"]
    assert asked(propose(words, ["taxi"], looked_for=1, max_things=1)) == ["taxi"]
    assert asked(propose(words, max_things=1)) == ["trombone"]
    assert asked(propose(words, vocabulary=["taxi"], max_things=1)) == ["taxi"]
    assert asked(propose(words, vocabulary=["taxi"], looked_for=1, max_things=1)) == ["trombone"]  # it is heard more


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["dog", "drum"]),
        ({"margin": 3}, ["dog", "drum", "bell"]),
        ({"margin": 3, "max_things": 2}, ["dog", "drum"]),
        ({"margin": 0}, ["dog"]),
        ({"tagger_weight": 0, "margin": 1.4}, ["dog"]),
    ],
)
def test_what_is_nearly_as_good_is_asked_for_too(propose, values, expected):
    words = {"dog": (3.0, 0.0, 0.9), "drum": (2.0, 0.0, 0.9), "bell": (1.0, 0.0, 0.9)}
    assert asked(propose(words, **values)) == expected  # a is 1.23 lower each time; 1.5 without the tagger


def test_two_words_for_one_thing_are_one(propose):
    words = {"dog": (3.0, 1.0, 0.9), "puppy": (3.0, 1.0, 0.9), "drum": (2.5, 1.0, 0.9)}
    assert asked(propose(words, alike={"puppy": "dog"})) == ["dog", "drum"]
    assert asked(propose(words)) == ["dog", "puppy", "drum"]


def test_labels_stand_for_what_makes_them_and_those_of_nothing_visible_for_nothing(known):
    kind, sample = known
    models = kind({"Bark": (0.0, 3.0, 0.0), "Wind": (9.0, 3.0, 1.0), "dog": (2.0, None, 0.9)})
    proposal = methods.create("consensus", models.models(), {"prompt": "{}"}).propose([sample])[0]
    assert asked(proposal) == ["dog"] and models.encoded == ["dog"]
    assert proposal.trail["heard z"][0]["score"] == pytest.approx((2 + 0.7 * 3) / hypot(1, 0.7), abs=1e-4)
    assert proposal.trail["heard in view"] == pytest.approx(0.45)  # half of what is heard is the wind


def test_how_a_word_is_heard_can_be_said(known):
    kind, sample = known
    models = kind({"dog": (2.0, 1.0, 0.9), "dog barking": (0.0, None, 0.0)})
    methods.create("consensus", models.models(), {"prompt": "{}", "audio_prompt": "{sound}"}).propose([sample])
    assert models.encoded == ["dog barking"]


def test_without_a_bank_it_is_not_made(fakes):
    def bank():
        raise UserError("expected a bank")

    models = fakes.make_models()
    models["audio_text"].bank = bank
    with pytest.raises(UserError, match="expected a bank"):
        methods.create("consensus", models)
