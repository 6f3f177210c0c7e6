"""A tagger that says what it hears: the sentence of every label, when it says nothing, and that any tagger will do."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from models.audio_captioner.tags import VERBS, TagsCaptioner, sentence
from models.audio_tagger.audio_classification import AnyTagger, AudioClassifier
from models.audio_tagger.soundnet import SoundNetTagger
from models.roles import AudioCaptioner
from tests.checkpoints.pocket import BUNDLED, example
from tests.checkpoints.tiny_config import LABELS
from utils.language import audioset, imagenet
from utils.language.phrases import bare_nouns


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("Bark", "a dog is barking"),  # AudioSet's
        ("dog", "a dog is barking"),
        ("owl", "an owl is hooting"),
        ("violin", "a violin is being played"),
        ("Ukulele", "a ukulele is being played"),
        ("accordion", "an accordion is being played"),
        ("scissors", "scissors are snipping"),
        ("Fireworks", "fireworks are going off"),
        ("glass", "a glass is clinking"),
        ("bus", "a bus is passing"),
        ("Speech", "a person is speaking"),
        ("Laughter", "a person is laughing"),
        ("Walk, footsteps", "a person is walking"),
        ("Wind", "wind can be heard"),
        ("Rain", "rain can be heard"),
        ("Environmental noise", "environmental noise can be heard"),
        ("Jingle, tinkle", "jingle can be heard"),
        ("teapot", "a teapot is making a sound"),
    ],
)
def test_what_is_said_of_a_label(label, said):
    assert sentence(label) == said


class Tagger:
    """Hears a dog as surely as the waveform's first sample says, and a cat less surely."""

    def __init__(self):
        self.asked = []

    def tag(self, waveforms, sampling_rates, top_k=5):
        self.asked.append((len(waveforms), list(sampling_rates), top_k))
        return [[("Bark", float(w[0])), ("cat", float(w[0]) / 2)][:top_k] if len(w) else [] for w in waveforms]


def test_what_is_not_sure_enough_is_not_said():
    tagger = Tagger()
    captioner = TagsCaptioner({"tagger": tagger}, {}, min_probability=0.25)
    waveforms = [np.full(3, level, np.float32) for level in (0.9, 0.25, 0.24)] + [np.zeros(0, np.float32)]
    assert isinstance(captioner, AudioCaptioner)
    assert captioner.caption(waveforms, [8000] * 4) == ["a dog is barking", "a dog is barking", "", ""]
    assert TagsCaptioner({"tagger": tagger}, {}).caption(waveforms[2:], [8000] * 2) == ["a dog is barking", ""]
    assert tagger.asked == [(4, [8000] * 4, 1), (2, [8000] * 2, 1)]
    assert captioner.caption([], []) == []


def test_a_tagger_is_what_its_checkpoint_says(folders):
    assert AnyTagger.resolve(str(folders["audio_tagger"])) is AudioClassifier
    assert AnyTagger.resolve(weights=str(BUNDLED / "soundnet"), dtype="bfloat16") is SoundNetTagger


def test_any_tagger_will_do(folders, sounds):
    entry = {"weights": str(folders["audio_tagger"])}
    captioner = TagsCaptioner.from_pretrained(tagger=entry, min_probability=0.0)
    assert type(captioner.tagger) is AudioClassifier
    assert captioner.provenance["parts"]["tagger"]["id"] == entry["weights"]
    captions = captioner.caption(*sounds)
    best = [tags[0][0] for tags in captioner.tagger.tag(*sounds, top_k=1)]
    assert captions == [sentence(label) for label in best] and set(best) <= set(LABELS)
    assert TagsCaptioner.from_pretrained(tagger=entry, min_probability=1.0).caption(*sounds) == [""] * 6


def test_the_bundled_weights_say_that_a_dog_barks():
    captioner = TagsCaptioner.from_pretrained(tagger={"weights": str(BUNDLED / "soundnet")})
    _, waveform, rate = example("farm_dog")
    nothing = np.zeros(rate, np.float32)
    assert captioner.caption([waveform, nothing], [rate, rate]) == ["a dog is barking", ""]


def bundled_labels():
    return json.loads((BUNDLED / "soundnet" / "config.json").read_text(encoding="utf-8"))["labels"]


def test_every_label_is_a_sentence_of_something_known():
    labels = [*bundled_labels(), *audioset.labels()]
    for label in labels:
        said = sentence(label)
        things = audioset.things(label)
        if things == ():
            assert said.endswith(" can be heard"), label
            continue
        thing = things[0] if things else label
        assert imagenet.lookup(thing) is not None, label
        assert thing in said and said.split(" ")[0] in ("a", "an", thing.split(" ")[0]), label
        assert imagenet.lookup(said)[imagenet.lookup(thing) > 0].all(), said


def test_methods_read_the_thing_out_of_the_sentence_again():
    things = ("dog", "violin", "fire truck", "scissors", "owl", "sheep", "drum")
    assert [bare_nouns(sentence(thing)) for thing in things] == [[thing] for thing in things]


def test_verbs_are_of_known_things_once_each_in_order():
    with VERBS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    things = [row["thing"] for row in rows]
    assert things == sorted(set(things), key=str.lower) and all(row["verb"].strip() for row in rows)
    # Labels of AudioSet stand for themselves: people laugh, and do not speak, when laughter is heard.
    assert not [thing for thing in things if audioset.things(thing) is None and imagenet.lookup(thing) is None]
