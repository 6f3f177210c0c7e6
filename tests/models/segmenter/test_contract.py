"""What every segmenter promises (`models/roles.py`), on tiny random networks of each family's architecture.

A new family adds one line to ENTRIES (what a config would say of it) and one to ENCODERS.
"""

from collections.abc import Mapping
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from models.config import family_class
from models.remembering import Memory
from models.roles import Segmenter
from models.segmenter import FAMILIES
from tests.checkpoints import asda, pocket
from utils.errors import UserError
from utils.types import Query

ENTRIES = {
    "asda": lambda tiny: asda.entry(tiny.saved(asda.save_asda)),
    "class_map": lambda tiny: {
        **{
            part: {"weights": f"{tiny.saved(pocket.save_class_map)}/{part}"}
            for part in ("classifier", "outlines", "words")
        },
        "scales": [96],
    },
    "clipseg": lambda tiny: {"weights": tiny("CIDAS/clipseg-rd64-refined")},
    "grounded_sam": lambda tiny: {
        "detector": {"weights": tiny("IDEA-Research/grounding-dino-tiny")},
        "masks": {"weights": tiny("facebook/sam2.1-hiera-tiny")},
    },
    "sam_clip": lambda tiny: {
        "masks": {"weights": tiny("facebook/sam-vit-base")},
        "scorer": {"weights": tiny("laion/CLIP-ViT-B-32-laion2B-s34B-b79K")},
        "points_per_side": 4,
        "stability_score_thresh": 0.5,
    },
    "sam3": lambda tiny: {"weights": tiny("facebook/sam3"), "score_threshold": 0.2},
}
# Where pixels enter each network: modules that run once for every image that is encoded.
ENCODERS = {
    "asda": lambda model: [],  # its forward pass takes image and text together
    "class_map": lambda model: [model.networks["classifier"].network.conv_stem],
    "clipseg": lambda model: [model.network.clip.vision_model.embeddings],
    "grounded_sam": lambda model: [
        model.networks["detector"].network.model.backbone.conv_encoder.model.swin.embeddings,
        model.networks["masks"].network.vision_encoder.backbone.patch_embed,
    ],
    "sam_clip": lambda model: [model.networks["masks"].network.image_encoder],
    "sam3": lambda model: [model.network.vision_encoder.backbone.embeddings],
}
TEXTS = ["a photo of a guitar", "dog", "a man and a woman with a violin"]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request):
    return request.param


@pytest.fixture(scope="module")
def segmenter(family, tiny):
    return family_class("segmenter", family).from_pretrained(**ENTRIES[family](tiny))


def queries(*texts):
    return tuple(Query(text) for text in texts)


@contextmanager
def encoded_by(modules):
    """Gets how many images each pass of one of them has encoded."""
    encoded = []
    handles = [
        module.register_forward_hook(lambda module, inputs, output: encoded.append(len(inputs[0])))
        for module in modules
    ]
    yield encoded
    for handle in handles:
        handle.remove()


def test_maps_are_soft_and_of_each_images_size(segmenter, images):
    assert isinstance(segmenter, Segmenter)
    score_maps = segmenter.segment(images, [queries(*TEXTS)] * len(images))
    assert len(score_maps) == len(images)
    for score_map, image in zip(score_maps, images, strict=True):
        assert score_map.shape == image.shape[:2] and score_map.dtype == np.float32
        assert 0 <= score_map.min() <= score_map.max() <= 1
    for score_map in score_maps[:3]:
        assert len(np.unique(score_map)) > score_map.size / 10
    assert segmenter.segment([], []) == []


def test_no_query_is_an_empty_map(segmenter, images):
    empty, asked, also_empty = segmenter.segment(images[:3], [(), queries("dog"), ()])
    assert empty.shape == (48, 80) and empty.dtype == np.float32 and not empty.any() and not also_empty.any()
    assert asked.any()


def test_several_queries_are_the_maximum_of_each_alone(segmenter, images):
    for image in images[:2]:
        single = [segmenter.segment([image], [queries(text)])[0] for text in TEXTS]
        together = segmenter.segment([image], [queries(*TEXTS)])[0]
        np.testing.assert_allclose(together, np.max(single, axis=0), atol=1e-5)
        assert max(np.abs(single[0] - other).max() for other in single[1:]) > 1e-3  # the text matters


