"""A list of words a user gives: in a setting, in a text file, or by the name of the one that is bundled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from utils.errors import UserError
from utils.language import audioset

__all__ = ["AUDIOSET", "read_vocabulary"]

AUDIOSET = "audioset"  # the name of a vocabulary, not of a file
REPOSITORY = Path(__file__).resolve().parents[2]


def read_vocabulary(words: str | os.PathLike | Sequence[str]) -> list[str]:
    """Reads a vocabulary.

    Args:
        words: the words themselves; "audioset", for every visible thing that makes one of AudioSet's sounds; or the
            path of a UTF-8 text file with one word on each line, where empty lines and lines that start with "#" are
            not words. A relative path is looked up from the current folder, then from the repository; a file of that
            name is "./audioset".

    Returns:
        The words, stripped, in the order given, each once.

    Raises:
        UserError: there is no such file, or no word.
    """
    if words == AUDIOSET:
        return list(audioset.vocabulary())
    if isinstance(words, str | os.PathLike):
        places = (Path(words), REPOSITORY / words)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise UserError(f"expected a vocabulary file, one word a line, at {words}, found nothing; check the path")
        lines = path.read_text(encoding="utf-8").splitlines()
        words = [line for line in lines if not line.lstrip().startswith("#")]
        source = str(path)
    else:
        source = "the list given"
    stripped = (str(word).strip() for word in words)
    vocabulary = list(dict.fromkeys(word for word in stripped if word))
    if not vocabulary:
        raise UserError(f"expected a vocabulary of at least one word, found none in {source}")
    return vocabulary
