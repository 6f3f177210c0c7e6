"""Refinements of a segmenter's map: on maps whose answer is known, in a config, and with a tiny Segment Anything."""

import numpy as np
import pytest
import torch

from models.config import files_of, load_config, sources
from models.loading import load_models
from models.segmenter.refine import Refined, guided, outlined_by, without_weak_parts
from models.segmenter.score_maps import NEAR_MISS
from utils.errors import UserError
from utils.types import Query

SAM2 = "facebook/sam2.1-hiera-tiny"
GREY = np.full((50, 80, 3), 128, np.uint8)


def drawn(*parts, size=(50, 80), background=0.2):
    """A map with (rows, columns, value) drawn in it."""
    score_map = np.full(size, background, np.float32)
    for rows, columns, value in parts:
        score_map[rows, columns] = value
    return score_map


SURE, UNSURE = (slice(5, 25), slice(5, 25), 0.9), (slice(30, 45), slice(40, 60), 0.7)
ALMOST, SPECK = (slice(30, 45), slice(40, 60), 0.76), (slice(47, 49), slice(77, 79), 1.0)  # 4 of 4,000 pixels


def test_parts_that_are_less_sure_are_dropped_and_keep_their_order():
    refined = without_weak_parts(GREY, drawn(SURE, UNSURE))
    assert np.array_equal(refined > 0.5, drawn(SURE) > 0.5)
    assert refined[35, 50] == np.float32(NEAR_MISS) and refined[0, 0] == np.float32(0.2)


def test_parts_that_are_about_as_sure_stay():
    both = drawn(SURE, ALMOST)
    assert np.array_equal(without_weak_parts(GREY, both), both)


def test_specks_neither_stay_nor_are_the_best_part():
    refined = without_weak_parts(GREY, drawn(UNSURE, SPECK))
    assert np.array_equal(refined > 0.5, drawn(UNSURE) > 0.5)
    alone = drawn(SPECK)
    assert np.array_equal(without_weak_parts(GREY, alone), alone)  # rather a speck than nothing


def test_the_guided_filter_keeps_a_constant_map():
    image = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    np.testing.assert_allclose(guided(image, drawn(background=0.7)), 0.7, atol=1e-6)


def test_the_guided_filter_moves_a_border_to_the_edge_of_colours():
    """One of equal brightness, which a grey guide would not see."""
    image = np.zeros((60, 60, 3), np.uint8)
    image[:, :30], image[:, 30:] = (200, 0, 0), (0, 200, 0)
    score_map = drawn((slice(None), slice(0, 28), 1.0), size=(60, 60), background=0.0)  # two columns short
    refined = guided(image, score_map, radius=0.1)
    assert not (score_map > 0.5)[:, 28:30].any()
    assert (refined > 0.5)[:, :30].all() and not (refined > 0.5)[:, 30:].any()
    assert refined.dtype == np.float32 and refined.min() >= 0 and refined.max() <= 1


class Masks:
    """Outlines a box as itself, moved by some columns; remembers what it was asked."""

    def __init__(self, moved=0):
        self.moved, self.asked = moved, []

    def mask_logits(self, image, corners, multimask):
        self.asked += corners.tolist()
        for left, top, right, bottom in corners.int().tolist():
            logits = torch.full(image.shape[:2], -8.0)
            logits[top:bottom, left + self.moved : right + self.moved] = 8.0
            yield logits


def test_sam_fills_what_it_agrees_with():
    hole = drawn(SURE, (slice(10, 15), slice(10, 15), 0.1), SPECK)
    masks = Masks()
    refined = outlined_by(masks)(GREY, hole)
    assert masks.asked == [[5, 5, 25, 25]]
    assert np.array_equal(refined > 0.5, drawn(SURE, SPECK) > 0.5)
    other = outlined_by(masks)(GREY, drawn((slice(5, 25), slice(5, 25), 0.6)))
    assert refined[7, 7] > other[7, 7] > 0.5  # the surer the part, the surer the outline


