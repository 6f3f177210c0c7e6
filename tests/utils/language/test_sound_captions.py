"""What a sentence on a sound says is heard: things, no places and no sounds."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils.language.sound_captions import things_heard

# In the manner of Clotho and AudioCaps, with what a person says is heard; the last 30 are younger than the rules.
with Path(__file__).with_name("sound_captions.csv").open(encoding="utf-8", newline="") as file:
    SENTENCES = [(row["sentence"], [*filter(None, row["things"].split(";"))]) for row in csv.DictReader(file)]


def test_of_sentences_on_sounds_most_are_read_exactly():
    right = [things_heard(None, sentence) == things for sentence, things in SENTENCES]
    assert (len(right), sum(right[:30]), sum(right[30:])) == (60, 26, 25)


@pytest.mark.parametrize(
    ("sentence", "things"),
    [
        ("A dog is barking in the distance while a man is speaking in a room", ["dog", "man"]),
        ("Rain is falling on a roof", ["roof"]),
        ("Footsteps and laughter in a long hallway", []),
        ("A loud bark and a splash of water", ["water"]),
        ("Horses are galloping on a dirt road", ["horses"]),
        ("A dog barks. A cat meows. The dog barks again.", ["dog", "cat"]),
        ("Music is playing", []),
        ("wind can be heard", []),
        ("", []),
    ],
)
def test_places_and_sounds_themselves_are_no_things_heard(sentence, things):
    assert things_heard(None, sentence) == things


def test_a_captioner_that_knows_its_nouns_is_believed():
    captioner = SimpleNamespace(nouns=lambda sentence: ["dog", "street", "dog", "applause"])
    assert things_heard(captioner, "whatever it says") == ["dog"]
