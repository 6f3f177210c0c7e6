import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

from models.roles import Segmenter
from models.segmenter.clipseg import ClipSegmenter
from tests.checkpoints.clipseg import save_known
from utils.errors import UserError
from utils.scoring.metrics import adaptive_threshold, iou
from utils.types import Query

TEXTS = ["a photo of a guitar", "dog", "a man and a woman with a violin"]


@pytest.fixture(scope="module")
def segmenter(loaded):
    return loaded["segmenter"]


@pytest.fixture(scope="module")
def library(segmenter):
    """(network, processor) loaded by the library alone."""
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    folder = segmenter.provenance["id"]
    network = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32).eval()
    return network, CLIPSegProcessor.from_pretrained(folder)


def queries(*texts):
    return tuple(Query(text) for text in texts)


def cut(probability):
    """The authors' 0.3 at 0.5."""
    return np.interp(probability, (0, 0.3, 1), (0, 0.5, 1))


@pytest.fixture(scope="module")
def half_white():
    image = np.zeros((64, 64, 3), np.uint8)  # as large as the network's
    image[:, :32] = 255
    return image


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """0.4 where it is white and 0.2 where it is black."""
    return str(save_known(tmp_path_factory.mktemp("known"), bright=0.4, dark=0.2))


def test_what_the_authors_cut_at_is_one_half(known, half_white):
    there = half_white[..., 0] > 0
    score_map = ClipSegmenter.from_pretrained(known).segment([half_white], [queries("dog")])[0]
    np.testing.assert_allclose(score_map, np.where(there, 0.5 + 0.1 / 1.4, 0.5 * 2 / 3), atol=1e-4)
    np.testing.assert_array_equal(score_map > 0.5, there)
    plain = ClipSegmenter.from_pretrained(known, threshold=0.5).segment([half_white], [queries("dog")])[0]
    np.testing.assert_allclose(plain, np.where(there, 0.4, 0.2), atol=1e-4)
    assert not (plain > 0.5).any()


def test_the_cut_changes_no_score_that_looks_for_its_own_threshold(segmenter, images):
    plain = ClipSegmenter(segmenter.network, segmenter.processor, segmenter.provenance, threshold=0.5)
    rng = np.random.default_rng(0)
    for image in images[:3]:
        gt_mask = rng.random(image.shape[:2]) < 0.3
        maps = [one.segment([image], [queries(*TEXTS)])[0] for one in (segmenter, plain)]
        scores = [iou(score_map > adaptive_threshold(score_map, gt_mask), gt_mask) for score_map in maps]
        assert scores[0] == scores[1] > 0 and np.abs(maps[0] - maps[1]).max() > 0.1


def test_presence_is_the_peak_of_the_map_at_the_same_cut(known, segmenter, half_white, images):
    found = ClipSegmenter.from_pretrained(known).presence([half_white, np.zeros_like(half_white)], ["dog", "", "cat"])
    np.testing.assert_allclose(found, [[cut(0.4), 0, cut(0.4)], [cut(0.2), 0, cut(0.2)]], atol=1e-4)
    square = images[2][:32, :32]  # as large as this network's map: nothing is stretched
    peaks = [segmenter.segment([square], [queries(text)])[0].max() for text in TEXTS]
    np.testing.assert_allclose(segmenter.presence([square], TEXTS)[0], peaks, atol=1e-5)


def test_presence_of_more_texts_than_a_batch(segmenter, images):
    few, many = segmenter.presence(images[:2], TEXTS), segmenter.presence(images[:2], TEXTS * 6)
    np.testing.assert_allclose(many, np.tile(few, 6), atol=1e-5)


def test_maps_are_soft_and_in_the_frame_of_each_image(segmenter, images):
    maps = segmenter.segment(images, [queries(TEXTS[i % 3]) for i in range(len(images))])
    assert isinstance(segmenter, Segmenter) and segmenter.accepts_embeddings and segmenter.text_embed_dim == 24
    for score_map, image in zip(maps, images, strict=True):
        assert score_map.shape == image.shape[:2] and score_map.dtype == np.float32
        assert 0 <= score_map.min() <= score_map.max() <= 1
    assert len(np.unique(maps[0])) > 100
    assert segmenter.segment([], []) == []


