"""The stamps world: what is held out stays held out, plans give exact masks, and a seed gives the same scene."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from datasets.stamp_world import scenes as stamp_scenes
from datasets.stamp_world.catalog import KINDS, SILENT, SOUNDING, background_photos, check_root
from datasets.stamp_world.scenes import Cast, is_test_pair
from datasets.stamp_world.sounds import (
    PITCH_EDGES,
    SAMPLING_RATE,
    TEMPO_EDGES,
    TEST_CELLS,
    mixed,
    recording,
    sound,
    staged,
    stretched,
)


def scene(seed, root, split, cast, size=(64, 64)):
    return stamp_scenes.scene(np.random.default_rng(seed), root, split, size, cast)


def kinds_of(drawn):
    return [placed.kind for placed in drawn.objects]


def test_a_fifth_of_all_pairs_is_for_testing_and_the_order_of_a_pair_does_not_matter():
    pairs = list(combinations(KINDS, 2))
    share = np.mean([is_test_pair(*pair) for pair in pairs])
    assert share == pytest.approx(0.2, abs=0.02)
    assert all(is_test_pair(a, b) == is_test_pair(b, a) for a, b in pairs[:200])


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("test", True)])
def test_pairs_of_one_split_never_appear_in_the_other(stamps_root, split, held_out):
    for seed in range(20):
        drawn = scene(seed, stamps_root, split, Cast(2 + seed % 2, 1))
        assert all(is_test_pair(*pair) is held_out for pair in combinations(kinds_of(drawn), 2))


def test_unseen_photos_are_shown_in_their_own_split_only(stamps_root):
    unseen = {photo for kind in KINDS for photo in kind.unseen_photos}
    for seed in range(20):
        seen = scene(seed, stamps_root, "test", Cast(2, 1))
        assert not unseen & {placed.stamp for placed in seen.objects}
        fresh = scene(seed, stamps_root, "unseen_photos", Cast(2, 1))
        assert fresh.objects[fresh.planned[0]].stamp in unseen


def test_all_that_is_to_be_heard_shows_an_unseen_photo_in_that_split(stamps_root):
    unseen = {photo for kind in KINDS for photo in kind.unseen_photos}
    for seed in range(10):
        drawn = scene(seed, stamps_root, "unseen_photos", Cast(3, 0, heard=2))
        assert {drawn.objects[thing].stamp for thing in drawn.planned[:2]} <= unseen
        assert sorted(drawn.planned) == [0, 1, 2]


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("test", True)])
def test_what_sounds_out_of_view_goes_with_everything_in_view(stamps_root, split, held_out):
    for seed in range(10):
        drawn = scene(seed, stamps_root, split, Cast(2, 1, offscreen=1))
        (absent,) = drawn.offscreen
        assert absent.sounds
        assert len(drawn.objects) == 3
        assert all(is_test_pair(absent, kind) is held_out for kind in kinds_of(drawn))
        assert absent not in kinds_of(drawn)


def test_background_photographs_are_split_by_file(stamps_root):
    train, test = (background_photos(stamps_root, split) for split in ("train", "test"))
    assert {path.stem for path in train} == {"corn_maze", "mudstone"}
    assert len(test) == 6
    assert not set(train) & set(test)


def test_scene_counts_and_the_sounding_thing_has_a_sound(stamps_root):
    for seed in range(10):
        drawn = scene(seed, stamps_root, "train", Cast(2, 1), (96, 64))
        assert drawn.image.shape == (64, 96, 3)
        assert drawn.image.dtype == np.uint8
        assert sum(kind in SOUNDING for kind in kinds_of(drawn)) == 2
        assert sum(kind in SILENT for kind in kinds_of(drawn)) == 1
        assert drawn.objects[drawn.planned[0]].kind.sounds


def test_the_mask_is_where_the_thing_is_drawn(stamps_root):
    # each miniature stamp has one colour: inside its mask the scene shows that colour times the planned gains
    drawn = scene(3, stamps_root, "train", Cast(1, 0), (96, 96))
    placed, mask = drawn.objects[0], drawn.label_map == 0
    number = KINDS.index(placed.kind)
    colour = np.array([number * 37 % 256, number * 91 % 256, number * 53 % 256]) * placed.gains
    inside = drawn.image[mask]
    close = np.abs(inside - np.minimum(colour, 255)).max(1) <= 3
    assert close.mean() > 0.85  # all but the soft rim
    far = np.abs(drawn.image[~mask].astype(float) - np.minimum(colour, 255)).max(1) > 3
    assert far.mean() > 0.95
    assert mask.sum() > 200


def test_same_seed_same_scene_other_seed_other_scene(stamps_root):
    one, two, other = (scene(seed, stamps_root, "train", Cast(2, 0)) for seed in (5, 5, 6))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.label_map, two.label_map)
    assert not np.array_equal(one.image, other.image)


def test_test_cells_take_one_cell_of_each_row_and_column():
    assert sorted(i for i, _ in TEST_CELLS) == list(range(len(PITCH_EDGES) - 1))
    assert sorted(j for _, j in TEST_CELLS) == list(range(len(TEMPO_EDGES) - 1))
    assert (2, 2) not in TEST_CELLS  # the recording as it is belongs to training


def test_stretching_moves_pitch_and_length_within_the_cells(stamps_root):
    kind = SOUNDING[0]
    plain = recording(check_root(stamps_root) / "usr/share/tuxpaint/stamps" / f"{kind.sounds[0]}.ogg")
    for seed in range(5):
        waveform = stretched(np.random.default_rng(seed), kind, stamps_root, "test")
        spectrum = np.abs(np.fft.rfft(waveform))
        hertz = np.fft.rfftfreq(len(waveform), 1 / SAMPLING_RATE)[spectrum.argmax()]
        semitones, tempo = 12 * np.log2(hertz / 200), len(plain) / len(waveform)
        assert any(
            PITCH_EDGES[i] - 0.3 <= semitones <= PITCH_EDGES[i + 1] + 0.3
            and TEMPO_EDGES[j] * 0.95 <= tempo <= TEMPO_EDGES[j + 1] * 1.05
            for i, j in TEST_CELLS
        )


def test_a_staged_sound_has_the_length_asked_for_and_never_clips():
    rng = np.random.default_rng(0)
    waveform = staged(rng, np.sin(np.arange(4000) / 5).astype(np.float32), "train", 2.5)
    assert waveform.shape == (40000,)
    assert 0.1 < np.abs(waveform).max() <= 1.0


def test_a_mixture_has_each_sound_at_its_level_and_the_peak_asked_for():
    time = np.arange(16000) / SAMPLING_RATE
    parts = [0.9 * np.sin(2 * np.pi * 400 * time), 0.001 * np.sin(2 * np.pi * 1000 * time)]
    mix = mixed(parts, (0.0, -3.0), peak_db=-2.0)
    amplitude = np.abs(np.fft.rfft(mix))
    assert amplitude[400] / amplitude[1000] == pytest.approx(10 ** (3 / 20), rel=1e-3)
    assert np.abs(mix).max() == pytest.approx(10 ** (-2 / 20), rel=1e-6)
    assert amplitude[400] ** 2 + amplitude[1000] ** 2 > 0.999 * np.sum(amplitude**2)


def test_sounds_repeat_by_seed(stamps_root):
    one, two = (sound(np.random.default_rng(9), SOUNDING[3], stamps_root, "train") for _ in range(2))
    assert np.array_equal(one, two)
