import json
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.network import Composite
from models.segmenter import detector
from models.segmenter.grounded_sam import GroundedSamSegmenter
from models.segmenter.score_maps import NEAR_MISS
from tests.checkpoints.mm_grounding_dino import BOX, OWN_HEADS, SCORE, save_six_heads
from utils.errors import NotFinite, UserError
from utils.scoring.metrics import adaptive_threshold, iou
from utils.types import Query

DETECTORS = {  # hub id -> what it is asked for "A photo of cat", as its processor takes it
    "IDEA-Research/grounding-dino-tiny": ["cat."],
    "iSEE-Laboratory/llmdet_large": ["cat."],
    "google/owlv2-base-patch16-ensemble": [["A photo of cat"]],
}
SAM2 = "facebook/sam2.1-hiera-base-plus"
TEXTS = ["A photo of cat", "dog"]


def save_sam(folder: Path) -> Path:
    """The first SAM: images keep their aspect and are padded."""
    from transformers import SamConfig, SamModel, SamProcessor

    return save_first_sam(folder, SamConfig, SamModel, SamProcessor)


def save_sam_hq(folder: Path) -> Path:
    """HQ-SAM: its decoder reads the encoder's inner layers too."""
    from transformers import SamHQConfig, SamHQModel, SamHQProcessor

    return save_first_sam(folder, SamHQConfig, SamHQModel, SamHQProcessor, vit_dim=16)


def save_first_sam(folder, config_class, network_class, processor_class, **decoder):
    from transformers import SamImageProcessor

    shared = dict(hidden_size=32, mlp_dim=16, num_attention_heads=2)
    config = config_class(
        vision_config=dict(
            hidden_size=16, output_channels=32, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=8,
            mlp_dim=16, window_size=4, global_attn_indexes=[1, 2], num_pos_feats=16,
        ),
        prompt_encoder_config=dict(hidden_size=32, image_size=64, patch_size=8, mask_input_channels=4),
        mask_decoder_config={**shared, "iou_head_hidden_dim": 16, **decoder},
    )  # fmt: skip
    torch.manual_seed(0)
    network = network_class(config)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    sizes = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}, "mask_size": {"longest_edge": 16}}
    network.save_pretrained(folder)
    processor_class(SamImageProcessor(**sizes)).save_pretrained(folder)
    return folder


def load(detector_folder, masks_folder, **settings):
    return GroundedSamSegmenter.from_pretrained(
        detector={"weights": detector_folder},
        masks={"weights": masks_folder},
        **settings,
    )


@pytest.fixture(scope="module")
def segmenter(tiny):
    return load(tiny("iSEE-Laboratory/llmdet_base"), tiny(SAM2))


def with_settings(segmenter, **settings):
    return GroundedSamSegmenter(segmenter.networks, segmenter.provenance, **settings)


def queries(*texts):
    return [Query(text) for text in texts]


@cache
def library(folder, network_class):
    """(processor, network) without anything of ours."""
    import transformers

    network = getattr(transformers, network_class).from_pretrained(folder).eval()
    return transformers.AutoProcessor.from_pretrained(folder), network


def found_by_the_library(detector_folder, image, asked, threshold):
    """(scores (B,), boxes (B, 4) in pixels), best first."""
    from PIL import Image

    processor, network = library(detector_folder, "AutoModelForZeroShotObjectDetection")
    inputs = processor(images=[Image.fromarray(image)], text=asked, return_tensors="pt")
    with torch.no_grad():
        outputs = network(**inputs)
    found = processor.post_process_grounded_object_detection(
        outputs, threshold=threshold, target_sizes=[image.shape[:2]]
    )[0]
    order = found["scores"].argsort(descending=True)
    return found["scores"][order], found["boxes"][order]


def outlined_by_the_library(masks_folder, image, boxes, multimask=False):
    """(B, H, W) logits in the image's frame."""
    from PIL import Image

    processor, network = library(masks_folder, "AutoModelForMaskGeneration")
    inputs = processor(images=Image.fromarray(image), input_boxes=[boxes.tolist()], return_tensors="pt")
    frame = [inputs.pop(name) for name in ("original_sizes", "reshaped_input_sizes") if name in inputs]
    with torch.no_grad():
        outputs = network(**{**inputs, "input_boxes": inputs["input_boxes"].float()}, multimask_output=multimask)
    masks = processor.post_process_masks(list(outputs.pred_masks), *frame, binarize=False)[0]  # (B, M, H, W)
    best = outputs.iou_scores[0].argmax(-1)
    return masks[torch.arange(len(best)), best]


