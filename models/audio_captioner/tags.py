"""An audio tagger as a captioner: what it heard, said in a plain sentence."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from models.audio_tagger.audio_classification import AnyTagger
from models.network import Composite, Pretrained
from utils.cli import SHARE
from utils.language import audioset, imagenet
from utils.language.phrases import is_plural, with_article

VERBS = Path(__file__).with_name("verbs.csv")
UNCOUNTED = {"water", "fire", "lightning"}
INSTRUMENT = "musical instrument"  # is played


class TagsCaptioner(Composite):
    """What any tagger hears, as a sentence: "a dog is barking", "a guitar is being played".

    A label of AudioSet is translated to what makes the sound (`utils.language.audioset`); one that nothing visible
    makes is said as it is: "wind can be heard". Where the tagger is sure of nothing, nothing is said.

    Args (settings):
        min_probability: in [0, 1], of a label that is put into words.
    """

    family = "tags"
    parts: ClassVar[Mapping[str, type[Pretrained]]] = {"tagger": AnyTagger}

    def __init__(
        self,
        networks: Mapping[str, Any],
        provenance: dict[str, Any],
        *,
        min_probability: Annotated[float, SHARE] = 0.05,
    ) -> None:
        super().__init__(networks, provenance)
        self.tagger = networks["tagger"]
        self.min_probability = min_probability

    def caption(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> list[str]:
        """See `models.roles.AudioCaptioner`."""
        captions = []
        for tags in self.tagger.tag(waveforms, sampling_rates, top_k=1):
            is_sure = bool(tags) and tags[0][1] >= self.min_probability
            captions.append(sentence(tags[0][0]) if is_sure else "")
        return captions


def sentence(label: str) -> str:
    """What a label says is heard: "Bark" -> "a dog is barking", "violin" -> "a violin is being played"."""
    things = audioset.things(label)
    if things is None:
        things = (label,)
    if not things:
        return f"{label.split(',')[0].lower()} can be heard"
    thing = things[0]
    who = thing if thing in UNCOUNTED else with_article(thing)
    return f"{who} {'are' if is_plural(thing) else 'is'} {_verb(label, thing)}"


def _verb(label: str, thing: str) -> str:
    known = _verbs().get(label) or _verbs().get(thing)
    if known:
        return known
    classes, instruments = imagenet.lookup(thing), imagenet.lookup(INSTRUMENT)
    is_instrument = classes is not None and not (classes > instruments).any()
    return "being played" if is_instrument else "making a sound"


@lru_cache(maxsize=1)
def _verbs() -> dict[str, str]:
    with VERBS.open(encoding="utf-8", newline="") as file:
        return {row["thing"]: row["verb"] for row in csv.DictReader(file)}
