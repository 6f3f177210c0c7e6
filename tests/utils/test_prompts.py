"""Prompts have exactly one open place."""

from __future__ import annotations

import pytest

from utils.errors import UserError
from utils.prompts import check_prompt, fill


def test_a_word_is_put_in_whatever_it_holds():
    assert fill(check_prompt("A photo of {}", "prompt"), "sea lion") == "A photo of sea lion"
    assert fill("{}", "{0} {x}") == "{0} {x}"


@pytest.mark.parametrize("prompt", ["", "a dog", "{} and {}", "{0}", 3])
def test_anything_else_is_refused(prompt):
    with pytest.raises(UserError, match=r'one "{}" for the word as the setting prompt'):
        check_prompt(prompt, "prompt")