@pytest.mark.parametrize("hub_id", DETECTORS)
def test_it_equals_the_library_step_by_step(tiny, images, hub_id):
    settings = {"rescale": False, "mask_temperature": 1.0, "box_threshold": 0.4}
    segmenter = load(tiny(hub_id), tiny(SAM2), **settings)
    for image in images[:4]:
        asked = segmenter.networks["detector"].asked("A photo of cat")
        assert asked == DETECTORS[hub_id]
        scores, boxes = found_by_the_library(tiny(hub_id), image, asked, threshold=0.4)
        score_map = segmenter.segment([image], [queries("A photo of cat")])[0]
        if len(scores):
            logits = outlined_by_the_library(tiny(SAM2), image, boxes)
            expected = (scores[:, None, None] * logits.sigmoid()).amax(0).numpy()
        else:
            expected = np.zeros(image.shape[:2])
        np.testing.assert_allclose(score_map, expected, atol=1e-4)
    assert 1 < len(found_by_the_library(tiny(hub_id), images[0], asked, threshold=0.4)[0]) < 36


@pytest.mark.parametrize("save", [save_sam, save_sam_hq])
def test_the_first_sams_make_masks_too(tiny, images, save):
    segmenter = load(tiny("IDEA-Research/grounding-dino-tiny"), tiny.saved(save))
    generator = segmenter.networks["masks"]
    for image in images[:4]:
        height, width = image.shape[:2]
        boxes = torch.tensor([[0.0, 0, width / 2, height / 2], [width / 4, 0, width, height]])
        expected = outlined_by_the_library(tiny.saved(save), image, boxes)
        found = torch.stack(list(generator.mask_logits(image, boxes, multimask=False)))
        assert found.shape == (2, height, width)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert segmenter.segment(images[:1], [queries("dog")])[0].any()


def test_above_one_half_is_where_the_library_draws_its_masks(tiny, segmenter, images):
    for image in images[:3]:
        scores, boxes = found_by_the_library(tiny("iSEE-Laboratory/llmdet_base"), image, ["dog."], threshold=0.3)
        inside = outlined_by_the_library(tiny(SAM2), image, boxes) > 0
        score_map = segmenter.segment([image], [queries("dog")])[0]
        np.testing.assert_array_equal(score_map > 0.5, inside.any(0))
        assert len(scores) and 0 < inside.any(0).float().mean() < 1


def test_a_pixel_of_the_map_is_the_same_pixel_of_the_image(segmenter, monkeypatch):
    """A detector that frames what is bright, and masks that are bright within the frame."""
    image = np.zeros((32, 300, 3), np.uint8)
    image[8:16, 190:260] = 255

    def detect(seen, texts, threshold, max_boxes):
        ys, xs = np.nonzero(seen[..., 0])
        corners = torch.tensor([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], dtype=torch.float32)
        return [detector.Detections(corners, torch.tensor([0.9]))]

    def mask_logits(seen, corners, multimask):
        x0, y0, x1, y1 = (int(value) for value in corners[0])
        logits = torch.full(seen.shape[:2], -9.0)
        logits[y0:y1, x0:x1] = 9
        yield logits

    monkeypatch.setattr(segmenter.networks["detector"], "detect", detect)
    monkeypatch.setattr(segmenter.networks["masks"], "mask_logits", mask_logits)
    for turned in (image, image[:, ::-1], image.transpose(1, 0, 2), image[:3]):
        if turned.any():
            score_map = segmenter.segment([turned], [queries("dog")])[0]
            np.testing.assert_array_equal(score_map > 0.5, turned[..., 0] > 127)


