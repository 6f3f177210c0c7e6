import numpy as np
import pytest
import torch
from PIL import Image

from models.roles import Segmenter
from models.segmenter.sam_clip import NEGATIVES, SamClipSegmenter
from models.segmenter.segment_anything import Regions
from utils.errors import UserError
from utils.types import Query

CLIP, SIGLIP = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "timm/ViT-B-16-SigLIP"
TEXTS = ["a photo of a guitar", "dog", "a man and a woman with a violin"]
MANY = {
    "points_per_side": 4,
    "pred_iou_thresh": -1.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 0.95,
    "min_area": 0.0,
}


@pytest.fixture(scope="module")
def load(tiny):
    def load(scorer=CLIP, **settings):
        parts = {"masks": {"weights": tiny("facebook/sam-vit-base")}, "scorer": {"weights": tiny(scorer)}}
        return SamClipSegmenter.from_pretrained(**parts, **{**MANY, **settings})

    return load


@pytest.fixture(scope="module")
def segmenter(load):
    return load()


def queries(*texts):
    return tuple(Query(text) for text in texts)


def test_it_loads_and_says_where_its_parts_came_from(segmenter, load):
    assert isinstance(segmenter, Segmenter) and segmenter.accepts_embeddings and segmenter.text_embed_dim == 24
    assert load(SIGLIP).text_embed_dim == 96
    assert segmenter.provenance["parts"]["masks"]["family"] == "segment_anything"
    assert segmenter.provenance["parts"]["scorer"]["family"] == "open_clip"


@pytest.mark.parametrize("scorer", [CLIP, SIGLIP])
def test_it_equals_the_formula_computed_through_the_packages(load, images, tiny, scorer):
    """No context, no muted background, a square image: crops, masks and their calibration by hand."""
    import open_clip
    from segment_anything.utils.amg import batched_mask_to_box

    image, where = images[2], f"local-dir:{tiny(scorer)}"
    segmenter = load(scorer, mask_weight=0.0, crop_context=0.0)
    sam, (clip, transform) = segmenter.networks["masks"], open_clip.create_model_from_pretrained(where)
    found = sam.generate(image, **segmenter.generation)
    low_res = found.low_res_logits[:, None]
    logits, small = (sam.network.postprocess_masks(low_res, (64, 64), (side, side))[:, 0] for side in (64, 32))
    boxes = (batched_mask_to_box(small > 0) + torch.tensor([0, 0, 1, 1])) * 2
    assert len(boxes) > 3 and boxes.tolist() == found.boxes.tolist()
    crops, grey = [], tuple(round(255 * value) for value in clip.visual.image_mean)
    for left, top, right, bottom in boxes.tolist():
        side = max(right - left, bottom - top)
        x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
        padded = np.full((64 * 3, 64 * 3, 3), grey, np.uint8)
        padded[64:128, 64:128] = image
        crops.append(transform(Image.fromarray(padded[64 + y : 64 + y + side, 64 + x : 64 + x + side])))
    tokenizer = open_clip.get_tokenizer(where)
    with torch.no_grad():
        seen = clip.eval().encode_image(torch.stack(crops), normalize=True)
        asked, others = (clip.encode_text(tokenizer(list(some)), normalize=True) for some in (TEXTS, NEGATIVES))
        scale = clip.logit_scale.exp()
    expected = np.zeros((3, 64, 64))
    for t, text in enumerate(asked):
        for p, region in enumerate(seen):
            relevancy = min(torch.softmax(scale * torch.stack([region @ text, region @ n]), 0)[0] for n in others)
            relevancy, soft = relevancy.item(), (logits[p] / 4).sigmoid().numpy()
            inside = np.where(soft > 0.5, 0.5 + 2 * (relevancy - 0.5) * (soft - 0.5), soft)
            expected[t] = np.maximum(expected[t], inside if relevancy > 0.5 else 0.49 * 2 * relevancy * soft)
    for text, one in zip(TEXTS, expected, strict=True):
        np.testing.assert_allclose(segmenter.segment([image], [queries(text)])[0], one, atol=1e-4)
    np.testing.assert_allclose(segmenter.segment([image], [queries(*TEXTS)])[0], expected.max(axis=0), atol=1e-4)


