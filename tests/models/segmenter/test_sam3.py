import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

from models.segmenter.sam3 import Sam3Segmenter
from models.segmenter.score_maps import NEAR_MISS
from utils.errors import UserError
from utils.scoring.metrics import adaptive_threshold, iou
from utils.types import Query

HUB_IDS = ["facebook/sam3", "vil-uob/sam3-litetext-s0"]
PLAIN = {"rescale": False, "mask_temperature": 1.0}  # score times sigmoid
OPEN = {"score_threshold": 0.2, "min_presence": 0.0}


@pytest.fixture(scope="module", params=HUB_IDS)
def hub_id(request):
    return request.param


@pytest.fixture(scope="module")
def segmenter(tiny, hub_id):
    return Sam3Segmenter.from_pretrained(tiny(hub_id), **OPEN, **PLAIN)


@pytest.fixture(scope="module")
def library(tiny, hub_id):
    """(network, processor) without anything of ours."""
    from transformers import Sam3LiteTextModel, Sam3Model, Sam3Processor

    network_class = Sam3Model if hub_id == "facebook/sam3" else Sam3LiteTextModel
    return network_class.from_pretrained(tiny(hub_id)).eval(), Sam3Processor.from_pretrained(tiny(hub_id))


def with_settings(segmenter, **settings):
    return Sam3Segmenter(segmenter.network, segmenter.processor, segmenter.provenance, **settings)


def queries(*texts):
    return [Query(text) for text in texts]


def answered(library, image, text):
    """The library's outputs, and its scores (instances,)."""
    from PIL import Image

    network, processor = library
    inputs = processor(images=Image.fromarray(image), text=text, return_tensors="pt")
    inputs.pop("original_sizes")
    with torch.no_grad():
        outputs = network(**inputs)
    found = processor.post_process_instance_segmentation(outputs, threshold=0.0, target_sizes=[image.shape[:2]])[0]
    return outputs, found["scores"]


def in_frame(logits, image):
    """(N, h, w) -> (N, H, W) probabilities."""
    return interpolate(logits[None], size=image.shape[:2], mode="bilinear", align_corners=False)[0].sigmoid()


def test_instances_equal_the_librarys(segmenter, library, images):
    counts = set()
    for image in images:
        for text, phrase in (("A photo of dog", "dog"), ("a man with a violin", "a man with a violin")):
            outputs, scores = answered(library, image, phrase)
            kept = scores > min(0.2, scores.max() - 1e-6)  # where none is accepted, the best one is dimmed already
            counts.add(int(kept.sum()))
            products = (scores * kept)[:, None, None] * in_frame(outputs.pred_masks[0], image)
            expected = products.amax(0)
            np.testing.assert_allclose(segmenter.segment([image], [queries(text)])[0], expected, atol=1e-5)
    assert max(counts) > 1


def test_the_semantic_map_and_both(segmenter, library, images):
    image = images[0]
    outputs, _ = answered(library, image, "dog")
    presence = outputs.presence_logits.sigmoid().item()
    semantic = presence * in_frame(outputs.semantic_seg[0], image)[0]
    settings = {"score_threshold": 0.2, "min_presence": presence - 0.01, **PLAIN}
    maps = {
        source: with_settings(segmenter, source=source, **settings).segment([image], [queries("dog")])[0]
        for source in ("instances", "semantic", "both")
    }
    np.testing.assert_allclose(maps["semantic"], semantic, atol=1e-5)
    np.testing.assert_array_equal(maps["both"], np.maximum(maps["instances"], maps["semantic"]))
    assert maps["instances"].any() and np.abs(maps["instances"] - maps["semantic"]).max() > 0.01


def test_one_half_is_where_the_network_decides(segmenter, library, images):
    image = images[0]
    outputs, scores = answered(library, image, "dog")
    inside = interpolate(outputs.pred_masks[0][scores > 0.2][None], size=(48, 80), mode="bilinear")[0] > 0
    score_map = with_settings(segmenter, **OPEN).segment([image], [queries("dog")])[0]
    np.testing.assert_array_equal(score_map > 0.5, inside.any(0))
    assert 0 < inside.any(0).float().mean() < 1