def test_only_the_best_boxes_above_the_threshold_count(tiny, segmenter, images):
    scores, boxes = found_by_the_library(tiny("iSEE-Laboratory/llmdet_base"), images[0], ["dog."], threshold=0.0)
    logits = outlined_by_the_library(tiny(SAM2), images[0], boxes)
    plain = {"rescale": False, "mask_temperature": 1.0}
    one = with_settings(segmenter, max_boxes=1, box_threshold=0.0, **plain).segment(images[:1], [queries("dog")])[0]
    np.testing.assert_allclose(one, scores[0] * logits[0].sigmoid(), atol=1e-4)
    threshold = float(scores[1] + scores[2]) / 2
    two = with_settings(segmenter, box_threshold=threshold, **plain).segment(images[:1], [queries("dog")])[0]
    np.testing.assert_allclose(two, (scores[:2, None, None] * logits[:2].sigmoid()).amax(0), atol=1e-4)
    threshold = float(scores[0]) + 0.01
    none = with_settings(segmenter, box_threshold=threshold).segment(images[:1], [queries("dog")])[0]
    assert none.dtype == np.float32 and none.max() < 0.5
    np.testing.assert_allclose(none, NEAR_MISS * scores[0] / threshold * (logits[0] / 4).sigmoid(), atol=1e-4)


@pytest.mark.parametrize("hub_id", DETECTORS)
def test_where_no_box_is_accepted_the_best_one_is_found(tiny, images, hub_id):
    part = detector.TextDetector.from_pretrained(tiny(hub_id))
    for image in images[:3]:
        scores, boxes = found_by_the_library(tiny(hub_id), image, part.asked("A photo of cat"), threshold=0.0)
        assert scores[0] > scores[1]
        for threshold, count in ((0.0, 12), (float(scores[1]), 1), (float(scores[0]), 1), (0.9999, 1)):
            [found] = part.detect(image, ["A photo of cat"], threshold, 12)
            np.testing.assert_allclose(found.scores, scores[:count], atol=1e-5)
            np.testing.assert_allclose(found.corners, boxes[:count], atol=1e-2)


def test_what_is_rejected_has_an_order_but_no_mask(tiny, images, monkeypatch):
    """A detector that always finds one box, and masks that are right within it and fall off row by row."""
    segmenter = load(tiny.saved(save_six_heads), tiny(SAM2), box_threshold=0.95)
    gt_mask = np.zeros((48, 80), bool)
    gt_mask[14:33, 12:28] = True
    logits = torch.from_numpy(4.0 * gt_mask - 1).float() - torch.arange(3840).reshape(48, 80) / 3840  # no two alike

    def mask_logits(seen, corners, multimask):
        np.testing.assert_allclose(corners, only_box(seen, BOX), atol=1e-3)
        yield logits

    monkeypatch.setattr(segmenter.networks["masks"], "mask_logits", mask_logits)
    [rejected] = segmenter.segment(images[:1], [queries("dog")])
    np.testing.assert_allclose(rejected, NEAR_MISS * SCORE / 0.95 * (logits / 4).sigmoid(), rtol=1e-5)
    assert rejected.min() > 0 and rejected.max() < 0.5
    # Strictly above the least of the 304 are 303 of them.
    assert iou(rejected > adaptive_threshold(rejected, gt_mask), gt_mask) == 303 / 304
    [accepted] = with_settings(segmenter, max_boxes=1).segment(images[:1], [queries("dog")])
    np.testing.assert_array_equal(accepted > 0.5, gt_mask)


def test_presence_is_the_best_boxs_score_and_asks_for_no_mask(tiny, segmenter, images, monkeypatch):
    def asked(*_, **__):
        raise AssertionError("the mask network was asked")

    for name in ("mask_logits", "encode_images"):
        monkeypatch.setattr(segmenter.networks["masks"], name, asked)
    texts = ["dog", "", "A photo of cat", "dog"]
    found = with_settings(segmenter, box_threshold=0.999).presence(images, texts)
    assert found.shape == (5, 4) and found.dtype == np.float32
    for row, image in zip(found, images, strict=True):
        best = [
            found_by_the_library(tiny("iSEE-Laboratory/llmdet_base"), image, [phrase], threshold=0.0)[0][0]
            for phrase in ("dog.", "cat.")
        ]
        np.testing.assert_allclose(row, [best[0], 0, best[1], best[0]], atol=1e-5)


def six_heads(tiny, tmp_path, change):
    """`save_six_heads` with what `change` makes of its tensors."""
    folder = Path(shutil.copytree(tiny.saved(save_six_heads), tmp_path / "heads"))
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


LATER = re.compile(r"^(bbox|class)_embed\.[1-5]")  # heads than the first


def as_they_are(tensors):
    return tensors


