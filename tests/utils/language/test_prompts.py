"""Prompts have exactly one open place, and what was put there can be read back."""

from __future__ import annotations

import pytest

from utils.errors import UserError
from utils.language.prompts import check_prompt, fill, thing_of


def test_a_word_is_put_in_whatever_it_holds():
    assert fill(check_prompt("A photo of {}", "prompt"), "sea lion") == "A photo of sea lion"
    assert fill("{}", "{0} {x}") == "{0} {x}"


@pytest.mark.parametrize("prompt", ["", "a dog", "{} and {}", "{0}", 3])
def test_anything_else_is_refused(prompt):
    with pytest.raises(UserError, match=r'one "{}" for the word as the setting prompt'):
        check_prompt(prompt, "prompt")


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("A photo of dog", "dog"),
        ("a photo of a Guitar", "guitar"),
        ("The picture of the sea  lion.", "sea lion"),
        ("photograph of some birds", "birds"),
        ("an image of an electric guitar", "electric guitar"),
        ("dog", "dog"),
        ("a dog", "a dog"),
        ("A dog is barking.", "a dog is barking"),
        ("a man takes a photo of a dog", "a man takes a photo of a dog"),
        ("a photo of anchors", "anchors"),
        ("a photo of", "a photo of"),
        ("photo", "photo"),
        (" . ", ""),
        ("", ""),
    ],
)
def test_the_thing_a_query_is_about(text, thing):
    assert thing_of(text) == thing


def test_what_was_put_into_a_prompt_comes_out():
    for word in ("dog", "sea lion", "b-flat clarinet"):
        assert thing_of(fill("A photo of {}", word)) == word
