"""A classifier that says what is in view: the sentence, what is named and from when on, clothes that are a person."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.image_captioner.classifier import WEARERS, ClassifierCaptioner, sentence
from models.pocket.image_classifier import Seen
from models.roles import ImageCaptioner
from tests.checkpoints.pocket import BUNDLED, example, save_image_classifier
from tests.models.captioners import assert_repeatable
from utils.errors import NotFinite, UserError
from utils.language import imagenet
from utils.language.phrases import bare_nouns, nouns_said

IMAGE = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_image_classifier(tmp_path_factory.mktemp("classifier") / "random")


@pytest.fixture(scope="module")
def loaded_once(folder):
    return ClassifierCaptioner.from_pretrained(classifier={"weights": str(folder)}, scales=[64], min_share=0.004)


@pytest.fixture
def captioner(loaded_once, monkeypatch):
    """Knows nothing; `sees(shares)` makes it see that much of each thing."""

    def sees(**shares):
        row = np.zeros(len(loaded_once.things), np.float32)
        for thing, share in shares.items():
            row[loaded_once.things.index(thing.replace("_", " "))] = share
        monkeypatch.setattr(loaded_once, "shares", lambda image: row)
        monkeypatch.setattr(loaded_once, "min_share", 0.25)
        return loaded_once.caption([IMAGE])[0]

    loaded_once.sees = sees
    return loaded_once


@pytest.mark.parametrize(
    ("things", "said"),
    [
        ([], ""),
        (["dog"], "a photo of a dog"),
        (["owl"], "a photo of an owl"),
        (["unicycle"], "a photo of a unicycle"),
        (["scissors"], "a photo of scissors"),
        (["glass", "bus"], "a photo of a glass and a bus"),
        (["swimming trunks", "mantis"], "a photo of swimming trunks and a mantis"),
        (["cat", "remote control"], "a photo of a cat and a remote control"),
        (["dog", "owl", "sunglasses"], "a photo of a dog, an owl and sunglasses"),
    ],
)
def test_what_is_said_of_things(things, said):
    assert sentence(things) == said


def test_methods_read_the_things_out_of_the_sentence_again():
    things = ["dog", "fire truck", "owl", "drum", "computer keyboard", "scissors"]
    assert bare_nouns(sentence(things)) == things


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"dog": 0.3, "cat": 0.26}, "a photo of a dog and a cat"),
        ({"cat": 0.26, "dog": 0.3, "owl": 0.9}, "a photo of an owl, a dog and a cat"),  # the surest first
        ({"dog": 0.3, "cat": 0.24}, "a photo of a dog"),
        ({"dog": 0.13, "cat": 0.12}, "a photo of a dog"),  # the surest may be half as sure
        ({"dog": 0.12}, ""),
        (
            {"dog": 0.9, "cat": 0.8, "owl": 0.7, "frog": 0.6, "car": 0.5, "drum": 0.4, "harp": 0.3},
            "a photo of a dog, a cat, an owl, a frog, a car and a drum",  # six at most
        ),
    ],
)
def test_thresholds_order_and_number(captioner, shares, said):
    assert captioner.sees(**shares) == said


def shares_of(captioner):
    """Of each thing, in IMAGE."""
    return captioner.shares([captioner.classifier.encode_images([IMAGE], scale)[0] for scale in captioner.scales])


def looking(captioner, monkeypatch, *places):
    """Shares by thing where each place is surely of one class, given by its index."""
    logits = torch.full((1000, 1, len(places)), -30.0)
    logits[list(places), 0, list(range(len(places)))] = 30
    monkeypatch.setattr(captioner.classifier, "encode_images", lambda images, long_side: [Seen((), logits)])
    return dict(zip(captioner.things, shares_of(captioner), strict=True))


def test_a_small_thing_counts_by_its_strongest_place(loaded_once, monkeypatch):
    terrier, retriever, tabby = (imagenet.names().index(name) for name in ("toy terrier", "golden retriever", "tabby"))
    shares = looking(loaded_once, monkeypatch, tabby, terrier, retriever, terrier)
    assert shares["cat"] == pytest.approx(0.5 + 0.5 / 4)
    assert shares["dog"] == pytest.approx(0.5 + 0.5 * 3 / 4)  # breeds add up
    assert sum(shares.values()) == pytest.approx(1.5)


def test_clothes_are_a_person(loaded_once, monkeypatch):
    worn = np.flatnonzero(imagenet.lookup(WEARERS))
    assert len(worn) > 10 and {"suit", "jersey"} <= {name for i in worn for name in imagenet.synonyms(i)}
    shares = looking(loaded_once, monkeypatch, *worn[:4])
    assert shares["person"] == pytest.approx(1)
    assert loaded_once.caption([IMAGE]) == ["a photo of a person"]
    assert len(set(loaded_once.things)) == len(loaded_once.things) and "suit" not in loaded_once.things


def test_where_a_classifier_knows_nothing_many_classes_are_not_much(loaded_once, monkeypatch):
    monkeypatch.setattr(loaded_once.classifier, "encode_images", lambda *_: [Seen((), torch.zeros(1000, 2, 2))])
    shares = dict(zip(loaded_once.things, shares_of(loaded_once), strict=True))
    counts = {thing: imagenet.things().count(thing) for thing in ("dog", "cat", "teapot")}
    for thing in ("dog", "cat"):
        assert shares[thing] / shares["teapot"] == pytest.approx(np.sqrt(counts[thing] / counts["teapot"]), rel=1e-4)
    assert counts["dog"] > 100 and shares["dog"] < 0.05 and sum(shares.values()) == pytest.approx(1, abs=1e-4)


def test_places_are_the_mean_of_the_scales(loaded_once, monkeypatch):
    """One scale sees a dog everywhere, the other a cat on the right."""
    dog, cat = imagenet.names().index("golden retriever"), imagenet.names().index("tabby")

    def look(images, long_side):
        places = [[dog]] if long_side == 64 else [[dog, cat]]
        logits = torch.full((1000, 1, len(places[0])), -30.0)
        logits[places[0], 0, list(range(len(places[0])))] = 30
        return [Seen((), logits)]

    monkeypatch.setattr(loaded_once.classifier, "encode_images", look)
    monkeypatch.setattr(loaded_once, "scales", (64, 128))
    shares = dict(zip(loaded_once.things, shares_of(loaded_once), strict=True))
    assert shares["dog"] == pytest.approx(0.5 * 1 + 0.5 * 0.75)
    assert shares["cat"] == pytest.approx(0.5 * 0.5 + 0.5 * 0.25)


def test_alone_or_in_a_batch_and_twice_it_says_the_same(loaded_once, images):
    assert isinstance(loaded_once, ImageCaptioner)
    assert_repeatable(loaded_once, images)


def test_a_place_that_is_no_number_is_not_taken_for_an_empty_view(loaded_once, monkeypatch):
    look = loaded_once.classifier.look
    monkeypatch.setattr(loaded_once.classifier, "look", lambda pixels: (look(pixels)[0], look(pixels)[1] * torch.nan))
    with pytest.raises(NotFinite, match="timm"):
        loaded_once.caption([IMAGE])


def test_the_bundled_weights_name_what_is_in_view():
    captioner = ClassifierCaptioner.from_pretrained(classifier={"weights": str(BUNDLED / "efficientnet_lite2")})
    stems = ["farm_dog", "farm_owl", "farm_sheep"]
    captions = captioner.caption([example(stem)[0] for stem in stems])
    assert captions[0] == "a photo of a dog"
    assert "owl" in captions[1] and captions[2].startswith("a photo of a sheep")
    grey = captioner.caption([np.full((120, 160, 3), 128, np.uint8)])[0]
    assert not any(word in grey for word in ("dog", "owl", "sheep"))


def test_it_knows_its_own_nouns_all_of_them():
    captioner = ClassifierCaptioner.__new__(ClassifierCaptioner)
    for thing in dict.fromkeys((*imagenet.things(), "person")):  # "remote control" and "hot dog" too, which parsers cut
        assert captioner.nouns(sentence(["dog", thing, "owl"])) == ["dog", thing, "owl"]
    assert captioner.nouns(sentence(["owl"])) == ["owl"] and captioner.nouns("") == []
    assert nouns_said(captioner, sentence(["remote control", "dog", "dog"])) == ["remote control", "dog"]


def test_a_classifier_of_other_classes_is_refused():
    other = SimpleNamespace(num_names=21841)
    with pytest.raises(UserError, match=r"expected a classifier of ImageNet's 1000 classes, found 21841; take another"):
        ClassifierCaptioner({"classifier": other}, {})