def of_the_decoder(tensors):
    """Under the other of their two names."""
    return {LATER.sub(r"model.decoder.\g<0>", name): tensor for name, tensor in tensors.items()}


def all_the_first(tensors):
    return {name: tensors[LATER.sub(r"\1_embed.0", name)].clone() for name in tensors}


def one_alone(tensors):
    return {name: tensor for name, tensor in tensors.items() if not LATER.match(name)}


def only_box(image, box):
    """Corners in pixels, (1, 4), of a box in shares of the image."""
    height, width = image.shape[:2]
    x, y, w, h = box
    return [[(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]]


@pytest.mark.parametrize("change", [as_they_are, of_the_decoder])
def test_six_heads_are_read_as_six_though_the_config_is_silent(tiny, tmp_path, images, change):
    part = detector.TextDetector.from_pretrained(six_heads(tiny, tmp_path, change))
    for image in images[:3]:
        [found] = part.detect(image, ["dog"], 0.5, 1)
        np.testing.assert_allclose(found.corners, only_box(image, BOX), atol=1e-3)
        np.testing.assert_allclose(found.scores, [SCORE], rtol=1e-6)


@pytest.mark.parametrize("change", [all_the_first, one_alone])
def test_heads_that_are_alike_are_one(tiny, tmp_path, images, change):
    part = detector.TextDetector.from_pretrained(six_heads(tiny, tmp_path, change))
    heads = part.network.bbox_embed, part.network.model.decoder.bbox_embed
    assert len({id(head.layers[-1].bias) for some in heads for head in some}) == 1
    [found] = part.detect(images[0], ["dog"], 0.5, 1)
    np.testing.assert_allclose(found.corners, only_box(images[0], (1, 1, 1, 1)), atol=1e-3)  # where the first sends all
    np.testing.assert_allclose(found.scores, [0], atol=1e-6)


@pytest.mark.parametrize("key", OWN_HEADS)
def test_six_heads_that_the_config_calls_one_are_refused(tiny, tmp_path, key):
    folder = six_heads(tiny, tmp_path, as_they_are)
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, key: True}))
    with pytest.raises(UserError, match=rf"expected one head .*\({key}: true\), found weights with different ones"):
        detector.TextDetector.from_pretrained(folder)


def test_what_a_silent_config_should_say(tmp_path):
    save_file({"bbox_embed.0.b": torch.ones(2), "bbox_embed.1.b": torch.zeros(2)}, tmp_path / "model.safetensors")
    silent = {"decoder_bbox_embed_share": False}
    assert detector.shared_heads(tmp_path) == silent  # without any config, of which the library will speak
    for config, expected in (({}, silent), (silent, {})):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert detector.shared_heads(tmp_path) == expected  # as of Grounding DINO, whose heads for scores learn nothing


def test_of_three_masks_the_best_is_taken(tiny, segmenter, images):
    image = images[0]
    boxes = torch.tensor([[5.0, 5, 30, 30], [40, 20, 70, 45], [0, 0, 80, 48], [60, 2, 75, 12]])
    generator = segmenter.networks["masks"]
    both = {}
    for multimask in (False, True):
        both[multimask] = torch.stack(list(generator.mask_logits(image, boxes, multimask)))
        expected = outlined_by_the_library(tiny(SAM2), image, boxes, multimask)
        np.testing.assert_allclose(both[multimask], expected, atol=1e-4)
    assert (both[False] - both[True]).abs().max() > 0.1
    three = with_settings(segmenter, multimask=True).segment([image], [queries("dog")])[0]
    assert np.abs(three - segmenter.segment([image], [queries("dog")])[0]).max() > 1e-3


def test_more_boxes_than_one_pass_of_the_decoder_takes(segmenter, images, monkeypatch):
    boxes = torch.tensor([[5.0, 5, 30, 30], [40, 20, 70, 45], [0, 0, 80, 48]]).repeat(3, 1)
    generator = segmenter.networks["masks"]
    whole = torch.stack(list(generator.mask_logits(images[0], boxes, False)))
    monkeypatch.setattr("models.segmenter.grounded_sam.MAX_BATCH", 2)
    np.testing.assert_allclose(torch.stack(list(generator.mask_logits(images[0], boxes, False))), whole, atol=1e-4)


