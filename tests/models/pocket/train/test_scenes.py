"""Scenes to learn outlines from, of two synthetic cut-outs: a mask is what in view the query is true of, no more."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from datasets.stamp_world.catalog import KINDS
from models.pocket.train.scenes import FALSE, TRUE, CutOut, SceneMaker, is_of_stamps_avs, read_cut_outs

RED, GREEN, SIZE, NAMES = (230, 20, 30), (20, 210, 40), 96, 1000


def disc(colour, size=(120, 90)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = ((rows / size[0] - 0.5) ** 2 + (columns / size[1] - 0.5) ** 2) < 0.24
    pixels = np.zeros((*size, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = colour, 255 * inside
    return Image.fromarray(pixels, "RGBA")


def called(*names):
    """A classifier's opinion: 0.9 shared by the names, the rest by all."""
    row = np.full(NAMES, 0.1 / NAMES, np.float32)
    row[list(names)] += 0.9 / len(names)
    return row


def maker(*names, augment=False):
    cut_outs = [CutOut(f"things/{i}", disc(colour), True) for i, colour in enumerate((RED, GREEN))]
    background = Image.fromarray(np.full((100, 150, 3), 120, np.uint8))
    return SceneMaker(cut_outs, np.stack(names), [background], augment=augment)


def made(scenes, count=60):
    return [scenes.make(np.random.default_rng(number), SIZE) for number in range(count)]


def of_colour(scene, colour):
    return (np.abs(scene.image.astype(int) - colour) <= 20).all(-1)


def test_a_query_is_true_of_exactly_what_it_asks_for_and_only_of_what_is_visible():
    """Each thing has names of its own: the mask is its colour, wherever the other does not cover it."""
    scenes = maker(called(0), called(7))
    red_asked = green_asked = nothing = 0
    for scene in made(scenes):
        truths = scenes.names_of @ (scene.query > 0.1)
        expected = np.zeros((SIZE, SIZE), bool)
        for colour, truth in zip((RED, GREEN), truths, strict=True):
            expected |= of_colour(scene, colour) & (truth >= TRUE)
        if scene.counted.all():
            assert (scene.mask ^ expected).sum() <= 0.05 * SIZE * SIZE  # of soft edges
            assert not (expected & ~scene.mask).sum() > 0.004 * SIZE * SIZE
        red_asked += truths[0] >= TRUE > truths[1] and scene.mask.any()
        green_asked += truths[1] >= TRUE > truths[0] and scene.mask.any()
        nothing += not scene.mask.any()
    assert red_asked > 10 and green_asked > 10 and 0 < nothing < 15


def test_a_thing_is_asked_for_by_some_of_its_names():
    """Where the names asked for are but a third of what it is called, it is meant all the same."""
    scenes, few = maker(called(0, 1, 2), called(7)), 0
    for scene in made(scenes, 150):
        truths = scenes.names_of @ (scene.query > 0.1)
        if scene.mask.any() and truths.max() < TRUE:
            assert of_colour(scene, RED)[scene.mask].mean() > 0.8
            few += 1
    assert few >= 3


def test_scenes_have_the_forms_they_say():
    for scene in made(maker(called(0, 1), called(7), augment=True), 8):
        assert scene.image.shape == (SIZE, SIZE, 3) and scene.image.dtype == np.uint8
        assert scene.query.shape == (NAMES,) and scene.query.dtype == np.float32
        assert scene.query.max() == 1 and scene.query.min() >= 0
        assert scene.mask.shape == scene.counted.shape == (SIZE, SIZE)
        assert scene.mask.dtype == scene.counted.dtype == bool


def test_what_a_query_is_neither_true_nor_false_of_does_not_count():
    """Green is called as red is, for a third: asking for red says nothing of it."""
    scenes = maker(called(0), 0.35 * called(0) + 0.65 * called(7))
    unsure = 0
    for scene in made(scenes):
        truth = scenes.names_of[1] @ (scene.query > 0.1)
        if FALSE < truth < TRUE:
            green = of_colour(scene, GREEN)
            assert (green & scene.counted).sum() <= 0.02 * SIZE * SIZE and not (green & scene.mask).any()
            unsure += (~scene.counted).any()
    assert unsure > 5


def test_two_things_of_one_name_are_asked_for_together():
    scenes = maker(called(3), called(3))
    both = 0
    for scene in made(scenes):
        truths = scenes.names_of @ (scene.query > 0.1)
        assert (truths >= TRUE).all()
        there = of_colour(scene, RED) | of_colour(scene, GREEN)
        assert (there & ~scene.mask).sum() <= 0.004 * SIZE * SIZE
        both += of_colour(scene, RED).sum() > 50 and of_colour(scene, GREEN).sum() > 50
    assert both > 10


def test_every_scene_follows_from_its_seed():
    for augment in (False, True):
        scenes = maker(called(0, 1), called(7), augment=augment)
        first, second = made(scenes, 6), made(scenes, 6)
        for one, other in zip(first, second, strict=True):
            for column in ("image", "query", "mask", "counted"):
                np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
        assert all((one.image != other.image).any() for one, other in pairwise(first))


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("animals/mammals/dogs/dog", True),
        ("cartoon/animals/dog", True),  # drawn, and of a kind
        ("animals/birds/tucan", True),  # spelt another way than its kind
        ("animals/mammals/dogs/puppy", True),
        ("animals/mammals/aquatic/sea_lion_pup", True),
        ("vehicles/FireEngine", True),
        ("vehicles/emergency/cartoon/fire_engine", True),
        ("animals/birds/cartoon/pengwin", True),
        ("animals/birds/cartoon/tux", True),
        ("vehicles/farming/cartoon/tux_tractor", True),
        ("people/astronaut", False),
        ("animals/insects/stagbeetle", False),
        ("household/doghouse", False),
    ],
)
def test_stamps_of_the_benchmarks_kinds_are_told(name, listed):
    assert is_of_stamps_avs(name) is listed
    assert all(is_of_stamps_avs(photo) for kind in KINDS for photo in (*kind.photos, *kind.unseen_photos))


def test_cut_outs_are_read_without_copies_and_without_what_is_none(tmp_path):
    rng = np.random.default_rng(0)

    def save(name, size=(90, 120), colours=1, opaque=False, mode="RGBA"):
        pixels = np.zeros((*size, 4), np.uint8)
        pixels[..., :3] = rng.integers(0, 256, (*size, 3)) if colours > 1 else RED
        pixels[10:-20, 5:-5, 3] = 255
        if opaque:
            pixels[..., 3] = 255
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels, "RGBA").convert(mode).save(path)

    save("b/photograph", colours=1000)
    save("a/drawn")
    save("a/drawn_mirror")
    save("a/small", size=(50, 120))
    save("a/large", size=(450, 600), colours=1000)
    save("cartoon/colourful", colours=1000)
    save("a/background", opaque=True)
    save("a/no_alpha", mode="RGB")
    found = {one.name: one for one in read_cut_outs(tmp_path)}
    assert list(found) == ["a/drawn", "a/large", "b/photograph", "cartoon/colourful"]
    assert [one.is_photograph for one in found.values()] == [False, True, True, False]
    assert found["a/drawn"].picture.size == (110, 60)  # cropped to what is opaque
    assert max(found["a/large"].picture.size) == 400 and found["a/large"].picture.mode == "RGBA"