def test_what_is_not_there_has_an_order_but_no_mask(segmenter, library, images):
    """By its presence, however high the score: all are above a threshold of 0."""
    image = images[0]
    outputs = {text: answered(library, image, text) for text in ("dog", "guitar")}
    presences = {text: found.presence_logits.sigmoid().item() for text, (found, _) in outputs.items()}
    absent, present = sorted(presences, key=presences.get)
    between = sum(presences.values()) / 2
    assert presences[present] - presences[absent] > 1e-3
    found, scores = outputs[absent]
    best = interpolate(found.pred_masks[:, [scores.argmax()]], size=(48, 80), mode="bilinear")[0, 0]
    semantic = interpolate(found.semantic_seg, size=(48, 80), mode="bilinear")[0, 0]
    for source, logits in (("instances", best), ("semantic", semantic), ("both", torch.maximum(best, semantic))):
        choosy = with_settings(segmenter, score_threshold=0.0, min_presence=between, source=source)
        gone, there, either = choosy.segment([image] * 3, [queries(absent), queries(present), queries(absent, present)])
        expected = NEAR_MISS * presences[absent] / between * (logits / 4).sigmoid()
        np.testing.assert_allclose(gone, expected, atol=1e-5)
        assert gone.dtype == np.float32 and gone.min() > 0 and gone.max() < 0.5 < there.max()
        np.testing.assert_array_equal(either, np.maximum(gone, there))


@pytest.mark.parametrize("plain", [{}, PLAIN])
def test_where_no_instance_is_accepted_the_best_one_stays_below_one_half(segmenter, library, images, plain):
    outputs, scores = answered(library, images[0], "dog")
    assert scores.max() < 0.9
    strict = with_settings(segmenter, score_threshold=0.9, min_presence=0.0, **plain)
    [score_map] = strict.segment(images[:1], [queries("dog")])
    logits = interpolate(outputs.pred_masks[:, [scores.argmax()]], size=(48, 80), mode="bilinear")[0, 0]
    probability = (logits if plain else logits / 4).sigmoid()
    np.testing.assert_allclose(score_map, NEAR_MISS * scores.max() / 0.9 * probability, atol=1e-5)
    assert score_map.min() > 0 and score_map.max() < 0.5


def test_presence_is_the_networks_own_and_draws_no_mask(segmenter, library, images, monkeypatch):
    def asked(*_, **__):
        raise AssertionError("the mask decoder was asked")

    texts = ["dog", "", "A photo of guitar", "dog"]
    before = segmenter.segment(images[:1], [queries("dog")])[0]
    with monkeypatch.context() as context:
        context.setattr(segmenter.network.mask_decoder.pixel_decoder, "forward", asked)
        found = segmenter.presence(images, texts)
        assert found.shape == (5, 4) and found.dtype == np.float32
        for row, image in zip(found, images, strict=True):
            dog, guitar = (
                answered(library, image, phrase)[0].presence_logits.sigmoid().item() for phrase in ("dog", "guitar")
            )
            np.testing.assert_allclose(row, [dog, 0, guitar, dog], atol=1e-6)
    np.testing.assert_array_equal(segmenter.segment(images[:1], [queries("dog")])[0], before)


def bright(segmenter, score, presence):
    """A network that answers with the brightness it was shown, one instance; its logits for score and presence."""
    from types import SimpleNamespace

    class Bright(torch.nn.Module):
        config = segmenter.network.config
        weight = torch.nn.Parameter(torch.zeros(1))

        def parameters(self):
            return iter([self.weight])

        def get_vision_features(self, pixel_values):
            levels = (pixel_values.mean(dim=1), None)  # (1, 56, 56)
            return SimpleNamespace(fpn_hidden_states=levels, fpn_position_encoding=levels)

        def get_text_features(self, input_ids, attention_mask):
            return None

        def forward(self, vision_embeds, text_embeds, attention_mask):
            return SimpleNamespace(
                presence_logits=torch.full((1, 1), presence),
                pred_logits=torch.full((1, 1), score),
                pred_masks=vision_embeds.fpn_hidden_states[0][None] * 20,
                semantic_seg=None,
            )

    return Bright()


def test_a_pixel_of_the_map_is_the_same_pixel_of_the_image(segmenter, monkeypatch):
    monkeypatch.setattr(segmenter, "network", bright(segmenter, 9.0, 9.0))
    image = np.zeros((28, 112, 3), np.uint8)
    image[8:16, 90:110] = 255
    for turned in (image, image[:, ::-1].copy(), np.ascontiguousarray(image.transpose(1, 0, 2))):
        score_map = segmenter.segment([turned], [queries("dog")])[0]
        np.testing.assert_array_equal(score_map > 0.5, turned[..., 0] > 127)


@pytest.mark.parametrize(("score", "presence"), [(9.0, -2.0), (-2.0, 9.0)])
def test_an_oracle_finds_what_was_rejected(segmenter, monkeypatch, score, presence):
    monkeypatch.setattr(segmenter, "network", bright(segmenter, score, presence))
    image = np.zeros((56, 56, 3), np.uint8)
    image[8:16, 20:30] = np.arange(160, 240).reshape(8, 10, 1)  # brightest last, no two alike
    gt_mask = image[..., 0] > 0
    [score_map] = with_settings(segmenter, **PLAIN | {"rescale": True}).segment([image], [queries("dog")])
    low = 1 / (1 + np.exp(2)) / (1 + (0 if presence < 0 else np.exp(-9)))  # of 0.5, which either has to pass
    np.testing.assert_allclose(
        score_map.max(), NEAR_MISS * low / 0.5 / (1 + np.exp(-20 * (2 * 239 / 255 - 1))), rtol=1e-3
    )
    # Strictly above the least of the 80 are 79 of them.
    assert iou(score_map > adaptive_threshold(score_map, gt_mask), gt_mask) == 79 / 80


