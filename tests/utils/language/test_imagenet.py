"""The tables from words to ImageNet's classes: complete, in order, and everyday words mean their things."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from datasets.stamp_world.catalog import KINDS
from utils.language import audioset, imagenet

ROWS = list(csv.DictReader(imagenet.THINGS.read_text(encoding="utf-8").splitlines()))
WORDS = list(csv.DictReader(imagenet.WORDS.read_text(encoding="utf-8").splitlines()))
# The 1,000 WordNet identifiers of the challenge of 2012 in the standard order, one a line.
SYNSETS_SHA256 = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
# Canonical names that mean something else to a person, or nothing.
NAMES_MEANT_OTHERWISE = {"Cardigan", "amphibian", "brass", "plane", "rule", "ear"}


def classes(text: str) -> set[int]:
    weights = imagenet.lookup(text)
    return set() if weights is None else set(np.flatnonzero(weights).tolist())


def things(text: str) -> set[str]:
    return {imagenet.things()[index] for index in classes(text)}


def spanned(text: str) -> set[int]:
    bounds = (part.partition("-") for part in text.split())
    return {index for first, _, last in bounds for index in range(int(first), int(last or first) + 1)}


def test_every_class_is_there_once_in_the_standard_order():
    assert list(ROWS[0]) == ["index", "synset", "names", "thing", "broader"]
    assert [row["index"] for row in ROWS] == [str(index) for index in range(1000)]
    assert all(re.fullmatch(r"n\d{8}", row["synset"]) for row in ROWS)
    assert hashlib.sha256("\n".join(row["synset"] for row in ROWS).encode()).hexdigest() == SYNSETS_SHA256
    assert sorted(row["synset"] for row in ROWS) == [row["synset"] for row in ROWS]


def test_names_and_synsets_are_those_of_timm():
    info = pytest.importorskip("timm.data").ImageNetInfo()
    assert [row["synset"] for row in ROWS] == info.label_names()
    assert [", ".join(imagenet.synonyms(i)) for i in range(1000)] == [
        info.index_to_description(i, detailed=False) for i in range(1000)
    ]


@pytest.mark.parametrize(
    ("index", "name", "thing"),
    [
        (0, "tench", "fish"),
        (7, "cock", "rooster"),
        (8, "hen", "chicken"),
        (97, "drake", "duck"),
        (207, "golden retriever", "dog"),
        (281, "tabby", "cat"),
        (291, "lion", "lion"),
        (339, "sorrel", "horse"),
        (341, "hog", "pig"),
        (345, "ox", "cow"),
        (348, "ram", "sheep"),
        (402, "acoustic guitar", "guitar"),
        (466, "bullet train", "train"),
        (579, "grand piano", "piano"),
        (656, "minivan", "car"),
        (761, "remote control", "remote control"),
        (834, "suit", "suit"),
        (881, "upright", "piano"),
        (999, "toilet tissue", "toilet paper"),
    ],
)
def test_a_class_its_name_and_its_thing(index, name, thing):
    assert (imagenet.names()[index], imagenet.things()[index]) == (name, thing)
    assert imagenet.synonyms(index)[0] == name


def test_two_names_are_two_classes_each():
    names = imagenet.names()
    assert len(names) == len(imagenet.things()) == 1000
    assert {name: classes(name) for name in names if names.count(name) > 1} == {
        "crane": {134, 517},
        "maillot": {638, 639},
    }


def test_a_thing_is_a_lower_case_noun_and_broader_words_are_others():
    assert [thing for thing in imagenet.things() if not re.fullmatch(r"[a-z]+(?:[ -][a-z]+){0,2}", thing)] == []
    assert not any(thing.split()[0] in {"a", "an", "the"} for thing in imagenet.things())
    for row in ROWS:
        broader = list(filter(None, row["broader"].split(";")))
        assert ";".join(broader) == row["broader"] and row["thing"] not in broader
        assert len(set(broader)) == len(broader) and all(word == word.lower() for word in broader)


@pytest.mark.parametrize(
    ("word", "indices"),
    {
        "dog": "151-268",
        "wild dog": "273-275",
        "wolf": "269-271",
        "fox": "277-280",
        "cat": "281-285",
        "bird": "7-24 80-100 127-146",
        "songbird": "10-20",
        "owl": "24",
        "duck": "97-98",
        "chicken": "7-8",
        "parrot": "87-90",
        "snake": "52-68",
        "spider": "72-77",
        "insect": "300-326",
        "butterfly": "321-326",
        "frog": "30-32",
        "turtle": "33-37",
        "fish": "0-6 389-397",
        "shark": "2-4",
        "whale": "147-148",
        "bear": "294-297 388",
        "monkey": "370-382",
        "ape": "365-369",
        "elephant": "101 385-386",
        "sheep": "348-349",
        "cow": "345",
        "horse": "339",
        "animal": "0-397",
        "mammal": "101-106 147-299 330-388",
        "guitar": "402 546",
        "piano": "579 881",
        "string instrument": "402 420 486 546 594 889",
        "brass instrument": "513 566 875",
        "percussion instrument": "494 541 577 641 642 822",
        "bicycle": "444 671",
        "train": "466 547 565 705 820",
        "bus": "654 779 874",
        "airplane": "404 895 908",
        "emergency vehicle": "407 555 734",
        "clock": "409 530 892",
        "telephone": "487 528 707",
        "mushroom": "947 991-997",
        "bridge": "821 839 888",
    }.items(),
)
def test_a_word_means_exactly_these(word, indices):
    assert classes(word) == spanned(indices)
    assert imagenet.kind(word) == "exact"


def test_words_of_a_family_hold_their_members():
    """What is a guitar is a string instrument, what is that is a musical instrument, and so on."""
    chains = [
        "dog canine mammal animal",
        "cat feline mammal animal",
        "owl bird_of_prey bird animal",
        "goose waterfowl bird animal",
        "butterfly insect animal",
        "tarantula spider arachnid animal",
        "ape primate mammal animal",
        "horse hoofed_animal mammal animal",
        "guitar string_instrument musical_instrument",
        "trumpet brass_instrument wind_instrument musical_instrument",
        "saxophone woodwind wind_instrument musical_instrument",
        "piano keyboard_instrument musical_instrument",
        "drum percussion_instrument musical_instrument",
        "taxi car",
        "truck motor_vehicle vehicle",
        "sailboat boat watercraft vehicle",
        "rifle gun weapon",
        "lemon citrus fruit food",
        "rocking_chair chair seat furniture",
    ]
    for chain in chains:
        sets = [classes(word.replace("_", " ")) for word in chain.split()]
        assert all(inner and inner <= outer for inner, outer in pairwise(sets)), chain
    for one, other in [
        ("dog", "cat"),
        ("animal", "vehicle"),
        ("bird", "mammal"),
        ("fruit", "vegetable"),
        ("car", "bus"),
    ]:
        assert not classes(one) & classes(other)
    assert not classes("animal") & classes("musical instrument") and not classes("food") & classes("tool")


# text -> the things that must be among its classes / must not be / how it is known
@pytest.mark.parametrize(
    ("text", "inside", "outside", "kind"),
    [
        ("A photo of dog", "dog", "wolf;wild dog;cat", "exact"),
        ("a photo of a tabby cat.", "cat", "tiger", "exact"),
        ("The DOGS", "dog", "wolf", "exact"),
        ("barking dog", "dog", "", "exact"),
        ("a dog is barking", "dog", "", "exact"),
        ("puppies", "dog", "cat", "exact"),
        ("kittens", "cat", "dog", "exact"),
        ("a dog and a cat", "dog;cat", "horse", "exact"),
        ("cats, dogs", "dog;cat", "", "exact"),
        ("a man playing a guitar", "suit;guitar", "piano", "near"),
        ("acoustic guitar player", "guitar", "piano", "exact"),
        ("hot dog", "hot dog", "dog", "exact"),
        ("hot dogs", "hot dog", "dog", "exact"),
        ("toy car", "car", "teddy bear", "exact"),
        ("an orange cat", "cat", "orange", "exact"),
        ("glass bottle", "bottle", "glass", "exact"),
        ("fire truck", "fire truck", "torch", "exact"),
        ("firetruck", "fire truck", "torch", "exact"),
        ("sea lion", "sea lion", "lion", "exact"),
        ("polar bear", "bear", "panda", "exact"),
        ("teddy bear", "teddy bear", "bear", "exact"),
        ("a guinea pig", "guinea pig", "pig", "exact"),
        ("geese", "goose", "duck", "exact"),
        ("mice", "hamster;computer mouse", "cat", "near"),
        ("computer mouse", "computer mouse", "hamster", "exact"),
        ("wolves", "wolf", "dog", "exact"),
        ("foxes", "fox", "wolf", "exact"),
        ("butterflies", "butterfly", "fly", "exact"),
        ("flies", "fly", "airplane", "exact"),
        ("buses", "bus", "car", "exact"),
        ("knives", "cleaver", "wooden spoon", "near"),
        ("rooster", "rooster", "chicken", "exact"),
        ("hen", "chicken", "rooster", "exact"),
        ("goat", "goat", "cow", "near"),
        ("bull", "cow;bison", "horse", "near"),
        ("giraffe", "antelope", "dog;lion", "near"),
        ("deer", "antelope", "dog", "near"),
        ("donkey", "horse", "dog", "near"),
        ("dolphins", "orca;whale", "dog;goldfish", "near"),
        ("seagull", "albatross", "mammal;eagle", "near"),
        ("crow", "bird", "parrot", "near"),
        ("pigeon", "bird;partridge", "owl", "near"),
        ("moth", "butterfly", "bird", "near"),
        ("bumblebee", "bee", "bird", "near"),
        ("rubber duck", "bathtub", "goose", "near"),
        ("person", "jersey;suit;jeans;cardigan;tie;baseball player", "couch;chair;bed;dog;shoe", "near"),
        ("people", "jersey;suit", "couch;chair", "near"),
        ("woman", "gown;bikini", "tie;uniform", "near"),
        ("man", "suit;tie", "bra;gown", "near"),
        ("baby", "bib;diaper;bonnet", "crib;cradle;suit", "near"),
        ("children", "jersey;bib", "suit;tie", "near"),
        ("speech", "suit;sweatshirt", "loudspeaker", "near"),
        ("singer", "suit;gown", "couch", "near"),
        ("guitarist", "guitar;suit", "piano", "near"),
        ("drummer", "drum;jersey", "guitar", "near"),
        ("orchestra", "violin;cello;flute", "dog", "near"),
        ("piano", "piano", "organ;accordion", "exact"),
        ("violins", "violin", "cello;guitar", "exact"),
        ("clarinet", "oboe;flute", "trumpet", "near"),
        ("xylophone", "xylophone", "piano", "exact"),
        ("tuba", "french horn", "flute", "near"),
        ("horn", "french horn;trumpet", "flute", "near"),
        ("trumpet", "trumpet", "french horn", "exact"),
        ("harp", "harp", "harmonica", "exact"),
        ("brass", "trumpet;trombone", "plaque", "exact"),
        ("bagpipes", "oboe;accordion", "drum", "near"),
        ("drum kit", "drum", "piano", "near"),
        ("car", "car;taxi;wheel", "truck;bus", "exact"),
        ("helicopter", "airplane", "car", "near"),
        ("plane", "airplane", "hand plane", "exact"),
        ("motorcycle", "moped;scooter", "car", "near"),
        ("siren", "van;fire truck;ambulance", "bus", "near"),
        ("phones", "cell phone;telephone", "laptop", "exact"),
        ("door", "sliding door", "window", "near"),
        ("bell", "bell;bell tower", "drum", "exact"),
        ("sea", "beach", "shark", "exact"),
        ("fire", "torch;stove", "fire truck;fan", "near"),
        ("tree", "lake", "dog", "near"),
        ("house", "mobile home;roof", "birdhouse", "near"),
        ("keyboard", "computer keyboard;typewriter", "piano", "exact"),
        ("engine", "wheel;grille", "fire truck", "near"),
        ("remote control", "remote control", "television", "exact"),
        ("person_speaking", "suit", "", "near"),
        ("R.V.", "recreational vehicle", "car", "exact"),
        ("tree-frog", "frog", "", "exact"),
    ],
)
def test_what_a_text_stands_for(text, inside, outside, kind):
    found = things(text)
    assert set(filter(None, inside.split(";"))) <= found
    assert not set(filter(None, outside.split(";"))) & found
    assert imagenet.kind(text) == kind


@pytest.mark.parametrize(
    "text", ["", " ", "...", "justice", "Tuesday", "qwxz", "a photo of", "A sound of {}", "the", "grand", "drop", "and"]
)
def test_what_no_table_knows(text):
    assert imagenet.lookup(text) is None and imagenet.kind(text) is None


def test_weights_are_zero_or_one():
    weights = imagenet.lookup("dog")
    assert weights.shape == (1000,) and weights.dtype == np.float32
    assert weights.sum() == 118 and set(weights.tolist()) == {0.0, 1.0}
    weights[:] = 0  # the caller's own
    assert imagenet.lookup("dog").sum() == 118


def test_two_things_are_the_union_of_both():
    assert classes("a dog beside a fire truck") == classes("dog") | classes("fire truck")
    assert imagenet.kind("a dog near a giraffe") == "near"


def test_every_name_stands_for_its_class():
    otherwise = {name for index, name in enumerate(imagenet.names()) if index not in classes(name)}
    assert otherwise == NAMES_MEANT_OTHERWISE
    assert [row["index"] for row in ROWS if int(row["index"]) not in classes(row["thing"])] == []


def test_every_stamp_and_every_sound_of_audioset_is_known():
    assert [kind.noun for kind in KINDS if imagenet.kind(kind.noun) is None] == []
    assert [thing for thing in audioset.vocabulary() if imagenet.kind(thing) is None] == []
    assert sum(imagenet.kind(kind.noun) == "near" for kind in KINDS) == 29
    assert sum(imagenet.kind(thing) == "near" for thing in audioset.vocabulary()) == 144


def test_the_words_are_clean_and_none_says_what_is_known_without_it():
    words = [row["word"] for row in WORDS]
    assert len(set(words)) == len(words) == 1480
    assert [word for word in words if not re.fullmatch(r"[a-z]+(?: [a-z]+){0,3}", word)] == []
    assert {row["kind"] for row in WORDS} == {"exact", "near", "none"}
    assert all(bool(row["classes"]) == (row["kind"] != "none") for row in WORDS)
    base = {}
    for row in ROWS:
        for word in (row["thing"], *row["broader"].split(";")):
            base.setdefault(word, set()).add(int(row["index"]))
    assert [
        row["word"] for row in WORDS if row["kind"] == "exact" and base.get(row["word"]) == classes(row["word"])
    ] == []


def test_people_are_their_clothes_and_no_furniture():
    outside = classes("furniture") | classes("animal") | classes("musical instrument") | classes("vehicle")
    for word in ("person", "people", "man", "woman", "child", "baby", "singer", "choir", "crowd", "speech"):
        assert not classes(word) & outside, word
    assert classes("man") | classes("child") <= classes("person")


def test_the_vocabulary_is_every_word_once_and_known():
    vocabulary = imagenet.vocabulary()
    assert len(set(vocabulary)) == len(vocabulary) > 3000
    assert vocabulary[:5] == ("fish", "animal", "tench", "Tinca tinca", "goldfish")
    assert [word for word in vocabulary if imagenet.lookup(word) is None] == []
    assert {"giraffe", "person", "string instrument"} <= set(vocabulary) and "grand" not in vocabulary


def test_the_nearest_names_are_things_by_their_highest_class():
    weights = np.full(1000, 0.001, np.float32)
    weights[[340, 352, 353, 207]] = [1, 0.8, 0.7, 0.2]
    assert imagenet.nearest_words(weights, 3) == ["zebra", "antelope", "dog"]
    assert imagenet.nearest_words(np.zeros(1000), 3) == []
    assert imagenet.nearest_words(imagenet.lookup("dog"), 5) == ["dog"]


def test_the_tables_are_read_when_they_are_needed_and_once():
    code = (
        "import pathlib; read = []; open_ = pathlib.Path.open\n"
        "pathlib.Path.open = lambda self, *a, **k: read.append(self.name) or open_(self, *a, **k)\n"
        "from utils.language import imagenet; first = list(read)\n"
        "imagenet.names(), imagenet.lookup('dog'), imagenet.kind('cat'), imagenet.vocabulary(); print(first, read)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "[] ['imagenet_things.csv', 'imagenet_words.csv']", done.stderr
