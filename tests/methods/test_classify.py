"""Audio classification: the most probable tags are asked for."""

from __future__ import annotations

import numpy as np
import pytest

import methods
from utils.errors import UserError
from utils.language import audioset


@pytest.fixture
def propose(fakes):
    """What classify makes of tags that are given to it."""

    class Says:
        def __init__(self, tags):
            self.tags = list(tags)

        def tag(self, waveforms, sampling_rates, top_k=5):
            return [self.tags[:top_k] for _ in waveforms]

    def propose(*tags, **values):
        models = {**fakes.make_models(), "audio_tagger": Says(tags)}
        return methods.create("classify", models, values).propose([fakes.make_sample("dog")])[0]

    return propose


def asked(proposal) -> list[tuple[str, float]]:
    return [(query.text.removeprefix("A photo of "), query.score) for query in proposal.queries]


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


@pytest.mark.parametrize(
    ("label", "thing"),
    [
        ("Bark", "dog"),
        ("Speech", "person"),
        ("Vehicle horn, car horn, honking", "car"),
        ("Acoustic guitar", "acoustic guitar"),
    ],
)
@pytest.mark.parametrize("things", ["auto", "audioset"])
def test_audioset_labels_are_asked_for_as_what_makes_them(propose, label, thing, things):
    proposal = propose((label, 0.87), ("Wind", 0.3), things=things)
    assert asked(proposal) == [(thing, 0.87)]
    assert proposal.trail["heard"] == f"{label} (87%)"
    assert proposal.trail["visible"] == f"{label} -> {thing}"
    assert proposal.trail["query"] == f"A photo of {thing}"
    assert proposal.trail["candidates"] == [{"text": label, "score": 0.87}, {"text": "Wind", "score": 0.3}]


def test_other_labels_are_asked_for_as_they_are(propose):
    proposal = propose(("dog", 0.6), ("Dog", 0.5), top_k=2)
    assert asked(proposal) == [("dog", 0.6)]  # what "Dog" names is asked for already
    proposal = propose(("sea lion", 0.6), ("barking", 0.5), top_k=2)
    assert asked(proposal) == [("sea lion", 0.6), ("barking", 0.5)]
    assert "visible" not in proposal.trail


def test_labels_can_be_kept_as_the_paper_asks_for_them(propose):
    proposal = propose(("Wind", 0.87), ("Bark", 0.3), things="labels")
    assert asked(proposal) == [("Wind", 0.87)]
    assert proposal.trail["heard"] == "Wind (87%)" and "visible" not in proposal.trail


def test_a_label_that_is_not_audiosets_can_be_refused(propose):
    with pytest.raises(UserError, match='a label of AudioSet from the audio tagger, found "dog"; set classify.things'):
        propose(("dog", 0.6), things="audioset")


def test_what_nothing_visible_makes_gives_way_to_the_next_tag(propose):
    proposal = propose(("Music", 0.9), ("Jazz", 0.5), ("Saxophone", 0.4), ("Speech", 0.3))
    assert asked(proposal) == [("saxophone", 0.4)]
    assert proposal.trail["heard"] == "Music (90%), Jazz (50%), Saxophone (40%)"
    assert proposal.trail["visible"] == "Music -> nothing; Jazz -> nothing; Saxophone -> saxophone"


def test_the_next_tag_has_to_be_probable_too(propose):
    proposal = propose(("Wind", 0.62), ("Dog", 0.04))
    assert proposal.queries == ()
    assert proposal.trail["reason"] == "what was heard names no visible thing: Wind (62%)"
    assert proposal.trail["heard"] == "Wind (62%)"
    assert proposal.trail["visible"] == "Wind -> nothing"
    assert proposal.trail["candidates"] == [{"text": "Wind", "score": 0.62}, {"text": "Dog", "score": 0.04}]
    assert asked(propose(("Wind", 0.62), ("Dog", 0.04), min_probability=0.04)) == [("dog", 0.04)]


