"""The words of a method: bare nouns from a caption, the prompts they are put into, and lists of words.

"a man is playing a red guitar" becomes ["man", "guitar"]; a prompt is a sentence with one open place, "A photo of {}".

The words of a caption are tagged by a maintained library: HanTa, whose English model comes in its package, or a spaCy
pipeline where the user has one. What is done here is to settle the few tags that HanTa, which learnt from books, gets
wrong in a caption ("rooster crows"), and to keep of each noun phrase its compound.

Conventions:
    caption: one or several English sentences.
    nouns: lower case, in the order of the caption, each once; articles, numbers and adjectives are dropped, compounds
        ("sea lion", "washing machine", "hot dog") and plurals ("dogs") are kept as they are, "a dog's face" is dog and
        face. What is said to be missing ("no dog", "without a helmet") and sounds themselves ("music") are left out.

Reference:
    arXiv 2506.06537 scores bare nouns ("man", "guitar"); its released code passes spaCy noun chunks, articles included.
    C. Wartena, "The Hanover Tagger", Hannover 2023. Its English tags are the British National Corpus's (C5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from utils.cli import TEXT, Range, several
from utils.errors import UserError
from utils.language import audioset, imagenet
from utils.types import Query

DEFAULT_PARSER = "hanta"
PARSER = Range(
    f'"{DEFAULT_PARSER}" or an installed spaCy pipeline (pip install spacy && python -m spacy download NAME)',
    lambda x: x in [DEFAULT_PARSER, *entry_points(group="spacy_models").names],
)
VOCABULARY = Range(
    "words, or the name of a file", lambda x: isinstance(x, (str, os.PathLike)) or several(TEXT).holds(x)
)
Token = tuple[str, str]  # word, universal part of speech: "NOUN", "VERB", "ADJ", ...
WORDS = re.compile(r"[^\W_]+(?:-[^\W_]+)*|'s?|[^\w\s]")
STUTTER = re.compile(r"\b(\w+)(?: \1\b)+")  # "a bald bald bald"
UNIVERSAL = {"NN": "NOUN", "NP": "NOUN", "UN": "NOUN", "V": "VERB", "AJ": "ADJ", "AV": "ADV", "CR": "NUM"}
UNIVERSAL |= dict.fromkeys(("AT", "DT", "DP"), "DET")
ABSENT = {"no", "not", "without", "neither", "nor"}
# Nouns about the picture, the places in it, the time, or how many there are: none of them is a thing that could sound.
NOT_THINGS = {
    *("close", "close-up", "photo", "photograph", "picture", "image", "video", "view", "scene", "mood", "atmosphere"),
    *("photos", "photographs", "pictures", "images", "videos", "views", "scenes", "show", "shows"),
    *("front", "back", "side", "sides", "top", "bottom", "middle", "center", "centre", "corner", "left", "right"),
    *("background", "foreground", "distance", "day", "daytime", "night", "nighttime", "time", "times", "pace"),
    *("interval", "intervals", "moment", "moments", "second", "seconds", "minute", "minutes", "beginning", "end"),
    *("group", "couple", "pair", "bunch", "lot", "number", "row", "set", "piece", "flock", "herd"),
    *("variety", "kind", "type", "object", "objects", "item", "items", "thing", "things"),
}
MADE_UP = ("araf", "arraf")  # BLIP's own "arafed" and "araffe"
SOUNDS = ("sound", "sounds", "noise", "noises", "music", "song", "songs", "audio", "voice", "voices", "melody", "tune")
PEOPLE = {
    *("man", "men", "woman", "women", "boy", "girl", "child", "children", "kid", "baby", "babies", "toddler", "people"),
    *("lady", "ladies", "guy", "gentleman", "teenager", "adult", "human", "crowd", "audience", "choir", "singer"),
    *("musician", "player", "performer", "guitarist", "drummer", "pianist", "violinist", "cellist", "saxophonist"),
    *("rapper", "speaker", "dancer", "worker", "officer", "policeman", "soldier", "rider", "cyclist"),
    *("chef", "teacher", "male", "female"),
}
SLOT = "{}"
AUDIOSET = "audioset"  # the name of a vocabulary, not of a file
REPOSITORY = Path(__file__).resolve().parents[2]
PICTURE = re.compile(r"(?:(?:an?|the)\s+)?(?:photo|photograph|picture|image)\s+of\s+(?:(?:an?|the|some)\s+)?(?=\S)")


def bare_nouns(caption: str, parser: str = DEFAULT_PARSER) -> list[str]:
    """Lists the things a caption names, see the module's conventions; [] where there is none.

    Args:
        caption: an English sentence, or "".
        parser: "hanta", or the name of an installed spaCy pipeline such as "en_core_web_sm".

    Raises:
        UserError: `parser` is a spaCy pipeline that is not installed.
    """
    caption = caption.lower().replace("\u2019", "'").replace("n't", " not")
    caption = STUTTER.sub(r"\1", " ".join(caption.split()))
    if not caption:
        return []
    if parser == DEFAULT_PARSER:
        tokens = _hanta_tokens(caption)
    else:
        tokens = [(token.text, token.pos_.replace("PROPN", "NOUN")) for token in _spacy_pipeline(parser)(caption)]
    # "images show" and "right side" are no more things than their words are; a "picture frame" is one.
    return list(dict.fromkeys(" ".join(run) for run in _runs(tokens) if not NOT_THINGS.issuperset(run)))


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


def _runs(tokens: Sequence[Token]) -> list[list[str]]:
    """The nouns of a caption that stand together, but for those that it says are missing."""
    runs: list[list[str]] = [[]]
    missing = False
    for i, (word, part) in enumerate(tokens):
        before = tokens[i - 1] if i else ("", "")
        if word in ABSENT:
            missing = True
        elif part not in {"NOUN", "ADJ", "ADV", "DET", "NUM"} and word not in {"or", "of"}:
            missing = missing and part == "VERB" and before[0] in ABSENT  # "not wearing a helmet or gloves"
        if part != "NOUN" or missing or not word[0].isalnum() or word.startswith(MADE_UP):
            runs.append([])
        else:
            runs[-1] += [before[0], word] if not runs[-1] and _makes_another(before, word) else [word]
    for run in runs:
        while run and run[-1] in SOUNDS:  # "bird song" is the bird's; a "music stand" is one
            run.pop()
    return runs


def _makes_another(before: Token, noun: str) -> bool:
    """Whether the word before it makes another thing of a noun, by ImageNet's names: "hot dog", not "red dog"."""
    name = f"{before[0]} {noun}"
    if before[1] not in {"ADJ", "VERB"} or name not in imagenet.vocabulary():
        return False
    thing = imagenet.lookup(noun)
    return before[0].endswith("ing") or thing is None or not (imagenet.lookup(name) * thing).any()