@pytest.fixture
def scene(segmenter, monkeypatch):
    """A bright thing and a dark thing on grey; a CLIP that tells bright from dark and knows the words for it."""
    image = np.full((64, 96, 3), 128, np.uint8)
    image[16:48, 8:40], image[16:48, 56:88] = 255, 0
    logits = torch.full((2, 32, 32), -20.0)  # the square is 96 x 96 pixels of the image
    logits[0, 5:16, 3:13], logits[1, 5:16, 19:29] = 20.0, 20.0
    boxes = torch.tensor([[8.0, 16, 40, 48], [56.0, 16, 88, 48]])
    regions = Regions((64, 96), (43, 64), 64, logits, boxes, torch.tensor([0.99, 0.98]))
    words = {"bright": [1.0, 0, 0], "dark": [0, 1.0, 0]}

    def encode_pixels(pixels):
        tone = pixels.flatten(1).mean(1)
        axes = torch.stack([tone.clamp(min=0), (-tone).clamp(min=0), torch.full_like(tone, 0.3)], dim=1)
        return torch.nn.functional.normalize(axes, dim=1)

    def encode_text(texts):
        return np.array([words.get(text, [0, 0, 1.0]) for text in texts], np.float32)

    scorer = segmenter.networks["scorer"]
    monkeypatch.setattr(segmenter.networks["masks"], "generate", lambda image, **settings: regions)
    monkeypatch.setattr(type(scorer), "embed_dim", 3)
    monkeypatch.setattr(type(scorer), "logit_scale", 100.0)
    monkeypatch.setattr(scorer, "encode_pixels", encode_pixels)
    monkeypatch.setattr(scorer, "encode_text", encode_text)
    return image


@pytest.mark.parametrize("text", ["bright", "dark"])
def test_what_is_there_is_above_a_half_and_the_rest_near_zero(segmenter, scene, text):
    score_map = segmenter.segment([scene], [queries(text)])[0]
    there = {"bright": scene[..., 0] == 255, "dark": scene[..., 0] == 0}
    other = there["dark" if text == "bright" else "bright"]
    inside = score_map[there[text]]
    assert (inside > 0.5).mean() > 0.9 and inside.max() > 0.98
    assert score_map[other].max() < 0.05 and score_map[:8].max() < 0.05
    np.testing.assert_allclose(score_map[30, 20 if text == "bright" else 70], 1 / (1 + np.exp(-5)), atol=1e-3)


def test_what_is_not_there_is_nowhere(segmenter, scene):
    assert segmenter.segment([scene], [queries("something else")])[0].max() <= 0.49


def test_what_clip_prefers_ends_where_its_own_outline_does(segmenter, scene, monkeypatch):
    """However little it prefers it."""
    masks = segmenter.networks["masks"]
    outline = (masks.mask_logits(masks.generate(scene), 0) > 0)[:64].numpy()
    for scale, score in ((2.0, 0.83), (0.01, 0.502)):
        monkeypatch.setattr(type(segmenter.networks["scorer"]), "logit_scale", scale)
        score_map = segmenter.segment([scene], [queries("bright")])[0]
        assert score_map.max() == pytest.approx(0.5 + 2 * (score - 0.5) * 0.49, abs=0.01)
        np.testing.assert_array_equal(score_map > 0.5, outline)
    assert 900 < outline.sum() < 1100  # of the 32 x 32 pixels


def test_where_clip_prefers_nothing_the_order_of_the_pixels_stays(segmenter, scene, monkeypatch):
    monkeypatch.setattr(type(segmenter.networks["scorer"]), "logit_scale", 4.0)
    nearest_bright = [Query("", embedding=np.array([-0.1, -0.3, 1], np.float32))]
    score_map = segmenter.segment([scene], [nearest_bright])[0]
    assert score_map.max() < 0.49
    bright, dark, grey = score_map[20:44, 12:36], score_map[20:44, 60:84], score_map[:8]
    assert bright.min() > dark.max() and dark.min() > grey.max() > 0


def test_the_threshold_is_what_a_score_has_to_pass(segmenter, scene, monkeypatch):
    monkeypatch.setattr(type(segmenter.networks["scorer"]), "logit_scale", 2.0)

    def highest(**settings):
        again = SamClipSegmenter(segmenter.networks, segmenter.provenance, **settings)
        return again.segment([scene], [queries("bright")])[0].max()

    assert highest(score_threshold=0.9) <= 0.49 < 0.5 < highest(score_threshold=0.8) < 0.6  # it scores 0.83
    assert highest(rescale=False) == pytest.approx(0.83, abs=0.01)


