"""Lists of things as one caption: "1. Dog\\n2. Acoustic guitar" becomes "a dog, an acoustic guitar"."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_WORDS = 5  # in a thing's name; anything longer is a sentence
NOTHING = {"", "none", "nothing", "n/a"}
BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d+[.)])\s*")
DETERMINER = re.compile(r"^(?:an?|the|one|two|three|four|five|some|several|many)\s+", re.IGNORECASE)


def as_caption(names: Iterable[str]) -> str:
    """Joins names of things into a caption.

    Args:
        names: such as "dog", "Acoustic guitar" or "the man", in any order, with repetitions.

    Returns:
        Each once, lower case, with the article that lets a noun parser tell a noun from a verb: "a saw, an owl"; "" for
        none.
    """
    bare = (DETERMINER.sub("", " ".join(name.lower().split())) for name in names)
    kept = dict.fromkeys(name for name in bare if name not in NOTHING)
    return ", ".join(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in kept)


def listed(answer: str) -> list[str] | None:
    """Takes a chat model's list apart.

    Args:
        answer: things separated by commas, semicolons, "and" before the last or new lines, with or without bullets,
            numbers and bold type.

    Returns:
        The names as they stand there; None where the answer is no list but a sentence.
    """
    lines = [line.strip() for line in answer.replace("**", "").splitlines()]
    lines = [BULLET.sub("", line) for line in lines if not line.endswith(":")]  # "Things that can make a sound:"
    items = [item for line in lines for item in re.split(r"[,;]|\band\b", line)]
    names = [BULLET.sub("", item).strip(" \t.:\"'`") for item in items]
    return None if any(len(name.split()) > MAX_WORDS for name in names) else [name for name in names if name]