def test_no_query_is_an_empty_map(segmenter, images):
    empty, asked = segmenter.segment(images[:2], [(), queries("dog")])
    assert empty.shape == (48, 80) and empty.dtype == np.float32 and not empty.any()
    assert asked.any()


def test_it_equals_the_plain_forward_pass(segmenter, library, images):
    network, processor = library
    image = images[0]
    inputs = processor(text=TEXTS, images=[image] * 3, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = network(**inputs).logits  # (3, h, w)
    expected = cut(interpolate(logits.sigmoid()[:, None], size=(48, 80), mode="bilinear")[:, 0].numpy())
    for text, one in zip(TEXTS, expected, strict=True):
        np.testing.assert_allclose(segmenter.segment([image], [queries(text)])[0], one, atol=1e-5)
    np.testing.assert_allclose(segmenter.segment([image], [queries(*TEXTS)])[0], expected.max(axis=0), atol=1e-5)


def test_images_are_prepared_as_the_processor_does(segmenter, library, images):
    from PIL import Image

    expected = library[1](images=[Image.fromarray(image) for image in images], return_tensors="pt")["pixel_values"]
    np.testing.assert_allclose(segmenter.pixel_values(images), expected, atol=1e-5)


def test_alone_or_in_a_batch_and_twice_it_is_the_same(segmenter, images):
    asked = [queries(*TEXTS), queries("dog"), (), queries("a cat", "dog"), queries("cat")]
    together = segmenter.segment(images, asked)
    for image, some, score_map in zip(images, asked, together, strict=True):
        np.testing.assert_allclose(segmenter.segment([image], [some])[0], score_map, atol=1e-5)
    for first, second in zip(together, segmenter.segment(images, asked), strict=True):
        np.testing.assert_array_equal(first, second)


def test_more_than_one_batch_of_images_and_queries(segmenter, images):
    many = [images[0], images[1]] * 9
    maps = segmenter.segment(many, [queries(*TEXTS)] * 18)
    for index, score_map in enumerate(maps):
        np.testing.assert_allclose(score_map, maps[index % 2], atol=1e-5)


def test_each_image_is_encoded_once(segmenter, images, monkeypatch):
    encoded = []
    vision_model = segmenter.network.clip.vision_model
    forward = vision_model.forward
    monkeypatch.setattr(
        vision_model, "forward", lambda pixels, **kw: encoded.append(len(pixels)) or forward(pixels, **kw)
    )
    segmenter.segment(images[:3], [queries(*TEXTS), (), queries("dog")])
    assert encoded == [2]


def test_an_image_is_encoded_into_what_the_decoder_reads(segmenter, library, images, monkeypatch):
    network, _ = library
    monkeypatch.setattr("models.segmenter.clipseg.MAX_BATCH", 2)
    encoded = segmenter.encode_images(images)
    pixel_values = segmenter.pixel_values(images)
    with torch.no_grad():
        hidden_states = network.clip.vision_model(pixel_values, output_hidden_states=True).hidden_states
    assert len(encoded) == len(images) == 5
    for row, layers in enumerate(encoded):
        assert isinstance(layers, tuple) and len(layers) == len(network.extract_layers)
        for layer, number in zip(layers, network.extract_layers, strict=True):
            np.testing.assert_allclose(layer, hidden_states[number + 1][row], atol=1e-4)  # (tokens, width)
            assert layer.untyped_storage().nbytes() == layer.nbytes  # and not that of the batch
    assert segmenter.encode_images([]) == []
    layers = [len(one.clip.vision_model.encoder.layers) for one in (segmenter.network, network)]
    assert layers == [3, 5]  # the last two are read by nobody


def test_an_embedding_asks_as_its_text_does(segmenter, library, images):
    network, processor = library
    embeds = segmenter.encode_text(TEXTS)
    with torch.no_grad():
        tokens = processor(text=TEXTS, padding=True, return_tensors="pt")
        expected = network.get_conditional_embeddings(batch_size=3, **tokens)
    assert embeds.shape == (3, 24) and embeds.dtype == np.float32
    np.testing.assert_allclose(embeds, expected, atol=1e-5)
    np.testing.assert_allclose(segmenter.encode_text(TEXTS[1:2])[0], embeds[1], atol=1e-5)
    by_text, by_embedding, mixed = segmenter.segment(
        images[:1] * 3,
        [
            queries(*TEXTS[:2]),
            [Query("ignored", embedding=embeds[0]), Query("ignored", embedding=embeds[1])],
            [Query("ignored", embedding=embeds[0]), Query(TEXTS[1])],
        ],
    )
    np.testing.assert_allclose(by_embedding, by_text, atol=1e-5)
    np.testing.assert_allclose(mixed, by_text, atol=1e-5)
    assert segmenter.encode_text([]).shape == (0, 24)


def test_embeddings_of_another_space_are_refused(segmenter, images):
    with pytest.raises(ValueError, match=r"shape \(24,\), found \(512,\)"):
        segmenter.segment(images[:1], [[Query("dog", embedding=np.zeros(512, np.float32))]])


def test_a_pixel_of_the_map_is_the_same_pixel_of_the_image(segmenter, monkeypatch):
    """A decoder that answers with the brightness it was shown: the map must lie where the image is bright."""
    monkeypatch.setattr(segmenter, "encode_images", lambda images: segmenter.pixel_values(images).mean(dim=1))
    monkeypatch.setattr(segmenter, "_decode", lambda encoded, rows, embeds: (encoded[rows] * 20).sigmoid())
    image = np.zeros((32, 128, 3), np.uint8)  # the network sees 64 x 64
    image[8:16, 90:110] = 255
    score_map = segmenter.segment([image], [queries("dog")])[0]
    np.testing.assert_array_equal(score_map > 0.5, image[..., 0] > 127)


def test_long_texts_are_cut(segmenter):
    np.testing.assert_allclose(segmenter.encode_text(["dog " * 200]), segmenter.encode_text(["dog " * 100]), atol=1e-5)


@pytest.mark.parametrize("hub_id", ["CIDAS/clipseg-rd64-refined", "CIDAS/clipseg-rd64"])
@pytest.mark.parametrize("image_size", [None, 104, 32])
def test_at_another_size_it_equals_the_library_at_that_size(tiny, images, hub_id, image_size):
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    folder = tiny(hub_id)
    network, processor = CLIPSegForImageSegmentation.from_pretrained(folder), CLIPSegProcessor.from_pretrained(folder)
    size = image_size or 64
    processor.image_processor.size = {"height": size, "width": size}
    inputs = processor(text=[TEXTS[0]], images=[images[0]], return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, size, size)
    with torch.no_grad():
        logits = network(**inputs).logits
    logits = logits.reshape(1, 1, *logits.shape[-2:])
    expected = cut(interpolate(logits.sigmoid(), size=(48, 80), mode="bilinear")[0, 0].numpy())
    segmenter = ClipSegmenter.from_pretrained(folder, image_size=image_size)
    np.testing.assert_allclose(segmenter.pixel_values(images[:1]), inputs["pixel_values"], atol=1e-5)
    np.testing.assert_allclose(segmenter.segment(images[:1], [queries(TEXTS[0])])[0], expected, atol=1e-5)
    assert expected.std() > 0.005


@pytest.mark.parametrize("image_size", [100, 0, -8, "416", True, 416.0])
def test_a_size_the_patches_do_not_divide_is_refused(segmenter, image_size):
    sentence = f"expected image_size to be a multiple of the patches' 8, found {image_size!r}"
    with pytest.raises(UserError, match=sentence):
        ClipSegmenter(segmenter.network, segmenter.processor, {}, image_size=image_size)


def test_a_missing_tensor_is_never_random(tiny, tmp_path):
    copy = shutil.copytree(tiny("CIDAS/clipseg-rd64-refined"), tmp_path / "clipseg")
    tensors = load_file(copy / "model.safetensors")
    tensors.pop("decoder.film_mul.weight")
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="1 of its tensors are missing.*decoder.film_mul.weight"):
        ClipSegmenter.from_pretrained(str(copy))


def test_the_published_architectures():
    """Config values of CIDAS/clipseg-rd64-refined; 150.7 million parameters in float32 are its 603 MB."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    from tests.checkpoints.clipseg import PUBLISHED

    config = CLIPSegConfig(vision_config={"patch_size": 16}, **PUBLISHED["CIDAS/clipseg-rd64-refined"])
    assert (config.reduce_dim, config.extract_layers, config.decoder_num_attention_heads) == (64, (3, 6, 9), 4)
    assert (config.projection_dim, config.decoder_intermediate_size, config.conditional_layer) == (512, 2048, 0)
    with torch.device("meta"):
        network = CLIPSegForImageSegmentation(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == 150_747_746
