"""The table of how things are heard: whole, plain, and found by whatever a caption calls a thing."""

from __future__ import annotations

import csv
import re

import pytest

from utils.language import audioset, imagenet
from utils.language.audioset import sound_phrase
from utils.language.phrases import PEOPLE

ROWS = list(csv.DictReader(audioset.PHRASES.read_text(encoding="utf-8").splitlines()))
NOT_HEARD = {
    *("christmas tree", "flower pot", "glasses", "hot dog", "license plate", "stuffed animal"),
    *("stuffed bear", "teddy bear", "toy plane"),
}


def test_rows_are_sorted_and_unique_and_begin_with_their_thing():
    things = [row["thing"] for row in ROWS]
    assert list(ROWS[0]) == ["thing", "phrase"] and len(ROWS) >= 250
    assert things == sorted(set(things))
    for row in ROWS:
        thing, phrase = row["thing"], row["phrase"]
        assert re.fullmatch(r"[a-z]+(?:[ -][a-z]+){0,3}", thing), row
        assert re.fullmatch(r"[a-z]+(?:[ -][a-z]+){0,5}", phrase), row
        *front, last = imagenet.forms(" ".join(phrase.split()[: len(thing.split())]))
        assert thing in {" ".join([*(word[0] for word in front), form]) for form in last}, row


def test_a_phrase_says_what_is_done_to_be_heard():
    assert {row["thing"] for row in ROWS if row["phrase"] == row["thing"]} == NOT_HEARD
    for row in ROWS:
        done = row["phrase"].split()[len(row["thing"].split()) :]
        assert row["thing"] in NOT_HEARD or any(word.endswith("ing") for word in done), row
        assert len(done) <= 4, row


def test_what_makes_audiosets_sounds_and_people_are_there():
    first = {things[0] for things in map(audioset.things, audioset.labels()) if things}
    assert [thing for thing in first | PEOPLE if sound_phrase(thing) is None] == []
    assert first - {row["thing"] for row in ROWS} == set()
    assert PEOPLE - {row["thing"] for row in ROWS} == {"ladies", "babies"}  # found by their singulars


@pytest.mark.parametrize(
    ("noun", "phrase"),
    [
        ("dog", "dog barking"),
        ("dogs", "dog barking"),
        ("wolves", "wolf howling"),
        ("babies", "baby crying"),
        ("men", "men speaking"),
        ("man", "man speaking"),
        ("guitar", "guitar playing"),
        ("bird", "bird chirping"),
        ("train", "train passing by"),
        ("acoustic guitar", "acoustic guitar playing"),
        ("police car", "police car siren wailing"),
        ("school bus", "school bus engine idling"),  # as its head noun is
        ("fishing boats", "fishing boat motor running"),
        ("fans", "fans cheering"),
        ("fan", "fan whirring"),
        ("hot dogs", "hot dog"),  # does not bark
        ("sea lion", "sea lion barking"),  # nor roars
        ("mouse trap", None),
        ("table", None),
        ("", None),
    ],
)
def test_how_a_noun_is_heard(noun, phrase):
    assert sound_phrase(noun) == phrase
