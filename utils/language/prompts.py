"""Sentences with one open place for a word, such as "A photo of {}", and the way back from the sentence to the word."""

from __future__ import annotations

import re

from utils.errors import UserError

__all__ = ["SLOT", "check_prompt", "fill", "thing_of"]

SLOT = "{}"
PICTURE = re.compile(r"(?:(?:an?|the)\s+)?(?:photo|photograph|picture|image)\s+of\s+(?:(?:an?|the|some)\s+)?(?=\S)")


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


def thing_of(text: str) -> str:
    """What a query is about, as detectors that match phrases were taught to be asked: "A photo of a dog." -> "dog".

    CLIP knows captions and is asked for "A photo of dog"; a phrase detector would look for photos too. A sentence that
    is not of this form stays: "A dog is barking" -> "a dog is barking".

    Args:
        text: of a query, English.

    Returns:
        Lower case, single spaces, without the words for a picture in front and the article behind them, and without a
        full stop at the end; "" for nothing.
    """
    text = " ".join(text.lower().split()).rstrip(" .")
    return PICTURE.sub("", text, count=1) if PICTURE.match(text) else text