def test_sam_moves_a_part_a_little_and_never_far():
    near = outlined_by(Masks(moved=3))(GREY, drawn(SURE))
    assert np.array_equal(near > 0.5, drawn((slice(5, 25), slice(8, 28), 1.0)) > 0.5)
    assert np.array_equal(outlined_by(Masks(moved=10))(GREY, drawn(SURE)), drawn(SURE))


class Segmenter:
    """Answers a text with its own map."""

    accepts_embeddings, provenance = False, {}

    def segment(self, images, queries):
        assert all(len(some) == 1 for some in queries)
        return [{"dog": drawn(SURE), "cat": drawn(UNSURE), "no": drawn()}[some[0].text] for some in queries]


def test_each_query_is_refined_by_itself():
    segmenter = Refined(Segmenter(), without_weak_parts)
    asked = [(Query("dog"), Query("cat")), (), (Query("no"),)]
    two, none, no = segmenter.segment([GREY] * 3, asked)
    assert np.array_equal(two, drawn(SURE, UNSURE))  # of one map, the second would be dropped
    assert none.shape == (50, 80) and none.dtype == np.float32 and not none.any()
    assert np.array_equal(no, drawn()) and segmenter.segment([], []) == []
    assert segmenter.accepts_embeddings is False and segmenter.provenance == {}
    assert not hasattr(segmenter, "presence")


def test_what_is_not_accepted_is_not_refined():
    segmenter = Refined(Segmenter(), lambda image, score_map: pytest.fail("asked"))
    assert np.array_equal(segmenter.segment([GREY], [[Query("no")]])[0], drawn())


def load(path, *overrides):
    return load_models(load_config(path, overrides), ["segmenter"], "cpu")["segmenter"]


@pytest.mark.parametrize("refine", ["none", "parts", "guided_filter", "sam"])
def test_any_segmenter_takes_the_setting(random_config, tiny, refine):
    given = [f"segmenter.refine={refine}"] + [f"segmenter.sam.weights={tiny(SAM2)}"] * (refine == "sam")
    segmenter, plain = load(random_config, *given), load(random_config)
    image, queries = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8), [[Query("a dog")]]
    [score_map], [before] = (one.segment([image], queries) for one in (segmenter, plain))
    assert (
        score_map.shape == (40, 60) and score_map.dtype == np.float32 and 0 <= score_map.min() <= score_map.max() <= 1
    )
    assert np.array_equal(segmenter.presence([image], ["dog"]), plain.presence([image], ["dog"]))
    assert segmenter.provenance.get("refine", "none") == refine
    assert isinstance(segmenter, Refined) == (refine != "none")
    if refine == "none":
        assert np.array_equal(score_map, before)
    assert ("parts" in segmenter.provenance) == (refine == "sam")
    if refine == "sam":
        assert segmenter.provenance["parts"]["sam"]["id"] == tiny(SAM2)


def test_the_weights_of_sam_are_a_source_like_any_other(random_config):
    config = load_config(random_config, ["segmenter.refine=sam", f"segmenter.sam.weights={SAM2}"])
    found = sources(config, ["segmenter"])
    assert [(source.part, source.weights) for source in found][1:] == [("sam", SAM2)]
    assert [files_of(source) for source in found] == [(), ()]
    unused = load_config(random_config, ["segmenter.refine=parts", f"segmenter.sam.weights={SAM2}"])
    assert [source.part for source in sources(unused, ["segmenter"])] == [""]


SAM_CLIP = ["segmenter.family=sam_clip", "segmenter.masks.weights=a", "segmenter.scorer.weights=b"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["segmenter.refine=crf"], "segmenter.refine must be one of none, parts, guided_filter, sam; found 'crf'"),
        (["segmenter.refine=[a]"], "segmenter.refine must be one of none, parts, guided_filter, sam; found"),
        (["segmenter.refine=sam"], "needs its part sam to be a mapping with weights"),
        (["segmenter.refine=sam", "segmenter.sam.dtype=float16"], "needs segmenter.sam.weights: a folder or hub id"),
        ([*SAM_CLIP, "segmenter.refine=sam"], r"\(sam_clip\) has its masks from Segment Anything already"),
        (["audio_text.refine=parts"], "unknown setting 'refine'"),
    ],
)
def test_what_cannot_be_is_refused(random_config, overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        load_config(random_config, overrides)
