"""What can be seen of a sound: for each of AudioSet's 527 labels, the visible things that make it.

A tagger says "Bark" or "Vehicle horn, car horn, honking"; a segmenter wants "dog" or "car". `audioset_things.csv` has a
row for each label, in the official order: index, mid, label, its things in order of preference between semicolons, and
the index of its last member. The first thing is what is asked for; the further ones are other likely makers, or a wider
word that any segmenter knows.

Conventions:
    a thing: a lower-case noun, singular where there is one, that fits "A photo of {}" and has an outline. A word with
        another common meaning is made plain: "cricket insect", "computer keyboard", "pipe organ".
    nothing: a label names a thing only where a competent viewer would look for just that thing in the picture. What has
        no outline (wind, rain) names nothing, nor do signals and noises, rooms and the outdoors, the genres, moods and
        uses of music (any instrument, or none in view), and sounds called after how they sound (bang, hiss, beep)
        unless one maker outweighs all others (knock: door; crackle: fire). The maker's own label stands beside these.
    voice and body: the whole person, or the man, woman, child or baby that the label says; the hand where hands sound;
        a crowd where many do. Music that is voices by definition is a person too.
    parts: the sound of a vehicle's horn, brake, tire or engine is the vehicle's, then the part's. Bells are things by
        themselves, as are devices that only shape a sound. A technique is its instrument.
    members: the official order puts the members of a label ("Dog" of "Animal", "Bark" of "Dog") right behind it.
    families: the family's own word comes first where members differ ("animal", "brass instrument"), a member where it
        outweighs the others ("guitar" among plucked strings).

The other way round, `sound_phrases.csv` says how these things, and others that captions often name, are heard: thing,
phrase ("dog", "dog barking").

    phrase: begins with the thing, singular or plural, and says what it most often does to be heard, in the manner of
        labels and of sentences on sounds. One that is the thing itself belongs to a thing that is not heard, though its
        last word names one that is: "hot dog", "glasses".

Reference:
    Gemmeke et al., "Audio Set: an ontology and human-labeled dataset for audio events", ICASSP 2017. Index, mid and
    label are those of the data set's class_labels_indices.csv (CC BY 4.0). The ontology behind it is CC BY-SA 4.0;
    nothing of its text is here. The things and phrases are this project's own.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from utils.language import imagenet

TABLE = Path(__file__).with_name("audioset_things.csv")
PHRASES = Path(__file__).with_name("sound_phrases.csv")


def things(label: str) -> tuple[str, ...] | None:
    """The visible things that make a sound, the best first; () where there are none; None for no label of AudioSet's.

    Args:
        label: an AudioSet display name, letter for letter: "Dog" is one, "dog" is not.
    """
    row = _table().get(label)
    return None if row is None else tuple(filter(None, row["things"].split(";")))


def members(label: str) -> tuple[str, ...]:
    """The narrower labels of a family, at any depth and in the official order: "Dog" and "Bark" of "Animal".

    () for a label without members and for one that is not AudioSet's.
    """
    row = _table().get(label)
    if row is None or not row["last_member"]:
        return ()
    return labels()[int(row["index"]) + 1 : int(row["last_member"]) + 1]


def labels() -> tuple[str, ...]:
    """Returns the 527 labels in the official order."""
    return tuple(_table())


def vocabulary() -> tuple[str, ...]:
    """Returns every thing of the table once, in the table's order."""
    return tuple(dict.fromkeys(thing for label in labels() for thing in things(label) or ()))


def sound_phrase(noun: str) -> str | None:
    """Says how a thing is heard; None where the table has neither the noun nor what it ends in.

    Args:
        noun: lower case, such as `utils.language.phrases.bare_nouns` finds: "dog", "dogs" (both "dog barking") or
            "school bus", which is heard as a bus is ("school bus engine idling").
    """
    words = imagenet.forms(noun)
    for start in range(len(words)):
        *front, last = words[start:]
        for form in last:
            phrase = _phrases().get(" ".join([*(word[0] for word in front), form]))
            if phrase is not None:
                return " ".join([*(word[0] for word in words[:start]), phrase])
    return None


@lru_cache(maxsize=1)
def _phrases() -> dict[str, str]:
    with PHRASES.open(encoding="utf-8", newline="") as file:
        return {row["thing"]: row["phrase"] for row in csv.DictReader(file)}


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["label"]: row for row in csv.DictReader(file)}