def test_the_networks_see_what_the_processors_make(tiny, segmenter, images):
    from transformers import GroundingDinoProcessor, Sam2ImageProcessor

    processor = GroundingDinoProcessor.from_pretrained(tiny("iSEE-Laboratory/llmdet_base"))
    image_processor = Sam2ImageProcessor.from_pretrained(tiny(SAM2))
    seen = []
    parts = segmenter.networks
    tower = parts["detector"].network.get_submodule(detector.VISION_TOWERS["mm-grounding-dino"]).swin.embeddings
    handles = [
        tower.register_forward_pre_hook(lambda _, args: seen.append(args[0])),
        parts["detector"].network.register_forward_pre_hook(lambda *args: seen.append(args[2]), with_kwargs=True),
        parts["masks"].network.vision_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0])),
    ]
    for image in images:
        seen.clear()
        segmenter.segment([image], [queries("A photo of dog")])
        expected = processor(images=image, text="dog.", return_tensors="pt", input_data_format="channels_last")
        assert set(expected) <= set(seen[1]) and seen[1]["pixel_values"].shape == expected["pixel_values"].shape
        for name, value in expected.items():
            given = seen[0] if name == "pixel_values" else seen[1][name]
            np.testing.assert_allclose(given, value, atol=1e-5)
        pixel_values = image_processor(image, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        np.testing.assert_allclose(seen[2], pixel_values, atol=1e-5)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("hub_id", DETECTORS)
def test_long_texts_are_cut_to_what_the_detector_reads(tiny, images, hub_id):
    part = detector.TextDetector.from_pretrained(tiny(hub_id))
    long = part.asked("dog guitar violin " * 100)
    text = long[0] if isinstance(long[0], str) else long[0][0]
    limit = 64 if "owl" not in hub_id else 16
    assert limit - 3 <= len(part.processor.tokenizer(text)["input_ids"]) <= limit
    assert isinstance(long[0], list) or text.endswith(".")
    assert len(part.detect(images[0], [" ".join(["dog"] * 200)], 0.0, 5)[0].scores) == 5


@pytest.mark.parametrize("hub_id", DETECTORS)
def test_the_pixels_are_encoded_once_and_that_changes_nothing(tiny, images, hub_id, monkeypatch):
    part = detector.TextDetector.from_pretrained(tiny(hub_id))
    tower = part.network.get_submodule(detector.VISION_TOWERS[part.network.config.model_type])
    forward, calls = tower.forward, []
    monkeypatch.setattr(tower, "forward", lambda *args, **kw: calls.append(1) or forward(*args, **kw))
    shared = part.detect(images[0], TEXTS, 0.0, 10) + part.detect(images[1], TEXTS, 0.0, 10)
    assert len(calls) == 2
    monkeypatch.setattr(detector, "VISION_TOWERS", {})  # as for an architecture that is not known here
    assert part.encode_images(images) == [None] * 5
    anew = part.detect(images[0], TEXTS, 0.0, 10) + part.detect(images[1], TEXTS, 0.0, 10)
    assert len(calls) == 6
    for first, second in zip(shared, anew, strict=True):
        assert torch.equal(first.corners, second.corners) and torch.equal(first.scores, second.scores)
        assert len(first.scores) == 10 and (first.scores.diff() <= 0).all()


def test_a_module_answers_again_after_an_error():
    module = torch.nn.Identity()
    with pytest.raises(RuntimeError), detector.answering(module, "known"):
        assert module(torch.ones(1)) == module(torch.zeros(1)) == "known"
        raise RuntimeError
    assert module(torch.zeros(1)) == 0


@pytest.mark.parametrize("save", [save_sam, save_sam_hq])
def test_the_first_sams_encode_an_image_once_for_any_boxes(tiny, images, save, monkeypatch):
    masks = tiny.saved(save)
    part = load(tiny("IDEA-Research/grounding-dino-tiny"), masks).networks["masks"]
    boxes = [torch.tensor([[0.0, 0, 40, 24]]), torch.tensor([[20.0, 0, 80, 48], [0.0, 0, 40, 24]])]
    fresh = [torch.stack(list(part.mask_logits(images[0], some, False))) for some in boxes]
    encoded = part.encode_images(images[:1])
    assert set(encoded[0].sizes) == {"original_sizes", "reshaped_input_sizes"}
    if save is save_sam_hq:  # of the two layers that see the whole image
        assert [layer.shape for layer in encoded[0].inputs["intermediate_embeddings"]] == [(1, 8, 8, 16)]
    monkeypatch.setattr(part, "encode_images", lambda asked: encoded)
    for some, expected in zip([*boxes, boxes[0]], [*fresh, fresh[0]], strict=True):
        assert torch.equal(torch.stack(list(part.mask_logits(images[0], some, False))), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(tiny, segmenter, images, dtype):
    half = GroundedSamSegmenter.from_pretrained(
        detector={"weights": tiny("iSEE-Laboratory/llmdet_base"), "dtype": dtype},
        masks={"weights": tiny(SAM2), "dtype": dtype},
    )
    assert {part.dtype for part in half.networks.values()} == {getattr(torch, dtype)}
    boxes = torch.tensor([[5.0, 5, 30, 30], [40, 20, 70, 45]])
    for mine, other in zip(
        half.networks["masks"].mask_logits(images[0], boxes, True),
        segmenter.networks["masks"].mask_logits(images[0], boxes, True),
        strict=True,
    ):
        assert mine.dtype == torch.float32 and (mine - other).abs().mean() < 0.1 * other.std()
    for score_map, image in zip(half.segment(images, [queries(*TEXTS)] * 5), images, strict=True):
        assert score_map.dtype == np.float32 and score_map.shape == image.shape[:2] and score_map.max() <= 1


def test_the_parts_are_named_in_the_provenance(tiny, segmenter):
    assert isinstance(segmenter, Composite) and list(segmenter.networks) == ["detector", "masks"]
    assert segmenter.provenance["family"] == "grounded_sam"
    assert segmenter.provenance["parts"]["masks"]["id"] == tiny(SAM2)
    for part in segmenter.networks.values():
        assert not part.network.training and not any(p.requires_grad for p in part.network.parameters())


def test_the_hubs_layout_of_processor_files(tiny, images, tmp_path):
    """SAM 2.1's repositories have three files where the library now writes one."""
    folder = Path(shutil.copytree(tiny(SAM2), tmp_path / "sam2"))
    one = json.loads((folder / "processor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(one.pop("image_processor")))
    (folder / "video_preprocessor_config.json").write_text(json.dumps(one.pop("video_processor")))
    (folder / "processor_config.json").write_text(json.dumps(one))
    new, old = (load(tiny("iSEE-Laboratory/llmdet_base"), place) for place in (tiny(SAM2), str(folder)))
    asked = [queries("dog")]
    np.testing.assert_array_equal(old.segment(images[:1], asked)[0], new.segment(images[:1], asked)[0])


@pytest.mark.parametrize(
    ("hub_id", "tensor"),
    [
        ("iSEE-Laboratory/llmdet_base", "model.decoder.layer_norm.weight"),
        (SAM2, "mask_decoder.iou_token.weight"),
    ],
)
def test_a_missing_tensor_is_refused(tiny, tmp_path, hub_id, tensor):
    folder = Path(shutil.copytree(tiny(hub_id), tmp_path / "damaged"))
    tensors = load_file(folder / "model.safetensors")
    del tensors[tensor]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    folders = {
        "iSEE-Laboratory/llmdet_base": tiny("iSEE-Laboratory/llmdet_base"),
        SAM2: tiny(SAM2),
        hub_id: str(folder),
    }
    with pytest.raises(UserError, match=f"1 of its tensors are missing.*{tensor}"):
        load(folders["iSEE-Laboratory/llmdet_base"], folders[SAM2])


def test_a_network_of_the_other_kind_is_refused(tiny):
    with pytest.raises(UserError, match="cannot load .* as zero_shot_object_detection"):
        load(tiny(SAM2), tiny(SAM2))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_no_number_or_beyond_measure_is_refused(segmenter, images, monkeypatch, value):
    """Minus infinity is what the architecture itself gives where there is no word."""
    network = segmenter.networks["detector"].network
    forward = network.forward

    def broken(**inputs):
        outputs = forward(**inputs)
        outputs["logits"][0, 0, 0] = value
        return outputs

    monkeypatch.setattr(network, "forward", broken)
    with pytest.raises(NotFinite, match=r"from zero_shot_object_detection .*\(float32 on cpu\)"):
        segmenter.segment(images[:1], [queries("dog")])
