"""The words of a method: bare nouns from a caption, the prompts they are put into, and lists of words.

"a man is playing a red guitar" becomes ["man", "guitar"]; a prompt is a sentence with one open place, "A photo of {}".

The words of a caption are tagged and chunked by a maintained library: textblob's bundled English chunker, which needs
no corpus and no network, or a spaCy pipeline where the user has one. What is done here is only to settle tags that
textblob, which looks at each word alone, gets wrong beside an article, and to keep of each noun phrase its compound.

Conventions:
    caption: one or several English sentences.
    nouns: lower case, in the order of the caption, each once; articles, numbers, adjectives and possessives are
        dropped, compounds ("sea lion", "fire truck") and plurals ("dogs") are kept as they are.

Reference:
    arXiv 2506.06537 scores bare nouns ("man", "guitar"); its released code passes spaCy noun chunks, articles included.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.language import audioset

DEFAULT_PARSER = "textblob"
NOUN_TAGS = {"NN", "NNS", "NNP", "NNPS"}
MODIFIED_TAGS = ("JJ", "NN", "CD", "RB", "VBG", "VBN")  # what an adjective can stand before in a noun phrase
# Nouns about the picture, the places in it, or how many there are: none of them is a thing that could sound.
NOT_THINGS = {
    *("close", "close-up", "photo", "photograph", "picture", "image", "view", "scene", "show", "mood", "atmosphere"),
    *("photos", "photographs", "pictures", "images", "views", "scenes", "shows"),
    *("front", "back", "side", "sides", "top", "bottom", "middle", "center", "centre", "corner", "left", "right"),
    *("background", "foreground"),
    *("group", "couple", "pair", "bunch", "lot", "number", "row", "variety", "kind", "type"),
    *("object", "objects", "item", "items", "thing", "things"),
}
SLOT = "{}"
AUDIOSET = "audioset"  # the name of a vocabulary, not of a file
REPOSITORY = Path(__file__).resolve().parents[2]
PICTURE = re.compile(r"(?:(?:an?|the)\s+)?(?:photo|photograph|picture|image)\s+of\s+(?:(?:an?|the|some)\s+)?(?=\S)")


def bare_nouns(caption: str, parser: str = DEFAULT_PARSER) -> list[str]:
    """Lists the things a caption names, see the module's conventions; [] where there is none.

    Args:
        caption: an English sentence, or "".
        parser: "textblob", or the name of an installed spaCy pipeline such as "en_core_web_sm".

    Raises:
        UserError: `parser` is a spaCy pipeline that is not installed.
    """
    caption = " ".join(caption.lower().split())
    if not caption:
        return []
    runs = _textblob_nouns(caption) if parser == DEFAULT_PARSER else _spacy_nouns(caption, parser)
    # "images show" and "right side" are no more things than their words are; a "picture frame" is one.
    return list(dict.fromkeys(" ".join(run) for run in runs if not NOT_THINGS.issuperset(run)))


def is_plural(noun: str) -> bool:
    """Whether a noun is spoken of as several, as scissors are."""
    return noun.endswith("s") and not noun.endswith(("ss", "us", "is"))


def with_article(noun: str) -> str:
    """ "a dog", "an owl", "a unicycle", "an hourglass", "scissors"."""
    if is_plural(noun):
        return noun
    vowel = noun.startswith(("a", "e", "i", "o", "u", "hour")) and not noun.startswith(("uni", "uk"))
    return f"{'an' if vowel else 'a'} {noun}"


def nouns_said(captioner: Any, caption: str, parser: str = DEFAULT_PARSER) -> list[str]:
    """The things that a captioner named in a caption of its own, in its order, each once.

    One that has `nouns` (see `models.roles.ImageCaptioner`) knows them better than `bare_nouns` would.
    """
    own = getattr(captioner, "nouns", None)
    return bare_nouns(caption, parser) if own is None else list(dict.fromkeys(own(caption)))


def _textblob_nouns(caption: str) -> list[list[str]]:
    runs: list[list[str]] = [[]]
    for sentence in _textblob_parser().parse(caption).split():
        for word, tag, chunk, *_ in sentence:
            if tag not in NOUN_TAGS or chunk.startswith("B-"):
                runs.append([])
            if tag in NOUN_TAGS:
                runs[-1].append(word)
        runs.append([])
    return [run for run in runs if run]


@lru_cache(maxsize=1)
def _textblob_parser() -> Any:
    from textblob.en import Parser, lexicon  # a second to import: not before a caption is parsed

    class CaptionParser(Parser):
        """textblob's parser with tags settled by their neighbours before phrases are chunked."""

        def find_tags(self, tokens: Sequence[str], **kwargs: Any) -> list[list[str]]:
            return _settle_tags(super().find_tags(tokens, **kwargs))

    return CaptionParser(lexicon=lexicon, language="en")


