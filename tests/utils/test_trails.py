"""Trails: the same keys for every proposal, and the story they tell a person."""

from __future__ import annotations

from utils.trails import abstain, ask_for, candidates, caption, complete, describe_trail, silence
from utils.types import Proposal, Query

KEYS = ["heard", "seen", "candidates", "query", "reason"]


def test_candidates_are_best_first_and_equals_keep_their_order():
    assert candidates(["a", "b", "c"], [0.1, 0.51239, 0.1]) == [
        {"text": "b", "score": 0.5124},
        {"text": "a", "score": 0.1},
        {"text": "c", "score": 0.1},
    ]


def test_a_proposal_and_an_abstention_have_the_same_keys():
    asked = ask_for([Query("A photo of dog"), Query("A photo of cat")], heard="barking", seen="a dog", losses=[1.0])
    assert list(asked.trail) == [*KEYS, "losses"]
    assert asked.trail["query"] == "A photo of dog; A photo of cat" and asked.trail["reason"] is None
    for nothing in (abstain("no noun", heard="a sound"), silence("the sound is silent", seen="a dog")):
        assert list(nothing.trail) == KEYS
        assert nothing.queries == () and nothing.trail["query"] is None
    assert nothing.trail["reason"] == "the sound is silent"


def test_the_story_of_a_trail():
    trail = {
        "heard": "barking",
        "seen": "a dog and a sea lion",
        "candidates": candidates(["dog", "sea lion"], [0.5, -0.25]),
        "query": "A photo of dog",
        "reason": None,
        "losses": [0.5, 0.4, 0.3, 0.25],
        "near": [{"text": "fox", "score": 0.5}],
        "decoding": "words",
        "seconds": {"propose": 0.123, "segment": 1.0},
    }
    assert describe_trail(trail) == [
        ("heard", "barking"),
        ("seen", "a dog and a sea lion"),
        ("weighed", "dog        0.500  ============"),
        ("", "sea lion  -0.250"),
        ("asked", '"A photo of dog"'),
        ("losses", "0.500 -> 0.250 (4 values)"),
        ("near", "fox 0.500"),
        ("decoding", "words"),
        ("seconds", "propose 0.12, segment 1.00"),
    ]


def test_the_story_of_an_abstention():
    assert describe_trail(silence("the sound is silent").trail) == [
        ("heard", "nothing"),
        ("seen", "(does not look at the image)"),
        ("asked", "nothing: the sound is silent"),
    ]
    assert ("seen", "(an empty caption)") in describe_trail(abstain("no noun", heard="a sound", seen="").trail)


def test_what_queries_tell_completes_a_trail():
    asked = complete(Proposal([Query("cat", 0.25), Query("dog", 0.5)]), "no idea")
    assert asked.trail == {"candidates": candidates(["dog", "cat"], [0.5, 0.25]), "query": "cat; dog", "reason": None}
    nothing = complete(Proposal(trail={"losses": [1.0], "heard": "barking"}), "no idea")
    assert list(nothing.trail) == ["heard", "candidates", "query", "reason", "losses"]
    assert describe_trail(nothing.trail)[:2] == [("heard", "barking"), ("asked", "nothing: no idea")]
    for whole in (
        ask_for([Query("dog")], "barking"),
        silence("the sound is silent"),
        abstain("no noun", "a sound", ""),
    ):
        assert complete(whole, "no idea").trail == whole.trail


def test_no_story_has_a_line_for_what_is_not_there():
    assert describe_trail({}) == []
    assert [label for label, _ in describe_trail(complete(Proposal([Query("dog")]), "").trail)] == ["weighed", "asked"]


def test_a_caption_says_what_was_asked_or_why_nothing_was():
    asked, unasked = {"query": "a dog", "reason": None}, {"query": None, "reason": "the method makes its map itself"}
    assert [caption(asked, True), caption(asked, False)] == ["a dog", "a dog: nothing found"]
    assert caption(unasked, True) == "the method makes its map itself"
    assert caption(unasked, False) == "nothing asked for: the method makes its map itself"
    assert caption({}, False) == "nothing asked for"