def test_alone_or_in_a_batch_and_in_any_order_it_is_the_same(segmenter, images):
    asked = [queries(*TEXTS), queries("dog"), (), queries("a cat", "dog"), queries("cat")]
    together = segmenter.segment(images, asked)
    backwards = segmenter.segment(images[::-1], [some[::-1] for some in asked[::-1]])[::-1]
    for image, some, score_map, other in zip(images, asked, together, backwards, strict=True):
        np.testing.assert_allclose(segmenter.segment([image], [some])[0], score_map, atol=1e-5)
        np.testing.assert_allclose(other, score_map, atol=1e-5)
    for first, second in zip(together, segmenter.segment(images, asked), strict=True):
        np.testing.assert_array_equal(first, second)


def test_each_image_is_encoded_once_however_many_queries_it_has(family, segmenter, images):
    for encoder in ENCODERS[family](segmenter):
        with encoded_by([encoder]) as encoded:
            segmenter.segment(images[:3], [queries(*TEXTS), (), queries("dog", "dog")])
        assert sum(encoded) == 2


@pytest.fixture
def memory(family, segmenter, monkeypatch):
    """Gives each part a memory by hand; (part's name, image's bytes) -> (image, what it was encoded into)."""
    memory = {}

    def remember(name, encode_images):
        def asked(images, *how):
            new = [image for image in images if (name, image.tobytes()) not in memory]
            for image, encoded in zip(new, encode_images(new, *how), strict=True):
                memory[name, image.tobytes()] = image, encoded
            return [memory[name, image.tobytes()][1] for image in images]

        return asked

    parts = {"": segmenter, **getattr(segmenter, "networks", {})}
    encoding = {name: part for name, part in parts.items() if hasattr(part, "encode_images")}
    assert bool(encoding) == (family != "asda")
    for name, part in encoding.items():
        monkeypatch.setattr(part, "encode_images", remember(name, part.encode_images))
    return memory


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else vars(value).values() if hasattr(value, "__dict__") else ()
    return [tensor for one in (value if isinstance(value, (tuple, list)) else inner) for tensor in tensors_in(one)]


def test_what_was_encoded_serves_other_queries_and_stays_as_it_is(family, segmenter, images, request):
    asked = [[queries("dog")] * 3, [queries(TEXTS[0], TEXTS[2]), queries(TEXTS[0]), queries("cat")]]
    fresh = [segmenter.segment(images[:3], some) for some in asked]
    assert all(np.abs(one - other).max() > 1e-4 for one, other in zip(*fresh, strict=True))
    request.getfixturevalue("memory")
    encoders, counts = ENCODERS[family](segmenter), []
    with encoded_by(encoders) as encoded:
        for some, expected in zip([*asked, asked[0]], [*fresh, fresh[0]], strict=True):
            for score_map, other in zip(segmenter.segment(images[:3], some), expected, strict=True):
                np.testing.assert_array_equal(score_map, other)
            counts.append(sum(encoded))
    assert counts == [3 * len(encoders)] * 3


def test_presence_is_a_number_for_every_image_and_text(segmenter, images):
    found = segmenter.presence(images, [*TEXTS, ""])
    assert found.shape == (len(images), 4) and found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert np.ptp(found[:3, :3]) > 0 and not found[:, 3].any()  # nothing is asked for by ""
    for some, texts in (([], TEXTS), (images, []), (images, ["", " "]), ([], [])):
        found = segmenter.presence(some, texts)
        assert found.shape == (len(some), len(texts)) and found.dtype == np.float32 and not found.any()


def test_presence_depends_on_no_other_image_and_no_other_text(segmenter, images):
    together = segmenter.presence(images, TEXTS)
    backwards = segmenter.presence(images[::-1], TEXTS[::-1])[::-1, ::-1]
    np.testing.assert_allclose(backwards, together, atol=1e-5)
    for row, image in enumerate(images):
        column = row % len(TEXTS)
        alone = segmenter.presence([image], [TEXTS[column]])
        np.testing.assert_allclose(alone, together[row : row + 1, column : column + 1], atol=1e-5)
    np.testing.assert_array_equal(segmenter.presence(images, TEXTS), together)