def _hanta_tokens(caption: str) -> list[Token]:
    """The words of a caption with HanTa's tags, a few of them settled by those beside them."""
    words = [word[:40] for word in WORDS.findall(caption)]  # the time for a word grows with the cube of its length
    tags = _hanta().tag_sent(words, taglevel=0)
    tokens: list[Token] = []
    for i, (word, tag) in enumerate(zip(words, tags, strict=True)):
        part = UNIVERSAL.get(tag[: 1 if tag[0] == "V" else 2], tag)
        before, part_before = tokens[-1] if tokens else ("", "")
        after = next((other[:2] for other in tags[i + 1 :] if other != "CJC"), "")  # over an "and"
        usual = [other for other, _ in _hanta().tag_word(word)]  # the most frequent first
        is_known, behind_noun, ing = imagenet.lookup(word) is not None, part_before == "NOUN", word.endswith("ing")
        agrees = tags[i - 1] == "NN0" or (tags[i - 1] == "NN2") != word.endswith("s")
        opening = next((other for other, part in reversed(tokens) if part not in {"NOUN", "ADJ"}), "")
        if (
            part == "NOUN"
            and (
                (ing and word in _sounds())  # "a barking dog"
                or (usual[:1] == ["VVG"] and after == "NN")  # "a ringing phone", not "a sewing machine"
                or (behind_noun and "VVG" in usual and not is_known)  # "a man sewing", not "a brick building"
                or (behind_noun and agrees and word in _sounds())  # "dogs bark", "the dog barks"
                or (
                    behind_noun and tag == "NN2" and opening in {"a", "an", "another", "every", "each"}
                )  # "a bell tolls"
            )
        ):
            part = "VERB"
        elif (
            (tag == "VVZ" and part_before == "VERB" and before.endswith("ing"))  # "eating leaves"
            or (part == "ADJ" and not ing and usual[:1] == ["NN1"] and after == "NN")  # "a light pole"
            or (part in {"ADJ", "VERB"} and part_before in {"ADJ", "DET"} and is_known and after not in {"NN", "AJ"})
        ):  # the last: "a small ferret", "a safe and a dog", not "a black and white dog"
            part = "NOUN"
        tokens.append((word, part))
    return tokens


@lru_cache(maxsize=1)
def _sounds() -> frozenset[str]:
    """What is done to be heard, "barks" or "typing": one-word labels of AudioSet whose things are called otherwise."""
    labels = ((name.lower(), audioset.things(label)) for label in audioset.labels() for name in label.split(", "))
    done = {name.removesuffix("ing") for name, things in labels if things and name not in " ".join(things)}
    return frozenset(form for name in done for form in (name, f"{name}s", f"{name}ing", f"{name.removesuffix('y')}ies"))


@lru_cache(maxsize=1)
def _hanta() -> Any:
    from HanTa.HanoverTagger import HanoverTagger  # its model takes a moment: not before a caption is read

    return HanoverTagger("morphmodel_en.pgz")


@lru_cache(maxsize=2)
def _spacy_pipeline(name: str) -> Any:
    try:
        import spacy

        return spacy.load(name)
    except (ImportError, OSError) as error:
        raise UserError(f"expected {PARSER.words} as the noun parser, found {name!r}") from error


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


def sound_sentence(prompt: str, *nouns: str) -> str:
    """What nouns are encoded as when they are compared with a sound, "{sound}" being how each is heard."""
    heard = " and ".join(audioset.sound_phrase(noun) or noun for noun in nouns)
    return fill(prompt, " and ".join(nouns)).replace("{sound}", heard)


def asking(prompt: str, noun: str, score: float = 1.0) -> Query:
    """The query for a noun; one for people is tried as "person" where a segmenter finds nothing by their own word."""
    is_person = not PEOPLE.isdisjoint({noun.split()[-1], noun.removesuffix("s").split()[-1]})
    return Query(fill(prompt, noun), score=score, wider=fill(prompt, "person") if is_person else None)


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
