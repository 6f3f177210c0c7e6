"""Sentences with one open place for a word, such as "A photo of {}"."""

from __future__ import annotations

from utils.errors import UserError

__all__ = ["SLOT", "check_prompt", "fill"]

SLOT = "{}"


def check_prompt(prompt: str, setting: str) -> str:
    """Returns `prompt` unchanged.

    Args:
        prompt: a sentence with exactly one "{}".
        setting: the name of the setting it came from, for the message.

    Raises:
        UserError: there is no "{}" in it, or several.
    """
    if not isinstance(prompt, str) or prompt.count(SLOT) != 1:
        raise UserError(f'expected a sentence with one "{SLOT}" for the word as the setting {setting}, not {prompt!r}')
    return prompt


def fill(prompt: str, word: str) -> str:
    """Puts a word in the open place; braces in the word stay as they are."""
    return prompt.replace(SLOT, word)