def test_presence_takes_what_segment_has_encoded(family, segmenter, images, memory):
    segmenter.segment(images[:3], [queries("dog")] * 3)
    with encoded_by(ENCODERS[family](segmenter)) as encoded:
        segmenter.presence(images[:3], TEXTS)
        known = dict(memory)
        segmenter.presence(images[:3], TEXTS[::-1])
    assert not encoded and memory.keys() == known.keys()


def test_presence_through_a_memory_is_of_every_pair(segmenter, images, monkeypatch):
    """Also where there are as many texts as images."""
    direct = segmenter.presence(images[:3], TEXTS)
    monkeypatch.setattr(segmenter, "remembering", None)
    remembering = Memory().wrap(segmenter, {})
    for _ in range(2):
        np.testing.assert_allclose(remembering.presence(images[:3], TEXTS), direct, atol=1e-5)


def test_only_images_with_queries_are_encoded(family, segmenter, images, memory):
    segmenter.segment(images, [()] * len(images))
    assert not memory
    segmenter.segment(images[:3], [(), queries("dog"), ()])
    assert len(memory) == len(ENCODERS[family](segmenter))
    assert all(image.shape == images[1].shape for image, _ in memory.values())


def test_an_encoded_image_holds_no_other_memory_than_its_own(segmenter, images, memory):
    segmenter.segment(images[:3], [queries("dog")] * 3)
    for _, encoded in memory.values():
        tensors = tensors_in(encoded)
        assert tensors and not any(tensor.requires_grad for tensor in tensors)
        for tensor in tensors:
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_embeddings_are_taken_or_refused_as_declared(segmenter, images):
    embedding = np.ones(segmenter.text_embed_dim or 512, np.float32)
    if not segmenter.accepts_embeddings:
        assert segmenter.text_embed_dim == 0
        with pytest.raises(UserError, match="expected a segmenter that takes embeddings, found .* hand over words"):
            segmenter.encode_text(["dog"])
        with pytest.raises(UserError, match="expected a segmenter that takes embeddings, found"):
            segmenter.segment(images[:1], [[Query("dog", embedding=embedding)]])
        return
    embeds = segmenter.encode_text(TEXTS)
    assert embeds.shape == (3, segmenter.text_embed_dim) and embeds.dtype == np.float32
    by_embedding = segmenter.segment(images[:1], [[Query("", embedding=embed) for embed in embeds]])[0]
    np.testing.assert_allclose(by_embedding, segmenter.segment(images[:1], [queries(*TEXTS)])[0], atol=1e-5)
    assert segmenter.encode_text([]).shape == (0, segmenter.text_embed_dim)


@pytest.mark.parametrize("size", [(2, 300), (300, 2), (1, 500)])
def test_very_long_images(segmenter, size):
    image = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert segmenter.segment([image], [queries("dog")])[0].shape == size


@pytest.mark.parametrize("text", ["", ".", "dog " * 300, "a dog barks. A man speaks.", "ein Hündchen 🐶"])
def test_any_text(segmenter, images, text):
    score_map = segmenter.segment(images[:1], [queries(text)])[0]
    assert score_map.shape == (48, 80) and 0 <= score_map.min() <= score_map.max() <= 1


def test_images_are_left_as_they_are(segmenter, images):
    given = [image.copy() for image in images]
    segmenter.segment(given, [queries("dog")] * len(given))
    for image, before in zip(given, images, strict=True):
        np.testing.assert_array_equal(image, before)


def test_a_flipped_view_and_a_read_only_image_are_images(segmenter, images):
    flipped = images[0][:, ::-1]
    frozen = flipped.copy()
    frozen.flags.writeable = False
    seen_flipped, seen_frozen = segmenter.segment([flipped, frozen], [queries("dog")] * 2)
    np.testing.assert_allclose(seen_flipped, seen_frozen, atol=1e-5)