def test_the_network_sees_what_the_processor_makes(segmenter, library, images):
    from PIL import Image

    processor = library[1]
    expected = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt")["pixel_values"]
    np.testing.assert_allclose(segmenter.pixel_values(images), expected, atol=1e-5)
    seen = []
    handle = segmenter.network.text_encoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    segmenter.segment(images[:2], [queries("A photo of Guitar"), queries("dog", "a photo of a guitar.", "dog")])
    handle.remove()
    assert len(seen) == 2  # each phrase once, whatever the number of images
    for kwargs in seen:
        tokens = processor(text="guitar" if kwargs["attention_mask"].sum() == 8 else "dog", return_tensors="pt")
        assert torch.equal(kwargs["input_ids"], tokens["input_ids"]) and kwargs["input_ids"].shape == (1, 32)
        assert torch.equal(kwargs["attention_mask"], tokens["attention_mask"])


def test_of_the_vision_encoder_only_what_is_read_is_kept(segmenter, library, images):
    network, _ = library
    assert segmenter.encode_images([]) == []
    for image, encoded in zip(images, segmenter.encode_images(images), strict=True):
        with torch.no_grad():
            whole = network.get_vision_features(segmenter.pixel_values([image]))
        assert len(encoded.fpn_hidden_states) == len(encoded.fpn_position_encoding) == len(whole.fpn_hidden_states)
        for level, expected in zip(encoded.fpn_hidden_states[:-1], whole.fpn_hidden_states[:-1], strict=True):
            np.testing.assert_allclose(level, expected, atol=1e-5)  # (1, D, h, w)
        np.testing.assert_array_equal(encoded.fpn_position_encoding[-2], whole.fpn_position_encoding[-2])
        kept, everything = (
            sum(level.nbytes for level in (*some.fpn_hidden_states, *some.fpn_position_encoding) if level is not None)
            for some in (encoded, whole)
        )
        assert kept < 0.6 * everything


def test_long_texts_are_cut(segmenter, images):
    long, longer = segmenter.segment(images[:1] * 2, [queries("dog " * 40), queries("dog " * 400)])
    np.testing.assert_allclose(long, longer, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(tiny, hub_id, segmenter, images, dtype):
    half = Sam3Segmenter.from_pretrained(
        tiny(hub_id), dtype=dtype, score_threshold=0.0, min_presence=0.0, source="semantic"
    )
    full = with_settings(segmenter, score_threshold=0.0, min_presence=0.0, source="semantic")
    assert half.dtype == getattr(torch, dtype)
    for mine, other in zip(
        half.segment(images, [queries("dog")] * 5), full.segment(images, [queries("dog")] * 5), strict=True
    ):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, other, atol=0.02)


def test_the_detector_alone_is_a_checkpoint_too(tiny, images, tmp_path):
    """The published file is the video model's; one saved from the image model has another model type."""
    from transformers import Sam3Model, Sam3Processor

    whole = Sam3Segmenter.from_pretrained(tiny("facebook/sam3"), score_threshold=0.1)
    Sam3Model.from_pretrained(tiny("facebook/sam3")).save_pretrained(tmp_path)
    Sam3Processor.from_pretrained(tiny("facebook/sam3")).save_pretrained(tmp_path)
    alone = Sam3Segmenter.from_pretrained(str(tmp_path), score_threshold=0.1)
    assert alone.provenance["family"] == "sam3"
    for first, second in zip(*(model.segment(images, [queries("dog")] * 5) for model in (whole, alone)), strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.any()


def test_a_missing_tensor_is_refused(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny("facebook/sam3"), tmp_path / "damaged"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["detector_model.detr_decoder.presence_head.layer3.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="as sam3: 1 of its tensors are missing.*presence_head.layer3.weight"):
        Sam3Segmenter.from_pretrained(str(folder))


def test_another_architecture_is_named(tiny):
    with pytest.raises(UserError, match="as sam3: expected a checkpoint of sam3, .*found a clipseg one"):
        Sam3Segmenter.from_pretrained(tiny("CIDAS/clipseg-rd64-refined"))


def test_loading_is_silent(tiny, capfd):
    Sam3Segmenter.from_pretrained(tiny("facebook/sam3"))
    assert capfd.readouterr() == ("", "")
