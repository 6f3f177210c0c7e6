"""Classifiers of timm, asked for their names place by place: as timm prepares images, and as timm answers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from models.pocket.image_classifier import ImageClassifier
from tests.checkpoints.pocket import BUNDLED, CHANNELS, COLOURS, save_image_classifier
from utils.errors import UserError
from utils.language import imagenet

NAMES = 7
SECOND = "test_resnet"  # another architecture, whose head averages too


@pytest.fixture(scope="module", params=["test_efficientnet", SECOND])
def classifier(request, tmp_path_factory):
    folder = save_image_classifier(tmp_path_factory.mktemp("timm") / "network", request.param, NAMES)
    return ImageClassifier.from_pretrained(folder)


@pytest.fixture(scope="module")
def photographs():
    rng = np.random.default_rng(0)
    sizes = [(48, 80), (90, 40), (64, 64), (3, 7), (1, 1)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_images_are_resized_and_normalised_as_the_config_says(classifier, photographs):
    prepared = classifier.prepare(photographs[0], 128)  # 48 x 80 pixels: 76.8 x 128, of which 32 make 64
    resized = Image.fromarray(photographs[0]).resize((128, 64), Image.Resampling.BICUBIC)
    expected = (np.asarray(resized) / 255 - COLOURS["mean"]) / COLOURS["std"]
    assert prepared.shape == (3, 64, 128) and prepared.dtype == torch.float32
    np.testing.assert_allclose(prepared.permute(1, 2, 0), expected, atol=1e-5)


def test_the_bundled_network_sees_what_it_was_trained_on():
    classifier = ImageClassifier.from_pretrained(BUNDLED / "efficientnet_lite2")
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3).repeat(32, axis=0)
    np.testing.assert_allclose(classifier.prepare(ramp, 256)[:, 0], [(np.arange(256.0) - 127) / 128] * 3, atol=1e-5)
    assert classifier.num_names == 1000 and classifier.channels == (24, 48, 120, 352)
    assert classifier.provenance["license"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("size", "long_side", "seen"),
    [
        ((48, 80), 128, (64, 128)),
        ((80, 48), 128, (128, 64)),
        ((90, 40), 256, (256, 128)),  # 113.8
        ((3, 7), 128, (64, 128)),  # 54.9
        ((100, 100), 200, (192, 192)),
        ((1, 500), 256, (32, 256)),  # never less than 32
        ((2000, 1000), 384, (384, 192)),
    ],
)
def test_the_aspect_is_kept_to_32_pixels(classifier, size, long_side, seen):
    assert classifier.prepare(np.zeros((*size, 3), np.uint8), long_side).shape == (3, *seen)


def test_the_mean_over_places_is_what_timm_answers(classifier, photographs):
    pixels = torch.stack([classifier.prepare(image, 128) for image in (photographs[0], photographs[0][:, ::-1])])
    features, logits = classifier.look(pixels)
    with torch.no_grad():
        expected = classifier.network(pixels)
    assert logits.shape == (2, NAMES, 2, 4)  # of 32 pixels each
    np.testing.assert_allclose(logits.mean((2, 3)), expected, atol=1e-4)
    assert expected.std(1).min() > 0.01 and logits.std((2, 3)).min() > 0.01  # names differ, and so do places
    assert [tuple(feature.shape) for feature in features] == [
        (2, channels, 64 // stride, 128 // stride)
        for channels, stride in zip(classifier.channels, (4, 8, 16, 32), strict=True)
    ]


def test_features_are_those_of_the_network_at_four_strides(classifier, photographs):
    import timm

    network = timm.create_model(classifier.network.default_cfg["architecture"], features_only=True).eval()
    network.load_state_dict(classifier.network.state_dict(), strict=False)
    (seen,) = classifier.encode_images(photographs[:1], 96)
    with torch.no_grad():
        expected = network(classifier.prepare(photographs[0], 96)[None])[-4:]
    for feature, other in zip(seen.features, expected, strict=True):
        np.testing.assert_allclose(feature, other[0], atol=1e-4)


def test_alone_or_in_a_batch_and_twice_it_is_the_same(classifier, photographs):
    together = classifier.encode_images(photographs, 96)
    assert classifier.encode_images([], 96) == []
    for image, seen, again in zip(photographs, together, classifier.encode_images(photographs, 96), strict=True):
        (alone,) = classifier.encode_images([image], 96)
        np.testing.assert_array_equal(seen.logits, again.logits)
        np.testing.assert_allclose(seen.logits, alone.logits, atol=1e-5)
        for feature, other in zip(seen.features, alone.features, strict=True):
            np.testing.assert_allclose(feature, other, atol=1e-5)
    pair = torch.stack([classifier.prepare(image, 96) for image in (photographs[2], photographs[2][::-1])])
    (_, logits), (_, first) = classifier.look(pair), classifier.look(pair[:1])
    np.testing.assert_allclose(logits[:1], first, atol=1e-4)
    assert (logits[0] - logits[1]).abs().max() > 0.01


def test_flipped_and_read_only_images_are_images(classifier, photographs):
    flipped = photographs[0][:, ::-1]
    frozen = flipped.copy()
    frozen.flags.writeable = False
    one, other = classifier.encode_images([flipped, frozen], 96)
    np.testing.assert_array_equal(one.logits, other.logits)


def test_both_architectures_say_what_they_hand_on(tmp_path):
    for architecture, channels in ((SECOND, (32, 48, 192, 96)), ("test_efficientnet", CHANNELS)):
        loaded = ImageClassifier.from_pretrained(save_image_classifier(tmp_path / architecture, architecture, NAMES))
        assert (loaded.channels, loaded.num_names) == (channels, NAMES)
        assert not loaded.network.training and not any(p.requires_grad for p in loaded.network.parameters())


def test_likeness_is_the_cosine_of_the_last_layers_weights_less_their_mean(classifier):
    weights = classifier.network.get_classifier().weight.double().numpy()
    apart = weights - weights.mean(0)
    expected = [[one @ other / np.sqrt(one @ one * (other @ other)) for one in apart] for other in apart]
    assert classifier.likeness.shape == (NAMES, NAMES) and classifier.likeness.dtype == np.float32
    np.testing.assert_allclose(classifier.likeness, expected, atol=1e-5)
    np.testing.assert_allclose(np.diag(classifier.likeness), 1, atol=1e-5)


def test_the_bundled_network_takes_like_for_like():
    likeness = ImageClassifier.from_pretrained(BUNDLED / "efficientnet_lite2").likeness
    goose, drake, violin, cello = (imagenet.names().index(name) for name in ("goose", "drake", "violin", "cello"))
    assert likeness[violin, cello] > 0.2 > likeness[violin, goose] and likeness[drake, goose] > likeness[drake, cello]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_image_classifier(tmp_path_factory.mktemp("timm") / "saved", names=NAMES)


def changed(folder, copy, **changes):
    """A copy of a checkpoint with another config; None takes a key away."""
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text()) | changes
    (copy / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return copy


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"architecture": None},
            "expected a checkpoint of timm, found no architecture in its config",
        ),
        ({"architecture": "no_such_network"}, "expected an architecture of timm, found no_such_network; name"),
        ({"architecture": "hf-hub:nobody/nothing"}, "expected an architecture of timm, found hf-hub:nobody/nothing"),
        ({"num_classes": 9}, "cannot load .* as timm: .*size mismatch"),
        ({"num_classes": None}, "cannot load .* as timm: 'num_classes'"),
    ],
)
def test_a_config_that_does_not_fit_is_one_sentence(saved, tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        ImageClassifier.from_pretrained(changed(saved, tmp_path / "copy", **changes))
    assert "\n" not in str(raised.value)


def test_a_network_without_a_pyramid_of_features_is_refused(tmp_path):
    folder = save_image_classifier(tmp_path / "vit", "test_vit", NAMES)
    with pytest.raises(UserError, match=r"features at strides \(4, 8, 16, 32\), found \[16, 16.*convolutional"):
        ImageClassifier.from_pretrained(folder)


def test_a_missing_tensor_is_refused(saved, tmp_path):
    copy = changed(saved, tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    del tensors["classifier.bias"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"cannot load .* as timm: .*[Mm]issing key.*classifier\.bias"):
        ImageClassifier.from_pretrained(copy)


def test_half_precision_stays_near(saved, photographs):
    half, full = (ImageClassifier.from_pretrained(saved, dtype=dtype) for dtype in ("bfloat16", "float32"))
    (seen,), (expected,) = half.encode_images(photographs[:1], 128), full.encode_images(photographs[:1], 128)
    assert seen.logits.dtype == torch.float32
    spread = expected.logits.std()
    assert (seen.logits - expected.logits).abs().max() < 0.2 * spread
