"""The things that a sentence on a sound names: "A dog is barking in a street" -> dog.

Its nouns are those of `utils.language.phrases`, less what no picture shows sounding: the places in which something is
heard, and the sounds themselves.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from utils.language import audioset, imagenet
from utils.language.phrases import DEFAULT_PARSER, nouns_said

# Where something is heard, as sentences on sounds end: no place is what sounds.
PLACES = {
    *("room", "bathroom", "bedroom", "classroom", "hall", "hallway", "kitchen", "office", "restaurant", "cafe"),
    *("bar", "shop", "store", "mall", "market", "church", "station", "airport", "house", "home", "building"),
    *("garage", "factory", "street", "road", "highway", "freeway", "track", "path", "sidewalk", "city", "town"),
    *("village", "park", "garden", "yard", "playground", "stadium", "arena", "farm", "barn", "field", "forest"),
    *("woods", "jungle", "beach", "shore", "coast", "harbor", "hill", "mountain", "area", "place", "space"),
    *("environment", "setting", "ground", "floor", "surface", "air", "sky", "outdoors", "indoors", "outside"),
    *("inside", "neighborhood"),
}


def things_heard(captioner: Any, sentence: str, parser: str = DEFAULT_PARSER) -> list[str]:
    """The things that a sentence on a sound says are heard, as `nouns_said` finds them, in its order, each once.

    Left out are PLACES, by the last word ("train station", not "garage door"), and what AudioSet has a label for and no
    phrase (`audioset.sound_phrase`): "rain", "footsteps", "water splash" (-> "water").
    """
    return list(dict.fromkeys(filter(None, map(_thing_of, nouns_said(captioner, sentence, parser)))))


def _thing_of(noun: str) -> str:
    words = noun.split()
    while words and audioset.sound_phrase(words[-1]) is None and not _labels().isdisjoint(*imagenet.forms(words[-1])):
        words.pop()
    return "" if not words or not PLACES.isdisjoint(*imagenet.forms(words[-1])) else " ".join(words)


@lru_cache(maxsize=1)
def _labels() -> frozenset[str]:
    return frozenset(name for label in audioset.labels() for name in label.lower().split(", "))