def test_presence_is_the_best_score_of_the_image_and_its_corners(segmenter, scene, monkeypatch):
    """A thing of 19 x 19 pixels in a corner: none of the whole is bright enough, but of a 60 % corner it is."""
    monkeypatch.setattr(segmenter.networks["masks"], "generate", None)  # SAM is not asked
    image = np.full((64, 64, 3), segmenter.networks["scorer"].mean_colour, np.uint8)
    image[45:, 45:] = 255
    monkeypatch.setattr(type(segmenter.networks["scorer"]), "logit_scale", 5.0)
    corners = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]

    def score(shares):  # of the white thing in each view: the tone is brightness over the mean
        tones = shares * white
        tone = tones / np.hypot(tones, 0.3)
        return 1 / (1 + np.exp(-5 * (tone - 0.3 / np.hypot(tones, 0.3))))

    scorer = segmenter.networks["scorer"]
    white = scorer.prepare([Image.new("RGB", (9, 9), (255, 255, 255))]).mean().item()
    found = segmenter.presence([*map(np.ascontiguousarray, corners), image[:32, :32]], ["bright", "", "dark"])
    shares = (19 / 64) ** 2, (19 / 39) ** 2
    assert score(shares[0]) < 0.45 < 0.55 < score(shares[1])
    np.testing.assert_allclose(found[:, 0], [score(shares[1])] * 4 + [score(0)], atol=0.02)
    assert not found[:, 1].any() and found[:, 2].max() < 0.1


def test_an_embeddings_length_does_not_matter(segmenter, images):
    embeds = segmenter.encode_text(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-5)
    expected = segmenter.segment(images[:1], [queries(TEXTS[0])])[0]
    for factor in (1, 7):
        asked = [Query("ignored", embedding=factor * embeds[0])]
        np.testing.assert_allclose(segmenter.segment(images[:1], [asked])[0], expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(24,\), found \(512,\)"):
        segmenter.segment(images[:1], [[Query("dog", embedding=np.zeros(512, np.float32))]])


def test_alone_or_in_a_batch_and_twice_it_is_the_same(segmenter, images):
    asked = [queries(*TEXTS), queries("dog"), (), queries("a cat", "dog"), queries("cat")]
    together = segmenter.segment(images, asked)
    assert not together[2].any() and together[0].std() > 0.01
    for image, some, score_map in zip(images, asked, together, strict=True):
        np.testing.assert_allclose(segmenter.segment([image], [some])[0], score_map, atol=1e-4)
    for first, second in zip(together, segmenter.segment(images, asked), strict=True):
        np.testing.assert_array_equal(first, second)


def test_each_region_is_embedded_once_for_all_queries(segmenter, images, monkeypatch):
    scorer, seen = segmenter.networks["scorer"], []
    encode = scorer.encode_pixels
    monkeypatch.setattr(scorer, "encode_pixels", lambda pixels: seen.append(len(pixels)) or encode(pixels))
    regions = segmenter.networks["masks"].generate(images[0], **segmenter.generation)
    segmenter.segment(images[:2], [queries(*TEXTS), ()])
    assert sum(seen) == 2 * len(regions) > 2  # the crop, and the crop with its background muted


def test_settings_reach_the_networks(load, segmenter, images):
    def said(asked):
        return asked.segment(images[:1], [queries(TEXTS[0])])[0]

    def answer(**settings):
        return said(SamClipSegmenter(segmenter.networks, segmenter.provenance, **{**MANY, **settings}))

    usual = said(segmenter)
    np.testing.assert_allclose(answer(), usual, atol=1e-6)
    np.testing.assert_array_equal(said(load(points_per_side=1)), answer(points_per_side=1))
    for settings in (
        {"points_per_side": 1},
        {"max_proposals": 1},
        {"crop_weight": 0.0},
        {"mask_weight": 0.0},
        {"crop_context": 1.0},
        {"background": "mean"},
        {"mask_temperature": 1.0},
        {"negatives": ["a cat"]},
    ):
        assert np.abs(answer(**settings) - usual).max() > 1e-3, settings
    assert not answer(pred_iou_thresh=9.0).any()


def test_regions_are_scored_by_something(load):
    with pytest.raises(UserError, match="expected crop_weight or mask_weight above 0, found 0 for both"):
        load(crop_weight=0.0, mask_weight=0.0)


def test_regions_are_those_of_segment_anything(segmenter, load, images):
    for image in images:
        [regions] = segmenter.propose_regions([image])
        found = segmenter.networks["masks"].generate(image, **segmenter.generation)
        masks = [segmenter.networks["masks"].mask_logits(found, index).numpy() > 0 for index in range(len(found))]
        masks = [mask for mask in masks if mask.any()]
        assert regions.dtype == np.float32 and regions.shape == (len(masks), *image.shape[:2])
        assert regions.min() >= 0 and regions.max() <= 1
        assert all(np.array_equal(region > 0.5, mask) for region, mask in zip(regions, masks, strict=True))
    [none] = load(pred_iou_thresh=1.0).propose_regions(images[:1])
    assert none.shape == (0, *images[0].shape[:2])
