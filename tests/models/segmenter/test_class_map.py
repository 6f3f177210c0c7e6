"""A classifier's names drawn as outlines: what texts ask for, what embeddings are, and that it finds what is there.

What every segmenter promises is held by test_contract.py.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from datasets.masks import read_mask
from models.pocket.image_classifier import Seen
from models.roles import Segmenter
from models.segmenter.class_map import ALIKE_FROM, ALIKE_TO, ClassMapSegmenter
from models.segmenter.outline_decoder import OutlineNetwork
from tests.checkpoints.pocket import (
    BUNDLED,
    CHANNELS,
    EXAMPLES,
    example,
    save_class_map,
    save_image_classifier,
    save_outlines,
)
from utils.errors import UserError
from utils.language import imagenet
from utils.types import Query

UNKNOWN = "xqzt"
PARTS = {"classifier": "efficientnet_lite2", "outlines": "outlines", "words": "words"}


def entry(folder, **others):
    """What a config would say of the parts, FOLDER/PART each."""
    return {part: {"weights": str(folder / part)} for part in PARTS} | others


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_class_map(tmp_path_factory.mktemp("class_map") / "random")


@pytest.fixture(scope="module")
def segmenter(folder):
    """Knows nothing, and draws it all the same."""
    return ClassMapSegmenter.from_pretrained(**entry(folder, scales=[96], min_presence=0.0))


@pytest.fixture(scope="module")
def bundled():
    return ClassMapSegmenter.from_pretrained(**{part: {"weights": str(BUNDLED / name)} for part, name in PARTS.items()})


@pytest.fixture(scope="module")
def dog():
    """A photograph of a dog, and where it is."""
    return example("farm_dog")[0], read_mask(EXAMPLES / "gt_seg" / "farm_dog.png")


def asked(segmenter, image, *texts):
    return segmenter.segment([image], [[Query(text) for text in texts]])[0]


def iou(score_map, gt_mask):
    found = score_map > 0.5
    return (found & gt_mask).sum() / (found | gt_mask).sum()


def test_the_bundled_weights_find_the_dog(bundled, dog):
    image, gt_mask = dog
    score_map = asked(bundled, image, "A photo of dog")
    assert score_map.shape == gt_mask.shape and score_map.dtype == np.float32
    assert iou(score_map, gt_mask) > 0.75  # 0.91; the whole image has 0.31
    assert score_map[gt_mask].mean() > 0.8 and score_map[~gt_mask].mean() < 0.1
    assert iou(asked(bundled, image, "a hound"), gt_mask) > 0.75
    assert iou(asked(bundled, image, "guitar"), gt_mask) < 0.4


def test_presence_is_high_for_what_is_there(bundled, dog):
    found = bundled.presence([dog[0], np.full((64, 64, 3), 128, np.uint8)], ["dog", "cat", "guitar", UNKNOWN])
    assert isinstance(bundled, Segmenter) and found.shape == (2, 4) and found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert found[0, 0] > 0.9 and found[0, 1:3].max() < 0.2 and found[1, 0] < 0.5
    assert not found[:, 3].any()


def test_presence_is_the_largest_share_of_any_place_at_any_scale(segmenter, images, monkeypatch):
    monkeypatch.setattr(segmenter, "scales", (64, 128))
    texts = ["dog", "a cat and a dog", UNKNOWN]
    found = segmenter.presence(images[:2], texts)
    for row, image in enumerate(images[:2]):
        for column, text in enumerate(texts):
            names = segmenter.words.encode([text])[0] > 0
            seen = [segmenter.classifier.encode_images([image], scale)[0].logits.softmax(0) for scale in (64, 128)]
            expected = max(float(one[names].sum(0).max()) for one in seen)
            assert found[row, column] == pytest.approx(expected, abs=1e-5)
    assert found[:, 1].min() > found[:, 0].max() * 0.5 > 0
    assert segmenter.presence(images, []).shape == (len(images), 0)
    assert segmenter.presence([], texts).shape == (0, 3)


def test_an_unknown_word_asks_for_nothing(segmenter, images, monkeypatch):
    assert not segmenter.encode_text([UNKNOWN]).any()
    np.testing.assert_array_equal(
        asked(segmenter, images[0], "dog", UNKNOWN), asked(segmenter, images[0], "dog")
    )  # not even a little
    monkeypatch.setattr(segmenter.classifier, "encode_images", lambda *_: pytest.fail("the image was looked at"))
    score_map = asked(segmenter, images[0], UNKNOWN)
    assert score_map.shape == (48, 80) and not score_map.any()


def test_a_text_is_what_is_known_of_its_words(segmenter):
    embeds = segmenter.encode_text(["a photo of a dog", UNKNOWN, "a dog and a cat"])
    assert segmenter.text_embed_dim == 1000 and embeds.shape == (3, 1000)
    dogs, cats = imagenet.lookup("dog") > 0, imagenet.lookup("cat") > 0
    assert (embeds[0][dogs] == 1).all() and embeds[0].max() == 1 and not embeds[1].any()
    np.testing.assert_array_equal(embeds[2], np.maximum(embeds[0], segmenter.encode_text(["cat"])[0]))
    assert (embeds[2][dogs | cats] == 1).all()


def test_names_that_the_classifier_takes_for_those_asked_for_belong_to_them_less_and_less(segmenter, monkeypatch):
    likeness = np.eye(1000, dtype=np.float32)
    names = imagenet.lookup("dog") > 0
    (first, *_), (cat, *_) = np.flatnonzero(names), np.flatnonzero(imagenet.lookup("cat"))
    others = np.flatnonzero(~names)[:4]
    likeness[first, others] = (ALIKE_FROM - 0.1, ALIKE_FROM + 0.4 * (ALIKE_TO - ALIKE_FROM), ALIKE_TO, 0.9)
    likeness[cat, others] = 0.9
    monkeypatch.setattr(segmenter.classifier, "likeness", likeness)
    found = segmenter.encode_text(["dog"])[0]
    np.testing.assert_allclose(found[others], [0, 0.4, 1, 1], atol=1e-5)
    assert found.sum() == pytest.approx(names.sum() + 2.4, abs=1e-4)


def test_what_is_not_in_view_stays_below_a_half(folder, images):
    def at(min_presence):
        segmenter = ClassMapSegmenter.from_pretrained(**entry(folder, scales=[96], min_presence=min_presence))
        return segmenter, asked(segmenter, images[0], "teapot"), segmenter.presence(images[:1], ["teapot"])[0, 0]

    _, plain, presence = at(0.0)
    assert 0 < presence < 0.2
    for least, trust in ((0.5 * presence, 1), (4 * presence, 0.49 / 4), (1.0, 0.49 * presence)):
        segmenter, score_map, _ = at(float(least))
        np.testing.assert_allclose(score_map, trust * plain, atol=1e-5)
        together = asked(segmenter, images[0], "teapot", "animal")  # each query by itself
        np.testing.assert_allclose(together, np.maximum(score_map, asked(segmenter, images[0], "animal")), atol=1e-5)


def test_known_names_are_things_nearest_first(bundled):
    assert bundled.known_names(Query("puppy"), 3)[0] == "dog"
    assert bundled.known_names(Query(UNKNOWN), 3) == []
    names = bundled.known_names(Query("giraffe"), 2)
    assert len(names) == 2 and set(names) <= set(imagenet.things())
    assert set(bundled.known_names(Query("a violin and a cat"), 5)) >= {"violin", "cat"}
    assert bundled.known_names(Query("duck"), 5)[0] == "duck" and "goose" in bundled.known_names(Query("duck"), 5)
    embedding = bundled.encode_text(["owl"])[0]
    assert bundled.known_names(Query("W*", embedding=embedding), 1) == ["owl"]  # not by its text


def test_an_embedding_counts_by_its_proportions(segmenter, images):
    embed = segmenter.encode_text(["dog"])[0] + 0.3 * segmenter.encode_text(["violin"])[0]

    def by(embedding):
        return segmenter.segment(images[:1], [[Query("ignored", embedding=embedding)]])[0]

    np.testing.assert_allclose(by(0.2 * embed), by(embed), atol=1e-5)
    np.testing.assert_allclose(by(embed - 5 * segmenter.encode_text(["cat"])[0]), by(embed), atol=1e-5)  # not below 0
    assert np.abs(by(embed) - by(segmenter.encode_text(["dog"])[0])).max() > 1e-5
    for nothing in (np.zeros(1000), -embed):
        assert not by(nothing).any()
    known, unknown = segmenter.encode_text(["dog", UNKNOWN])
    np.testing.assert_allclose(by(known), asked(segmenter, images[0], "dog"), atol=1e-5)
    assert not by(unknown).any()


@pytest.mark.parametrize("shape", [(512,), (1, 1000), ()])
def test_embeddings_of_another_space_are_refused(segmenter, images, shape):
    with pytest.raises(ValueError, match=r"expected query embeddings of shape \(1000,\), found \("):
        segmenter.segment(images[:1], [[Query("dog", embedding=np.zeros(shape, np.float32))]])


def test_a_map_is_the_mean_of_its_scales(segmenter, images, monkeypatch):
    alone = []
    for scale in (64, 128):
        monkeypatch.setattr(segmenter, "scales", (scale,))
        alone.append(asked(segmenter, images[0], "dog"))
    monkeypatch.setattr(segmenter, "scales", (64, 128))
    np.testing.assert_allclose(asked(segmenter, images[0], "dog"), np.mean(alone, axis=0), atol=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


def test_the_calibration_moves_the_logits(segmenter, images, monkeypatch):
    def logit(slope, offset):
        monkeypatch.setattr(segmenter.outlines, "processor", {"slope": slope, "offset": offset})
        score_map = asked(segmenter, images[0], "dog").astype(float)
        return np.log(score_map / (1 - score_map))

    plain = logit(1, 0)
    np.testing.assert_allclose(logit(2, -0.75), 2 * plain - 0.75, atol=1e-4)
    assert segmenter.outlines.calibration == (2, -0.75)


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [((64, 256), slice(16, 32), slice(200, 232)), ((8, 256), slice(0, 8), slice(64, 96))],  # framed to 16 x 256
)
def test_a_pixel_of_the_map_is_the_same_pixel_of_the_image(segmenter, monkeypatch, size, rows, columns):
    """A decoder that answers with the brightness it was shown: the map must lie where the image is bright."""
    image = np.zeros((*size, 3), np.uint8)
    image[rows, columns] = 255

    def bright(images, long_side):
        pixels = segmenter.classifier.prepare(images[0], long_side)[:1]  # (1, h, w)
        return [Seen((pixels,), torch.zeros(1000, 1, 1))]

    monkeypatch.setattr(segmenter, "scales", (512,))
    monkeypatch.setattr(segmenter.classifier, "encode_images", bright)
    monkeypatch.setattr(segmenter.outlines.network, "forward", lambda features, logits, query: 20 * features[0][:, 0])
    score_map = asked(segmenter, image, "dog")
    assert ((score_map > 0.5) != (image[..., 0] > 127)).mean() < 0.02
    assert score_map[rows, columns].mean() > 0.9


def test_any_convolutional_classifier_with_outlines_of_its_own(folder, tmp_path, images):
    save_image_classifier(tmp_path / "classifier", "test_resnet")
    shutil.copytree(folder / "words", tmp_path / "words")
    shutil.copytree(folder / "outlines", tmp_path / "outlines")
    sentence = (
        r"expected outlines trained for this classifier's features of \(32, 48, 192, 96\) channels, found some for "
        r"\(24, 32, 48, 64\); train them with `python -m models.pocket.train`"
    )
    with pytest.raises(UserError, match=sentence):
        ClassMapSegmenter.from_pretrained(**entry(tmp_path))
    shutil.rmtree(tmp_path / "outlines")
    save_outlines(tmp_path / "outlines", (32, 48, 192, 96))
    segmenter = ClassMapSegmenter.from_pretrained(**entry(tmp_path, scales=[96], min_presence=0.0))
    score_maps = [asked(segmenter, images[0], text) for text in ("dog", "violin")]
    assert score_maps[0].shape == (48, 80) and np.abs(score_maps[0] - score_maps[1]).max() > 1e-4


def test_half_precision_stays_near(folder, segmenter, images):
    halves = entry(folder, scales=[96], min_presence=0.0)
    for part in PARTS:
        halves[part]["dtype"] = "bfloat16"
    half = ClassMapSegmenter.from_pretrained(**halves)
    found, expected = (asked(one, images[0], "dog", "violin") for one in (half, segmenter))
    assert found.dtype == np.float32 and np.abs(found - expected).mean() < 0.05


def test_outlines_that_are_none_or_lack_a_tensor_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match="expected outline_decoder, found test_efficientnet; name the family"):
        OutlineNetwork.from_pretrained(folder / "classifier")
    copy = shutil.copytree(folder / "outlines", tmp_path / "outlines")
    tensors = load_file(copy / "model.safetensors")
    del tensors["out.bias"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"cannot load .* as outlines: .*[Mm]issing key.*out\.bias"):
        OutlineNetwork.from_pretrained(copy)
    config = json.loads((copy / "config.json").read_text()) | {"channels": [8, *CHANNELS[1:]]}
    shutil.copy(folder / "outlines" / "model.safetensors", copy / "model.safetensors")
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="cannot load .* as outlines: .*size mismatch"):
        OutlineNetwork.from_pretrained(copy)


def test_regions_are_proposed_without_being_asked_for(bundled, dog):
    image, gt_mask = dog
    [regions] = bundled.propose_regions([image])
    assert regions.dtype == np.float32 and regions.shape[1:] == gt_mask.shape and 1 <= len(regions) <= 40
    assert regions.min() >= 0 and regions.max() <= 1 and (regions > 0.5).any((1, 2)).all()
    assert max(iou(region, gt_mask) for region in regions) > 0.75
    expected = asked(bundled, image, "A photo of dog")  # the likeliest thing is among them, as it is asked for
    assert min(np.abs(region - expected).max() for region in regions) < 1e-5


def test_regions_of_a_very_long_image_are_its_own(segmenter):
    image = np.random.default_rng(0).integers(0, 256, (20, 700, 3), dtype=np.uint8)
    assert segmenter.propose_regions([image])[0].shape[1:] == (20, 700)
    assert segmenter.propose_regions([]) == []
