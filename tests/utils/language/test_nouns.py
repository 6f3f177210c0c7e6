"""Bare nouns of captions: each kind of the stamps wherever a caption puts it, and captions of real photos."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.stamp_world.catalog import KINDS
from utils.errors import UserError
from utils.language.nouns import bare_nouns


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_a_kind_is_found_wherever_it_stands(kind):
    kind, a_kind = kind.noun, kind.phrase
    assert bare_nouns(a_kind) == [kind]
    assert bare_nouns(f"{a_kind} and a piano") == [kind, "piano"]
    assert bare_nouns(f"a piano and {a_kind}") == ["piano", kind]
    assert bare_nouns(f"a guitar, {a_kind} and a piano") == ["guitar", kind, "piano"]
    assert bare_nouns(f"{a_kind}, a guitar and a piano") == [kind, "guitar", "piano"]
    assert bare_nouns(f"a guitar, a piano and {a_kind}") == ["guitar", "piano", kind]


def test_any_two_kinds_do_not_disturb_each_other():
    kinds = [kind for kind in KINDS if kind.noun != "saw"]
    for first, second in zip(kinds, kinds[7:] + kinds[:7], strict=True):
        caption = f"{first.phrase}, {second.phrase} and a saw"
        assert bare_nouns(caption) == [first.noun, second.noun, "saw"], caption


@pytest.mark.parametrize(
    ("caption", "nouns"),
    [
        ("a dog, a sea lion and a drum kit", ["dog", "sea lion", "drum kit"]),
        ("a violin and a bird", ["violin", "bird"]),
        ("a saw and a drum", ["saw", "drum"]),
        ("A man is playing a guitar", ["man", "guitar"]),
        ("two dogs running in a field", ["dogs", "field"]),
        ("a close up of a red fire truck parked on the street", ["fire truck", "street"]),
        ("A man and a woman singing into a microphone.", ["man", "woman", "microphone"]),
        ("a black and white photo of a train", ["train"]),
        ("the small brown dog", ["dog"]),
        ("the man's dog", ["man", "dog"]),
        ("there is a dog that is barking at a train", ["dog", "train"]),
        ("a teddy bear", ["teddy bear"]),
        ("a man playing a snare drum", ["man", "snare drum"]),
        ("Guitar is being played", ["guitar"]),
        ("an orange, corn and a saw", ["orange", "corn", "saw"]),
        ("an orange fox and a big, brown bear", ["fox", "bear"]),
        ("dog and drum", ["dog", "drum"]),
        ("a dog and a dog and a cat", ["dog", "cat"]),
        ("a dog. A dog and a bird.", ["dog", "bird"]),
        # lists, as a model asked for one gives them
        ("a dog, an acoustic guitar, a man", ["dog", "guitar", "man"]),
        ("a person, a police car, a lawn mower, a cell phone", ["person", "police car", "lawn mower", "cell phone"]),
        # long descriptions speak of the picture, too
        ("The image shows a man playing a guitar in front of a crowd.", ["man", "guitar", "crowd"]),
        ("In this image we can see a dog. On the right side of the image there is a car.", ["dog", "car"]),
        ("In the center of the image we can see a lady. In the left corner there is a clock.", ["lady", "clock"]),
        ("In the foreground there are two dogs, and in the background we can see a piano", ["dogs", "piano"]),
        ("The images show a train. The overall mood of the picture is cheerful.", ["train"]),
        ("A photo of many objects and a variety of bells.", ["bells"]),
        ("a dog and a picture frame", ["dog", "picture frame"]),
    ],
)
def test_captions(caption, nouns):
    assert bare_nouns(caption) == nouns


@pytest.mark.parametrize("caption", ["", "   ", "it is very big", "running and barking loudly", "...", "a", "##/##"])
def test_no_noun_is_an_empty_list(caption):
    assert bare_nouns(caption) == []


def test_a_missing_spacy_pipeline_is_the_users_to_install():
    with pytest.raises(UserError, match=r"en_core_web_nowhere.*spacy download en_core_web_nowhere"):
        bare_nouns("a dog", parser="en_core_web_nowhere")


def test_spacy_keeps_the_compound_noun_of_each_chunk(monkeypatch):
    spacy = pytest.importorskip("spacy")
    tokens = spacy.tokens.Doc(
        spacy.blank("en").vocab,
        words=["a", "red", "fire", "truck", "and", "two", "dogs"],
        pos=["DET", "ADJ", "NOUN", "NOUN", "CCONJ", "NUM", "NOUN"],
        deps=["det", "amod", "compound", "ROOT", "cc", "nummod", "conj"],
        heads=[3, 3, 3, 3, 3, 6, 3],
    )
    monkeypatch.setattr("utils.language.nouns._spacy_pipeline", lambda name: lambda caption: tokens)
    assert bare_nouns("a red fire truck and two dogs", parser="en_core_web_sm") == ["fire truck", "dogs"]


def test_needs_no_corpus(tmp_path):
    code = "from utils.language.nouns import bare_nouns; print(bare_nouns('a dog, a sea lion and a drum kit'))"
    environment = {**os.environ, "NLTK_DATA": str(tmp_path), "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "['dog', 'sea lion', 'drum kit']", done.stderr
