import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.segmenter.segment_anything import SegmentAnything, as_segment_anything
from tests.checkpoints.segment_anything import PUBLISHED
from utils.errors import UserError

ALL = {"pred_iou_thresh": -9.0, "stability_score_thresh": 0.0, "min_area": 0.0}


@pytest.fixture(scope="module")
def folder(tiny):
    return tiny("facebook/sam-vit-base")


@pytest.fixture(scope="module")
def network(folder):
    return SegmentAnything.from_pretrained(folder)


@pytest.fixture(scope="module")
def library(folder):
    """transformers' SamModel, the normalisation inside its decoder as Meta has it (PyTorch's 1e-5, there 1e-6)."""
    from transformers import SamModel

    network = SamModel.from_pretrained(folder).eval()
    for module in network.mask_decoder.transformer.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-5
    return network


def test_the_renamed_network_computes_what_transformers_does(network, library):
    sam, pixels, points = network.network, torch.randn(2, 3, 64, 64), torch.rand(5, 1, 2) * 64
    with torch.no_grad():
        embeds = sam.image_encoder(pixels)
        torch.testing.assert_close(embeds, library.get_image_embeddings(pixels), atol=1e-4, rtol=0)
        expected = library(
            pixel_values=pixels[:1], input_points=points[None], input_labels=torch.ones(1, 5, 1, dtype=torch.int)
        )
        sparse, dense = sam.prompt_encoder((points, torch.ones(5, 1)), None, None)
        masks, qualities = sam.mask_decoder(embeds[:1], sam.prompt_encoder.get_dense_pe(), sparse, dense, True)
    assert masks.std() > 5 and qualities.std() > 0.01
    torch.testing.assert_close(masks / masks.std(), expected.pred_masks[0] / masks.std(), atol=1e-4, rtol=0)
    torch.testing.assert_close(qualities, expected.iou_scores[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("hub_id", "name"), [*zip(PUBLISHED, ("vit_b", "vit_l", "vit_h"), strict=True)])
def test_the_published_checkpoints_have_the_packages_own_architectures(hub_id, name):
    from segment_anything import sam_model_registry
    from transformers import SamConfig, SamModel

    # As published: the parts' model_type is empty, and there are keys of another class.
    odd = {"model_type": "", "intermediate_size": 6144, "projection_dim": 512, "dropout": 0.0}
    parts = {"vision_config": odd | PUBLISHED[hub_id], "mask_decoder_config": {"model_type": ""}}
    config = json.loads(json.dumps({"prompt_encoder_config": {"model_type": ""}, **parts}))
    with torch.device("meta"):
        network, expected = SamModel(SamConfig.from_dict(config)), sam_model_registry[name]()
    sam = as_segment_anything(network)
    shapes = {key: tensor.shape for key, tensor in sam.state_dict().items()}
    assert shapes == {key: tensor.shape for key, tensor in expected.state_dict().items()}
    assert [block.window_size for block in sam.image_encoder.blocks] == [
        block.window_size for block in expected.image_encoder.blocks
    ]
    assert str(sam) == str(expected)
    torch.testing.assert_close(sam.pixel_mean.flatten(), torch.tensor([123.675, 116.28, 103.53]))


@pytest.mark.parametrize("size", [(48, 80), (90, 40), (64, 64), (3, 7), (1, 1)])
def test_images_are_prepared_as_the_package_does(network, size):
    from segment_anything import SamPredictor

    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected, predictor = SamPredictor(network.network), SamPredictor(network.network)
    expected.set_image(image)
    network._set_image(predictor, image)
    assert predictor.input_size == expected.input_size and max(predictor.original_size) <= 32
    torch.testing.assert_close(predictor.features, expected.features, atol=1e-5, rtol=0)


def test_small_images_get_the_proposals_of_the_packages_generator(network):
    from segment_anything import SamAutomaticMaskGenerator

    settings = dict(pred_iou_thresh=0.9, stability_score_thresh=0.6, box_nms_thresh=0.9)
    generator = SamAutomaticMaskGenerator(network.network, points_per_side=6, **settings)
    count = 0
    for seed in range(4):
        image = np.random.default_rng(seed).integers(0, 256, (32, 24, 3), dtype=np.uint8)
        expected = generator.generate(image)
        found = network.generate(image, points_per_side=6, min_area=0.0, **settings)
        count += len(found)
        assert len(found) == len(expected)
        for index, proposal in enumerate(expected):
            x, y, width, height = proposal["bbox"]
            assert found.boxes[index].tolist() == [x, y, x + width + 1, y + height + 1]  # theirs end within the pixel
            assert found.qualities[index] == pytest.approx(proposal["predicted_iou"], abs=1e-5)
            mask = network.mask_logits(found, index).numpy() > 0
            assert (mask != proposal["segmentation"]).mean() < 0.01
    assert count >= 8


def test_boxes_hold_the_masks_whatever_the_images_size(network):
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    found = network.generate(image, points_per_side=6, box_nms_thresh=0.95, **ALL)
    assert len(found) > 3
    for index, (left, top, right, bottom) in enumerate(found.boxes.tolist()):
        rows, columns = np.nonzero(network.mask_logits(found, index).numpy() > 0)
        pixel = 200 / 32  # of the frame the filters work in
        np.testing.assert_allclose([left, top], [columns.min(), rows.min()], atol=pixel)
        np.testing.assert_allclose([right, bottom], [columns.max() + 1, rows.max() + 1], atol=pixel)


def test_each_filter_does_its_part(network, images):
    found = network.generate(images[0], points_per_side=6, box_nms_thresh=1.0, max_regions=999, **ALL)
    areas = torch.stack([(network.mask_logits(found, i) > 0).float().mean() for i in range(len(found))])
    assert len(found) > 50 and (found.qualities.diff() <= 0).all()

    def ask(**settings):
        usual = {"box_nms_thresh": 1.0, "max_regions": 999, **ALL}
        return network.generate(images[0], points_per_side=6, **usual | settings)

    assert len(ask(max_regions=7)) == 7 and torch.equal(ask(max_regions=7).qualities, found.qualities[:7])
    middle = found.qualities.median().item()
    assert len(ask(pred_iou_thresh=middle)) == (found.qualities > middle).sum()
    assert 0 < len(ask(min_area=0.5)) < len(found) and abs(len(ask(min_area=0.5)) - (areas >= 0.5).sum()) <= 2
    assert 0 < len(ask(stability_score_thresh=0.9)) < len(ask(stability_score_thresh=0.5)) <= len(found)
    assert len(ask(box_nms_thresh=0.5)) < len(found)
    assert len(ask(pred_iou_thresh=9.0)) == 0


def test_a_half_precision_encoder_finds_much_the_same(folder, network, images):
    half = SegmentAnything.from_pretrained(folder, dtype="bfloat16")
    assert half.dtype == torch.bfloat16 and half.network.mask_decoder.iou_token.weight.dtype == torch.float32
    first, second = (model.generate(images[0], points_per_side=2, **ALL) for model in (network, half))
    assert first.low_res_logits.dtype == second.low_res_logits.dtype == torch.float32
    np.testing.assert_allclose(first.qualities[0], second.qualities[0], atol=0.02)


def test_metas_own_files_are_refused_with_the_way_out():
    with pytest.raises(UserError, match="only safetensors are opened and this is a pickle; .*facebook/sam-vit-base"):
        SegmentAnything.from_pretrained("/weights/sam_vit_b_01ec64.pth")


def test_a_missing_tensor_is_never_random(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "sam")
    tensors = load_file(copy / "model.safetensors")
    tensors.pop("mask_decoder.iou_token.weight")
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="1 of its tensors are missing.*mask_decoder.iou_token.weight"):
        SegmentAnything.from_pretrained(str(copy))


def test_another_architecture_is_named(tiny):
    with pytest.raises(UserError, match="as segment_anything: expected a sam checkpoint, found a clipseg one"):
        SegmentAnything.from_pretrained(tiny("CIDAS/clipseg-rd64"))