def _settle_tags(tagged: Sequence[Sequence[str]]) -> list[list[str]]:
    """Turns verbs and adjectives into nouns where only a noun can stand: "a saw", "with drum", "a cymbal and a dog"."""
    settled = [list(token) for token in tagged]
    for i, token in enumerate(settled):
        before = settled[i - 1][1] if i else ""
        if _is_noun(token[1], before, [*(other[1] for other in settled[i + 1 : i + 4]), "", "", ""]):
            token[1] = "NN"
    return settled


def _is_noun(tag: str, before: str, following: Sequence[str]) -> bool:
    """Whether a word tagged `tag` is a noun, by the tags of the word before it and of those after it ("" for none)."""
    after, second, third, *_ = following
    if tag in {"VB", "VBP", "VBD"} and before in {"DT", "PRP$"}:
        return True  # an article comes before no finite verb: "a saw", "the drum set"
    if tag in {"VB", "VBP"} and before in {"IN", "CD", "JJ"}:
        return True  # "with drum", "a big bear"
    if tag in {"VB", "VBP"} and before in {"NN", "CC", ",", ""}:
        return after in {"", ".", ",", "CC", "VBZ", "VBG"}  # "a snare drum", "dog and drum"
    if tag == "JJ" and before in {"DT", "PRP$"}:
        if after not in {"CC", ","}:
            return not after.startswith(MODIFIED_TAGS)  # "a cymbal on a stand", not "a loud cymbal"
        if second.startswith("NN"):
            return not third.startswith("NN")  # "an orange, corn and a saw", not "a black and tan dog"
        return not second.startswith((*MODIFIED_TAGS, "CC"))  # "a cymbal and a dog", not "a black and white dog"
    return False


def _spacy_nouns(caption: str, pipeline: str) -> list[list[str]]:
    runs = []
    for chunk in _spacy_pipeline(pipeline)(caption).noun_chunks:
        up_to_root = reversed([token for token in chunk if token.i <= chunk.root.i])
        compound = takewhile(lambda token: token.pos_ in {"NOUN", "PROPN"}, up_to_root)
        runs.append([token.text for token in compound][::-1])
    return [run for run in runs if run]


@lru_cache(maxsize=2)
def _spacy_pipeline(name: str) -> Any:
    try:
        import spacy

        return spacy.load(name)
    except (ImportError, OSError) as error:
        raise UserError(
            f'expected "{DEFAULT_PARSER}" or an installed spaCy pipeline as the noun parser, found "{name}"; '
            f"install it with: pip install spacy && python -m spacy download {name}"
        ) from error


def check_prompt(prompt: str, setting: str) -> str:
    """Returns a prompt unchanged; `setting` is where it came from.

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
    is not of this form stays, but for upper case, further spaces and the full stop: "A dog is barking" -> "a dog is
    barking". "" for nothing.
    """
    text = " ".join(text.lower().split()).rstrip(" .")
    return PICTURE.sub("", text, count=1) if PICTURE.match(text) else text


def read_vocabulary(words: str | os.PathLike | Sequence[str]) -> list[str]:
    """Reads a vocabulary: its words, stripped, in the order given, each once.

    Args:
        words: the words themselves; "audioset", for every visible thing that makes one of AudioSet's sounds; or the
            path of a UTF-8 text file with one word on each line, where empty lines and lines that start with "#" are
            not words. A relative path is looked up from the current folder, then from the repository; a file of that
            name is "./audioset".

    Raises:
        UserError: there is no such file, or no word.
    """
    if words == AUDIOSET:
        return list(audioset.vocabulary())
    source = "the list given"
    if isinstance(words, str | os.PathLike):
        source = path = next((place for place in (Path(words), REPOSITORY / words) if place.is_file()), None)
        if path is None:
            raise UserError(f"expected a vocabulary file, one word a line, at {words}, found nothing; check the path")
        words = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    vocabulary = list(dict.fromkeys(filter(None, (str(word).strip() for word in words))))
    if not vocabulary:
        raise UserError(f"expected a vocabulary of at least one word, found none in {source}")
    return vocabulary