def test_a_visible_tag_is_looked_for_beyond_those_shown_and_then_shown(propose):
    unseen = [label for label in audioset.labels() if not audioset.things(label)]
    tags = [(label, 0.9 - number / 100) for number, label in enumerate([*unseen[:11], "Bark"])]
    proposal = propose(*tags)
    assert asked(proposal) == [("dog", pytest.approx(0.79))]
    assert proposal.trail["candidates"][-1] == {"text": "Bark", "score": 0.79}
    assert len(proposal.trail["candidates"]) == 12


def test_several_tags_ask_for_different_things(propose):
    tags = (("Dog", 0.9), ("Bark", 0.8), ("Rain", 0.7), ("Meow", 0.6), ("Cow", 0.5))
    proposal = propose(*tags, top_k=2)
    assert asked(proposal) == [("dog", 0.9), ("cat", 0.6)]
    assert proposal.trail["visible"] == "Dog -> dog; Bark -> dog; Rain -> nothing; Meow -> cat"


def test_several_things_of_one_label_can_be_asked_for(propose):
    assert asked(propose(("Bleat", 0.9), max_things=2)) == [("goat", 0.9), ("sheep", 0.9)]
    assert asked(propose(("Bleat", 0.9), max_things=9)) == [("goat", 0.9), ("sheep", 0.9)]
    proposal = propose(("Coo", 0.9), ("Owl", 0.5), max_things=3, top_k=2)
    assert asked(proposal) == [("pigeon", 0.9), ("dove", 0.9), ("bird", 0.9), ("owl", 0.5)]
    assert proposal.trail["visible"] == "Coo -> pigeon, dove, bird; Owl -> owl, bird"


def test_the_thing_is_found_in_the_picture(fakes, propose):
    sample = fakes.make_sample("dog", ("dog", "violin"))
    score_map = fakes.FakeSegmenter().segment([sample.image], [propose(("Bow-wow", 0.4)).queries])[0]
    assert np.array_equal(score_map > 0.5, sample.gt_mask)


def test_an_unknown_translation_and_no_things_are_refused(propose):
    with pytest.raises(UserError, match="classify.things must be one of auto, labels, audioset; found 'nouns'"):
        propose(things="nouns")
    for setting in ("max_things", "top_k"):
        with pytest.raises(UserError, match=f"classify.{setting} must be a whole number from 1 up; found 0"):
            propose(**{setting: 0})


def test_a_family_gives_way_to_its_most_probable_member(propose):
    tags = [("Animal", 0.7), ("Domestic animals, pets", 0.66), ("Bark", 0.5), ("Cat", 0.4)]
    proposal = propose(*tags)
    assert asked(proposal) == [("dog", 0.7)]  # what was heard is the family: below it, nothing is asked for
    assert proposal.trail["visible"] == "Bark -> dog"
    assert asked(propose(*tags, member_share=0.9)) == [("animal", 0.7)]
    assert asked(propose(*tags, top_k=2)) == [("dog", 0.7), ("cat", 0.4)]


def test_the_score_is_what_is_compared_with_the_least_probability(propose):
    """Also where a family gives way, and where what was most probable names nothing."""
    families = (("Wind", 0.9), ("Animal", 0.7), ("Bark", 0.5))
    unseen = (("Music", 0.6), ("Guitar", 0.4), ("Speech", 0.3))
    for tags, score in ((families, 0.7), (unseen, 0.4), ((("dog", 0.6), ("cat", 0.5)), 0.6), ((("dog", 0.0),), 0.0)):
        assert [number for _, number in asked(propose(*tags, min_probability=0.0))] == [score]
        assert asked(propose(*tags, min_probability=score))
        assert not asked(propose(*tags, min_probability=score + 0.01))


def test_a_family_keeps_its_word_against_strangers_and_members_that_show_nothing(propose):
    assert asked(propose(("Animal", 0.6), ("Speech", 0.55), ("Hiss", 0.5))) == [("animal", 0.6)]
    assert asked(propose(("Animal", 0.7), ("Bark", 0.5), things="labels")) == [("Animal", 0.7)]
