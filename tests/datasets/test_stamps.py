"""The stamps world: what is held out stays held out, plans give exact masks, and a seed gives the same bytes."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
import soundfile
from PIL import Image

from datasets import stamp_scenes, stamps
from datasets.stamp_catalog import KINDS, SILENT, SOUNDING, background_photos, check_root
from datasets.stamp_sounds import (
    PITCH_EDGES,
    SAMPLING_RATE,
    TEMPO_EDGES,
    TEST_CELLS,
    recording,
    sound,
    staged,
    stretched,
)
from utils.errors import UserError


def kinds_of(scene):
    return [placed.kind for placed in scene.objects]


def test_a_fifth_of_all_pairs_is_for_testing_and_the_order_of_a_pair_does_not_matter():
    pairs = list(combinations(KINDS, 2))
    share = np.mean([stamp_scenes.is_test_pair(*pair) for pair in pairs])
    assert share == pytest.approx(0.2, abs=0.02)
    assert all(stamp_scenes.is_test_pair(a, b) == stamp_scenes.is_test_pair(b, a) for a, b in pairs[:200])


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("test", True)])
def test_pairs_of_one_split_never_appear_in_the_other(stamps_root, split, held_out):
    for seed in range(20):
        drawn = stamp_scenes.scene(np.random.default_rng(seed), stamps_root, split, 2 + seed % 2, 1, 64, 64)
        assert all(stamp_scenes.is_test_pair(*pair) is held_out for pair in combinations(kinds_of(drawn), 2))


def test_unseen_photos_are_shown_in_their_own_split_only(stamps_root):
    unseen = {photo for kind in KINDS for photo in kind.unseen_photos}
    for seed in range(20):
        seen = stamp_scenes.scene(np.random.default_rng(seed), stamps_root, "test", 2, 1, 64, 64)
        assert not unseen & {placed.stamp for placed in seen.objects}
        fresh = stamp_scenes.scene(np.random.default_rng(seed), stamps_root, "unseen_photos", 2, 1, 64, 64)
        assert fresh.objects[fresh.sounding].stamp in unseen


def test_background_photographs_are_split_by_file(stamps_root):
    train, test = (background_photos(stamps_root, split) for split in ("train", "test"))
    assert {path.stem for path in train} == {"corn_maze", "mudstone"}
    assert len(test) == 6
    assert not set(train) & set(test)


def test_scene_counts_and_the_sounding_thing_has_a_sound(stamps_root):
    for seed in range(10):
        drawn = stamp_scenes.scene(np.random.default_rng(seed), stamps_root, "train", 2, 1, 96, 64)
        assert drawn.image.shape == (64, 96, 3)
        assert drawn.image.dtype == np.uint8
        assert sum(kind in SOUNDING for kind in kinds_of(drawn)) == 2
        assert sum(kind in SILENT for kind in kinds_of(drawn)) == 1
        assert drawn.objects[drawn.sounding].kind.sounds


def test_the_mask_is_where_the_thing_is_drawn(stamps_root):
    # each miniature stamp has one colour: inside its mask the scene shows that colour times the planned gains
    drawn = stamp_scenes.scene(np.random.default_rng(3), stamps_root, "train", 1, 0, 96, 96)
    placed, mask = drawn.objects[0], drawn.mask(0)
    number = KINDS.index(placed.kind)
    colour = np.array([number * 37 % 256, number * 91 % 256, number * 53 % 256]) * placed.gains
    inside = drawn.image[mask]
    close = np.abs(inside - np.minimum(colour, 255)).max(1) <= 3
    assert close.mean() > 0.85  # all but the soft rim
    far = np.abs(drawn.image[~mask].astype(float) - np.minimum(colour, 255)).max(1) > 3
    assert far.mean() > 0.95
    assert mask.sum() > 200


def test_same_seed_same_scene_other_seed_other_scene(stamps_root):
    one, two, other = (
        stamp_scenes.scene(np.random.default_rng(s), stamps_root, "train", 2, 0, 64, 64) for s in (5, 5, 6)
    )
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


def test_sounds_repeat_by_seed(stamps_root):
    one, two = (sound(np.random.default_rng(9), SOUNDING[3], stamps_root, "train") for _ in range(2))
    assert np.array_equal(one, two)


def test_written_splits_are_the_same_bytes_and_swapping_changes_the_sounds_only(stamps_root, tmp_path):
    for name, swap in (("one", None), ("two", None), ("swapped", "keep"), ("moved", "move")):
        stamps.write_split(tmp_path / name, stamps_root, "test", 4, seed=0, swapped_truth=swap)
    names = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(names) == 4 * 3 + 1
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    same = [n for n in names if (tmp_path / "one" / n).read_bytes() == (tmp_path / "swapped" / n).read_bytes()]
    assert sorted({name.parts[0] for name in same}) == ["gt_seg", "image"]
    assert len(same) == 8
    for stem in ("scene_0000", "scene_0001"):
        assert (tmp_path / f"moved/wav/{stem}.wav").read_bytes() == (tmp_path / f"swapped/wav/{stem}.wav").read_bytes()
        before, after = (np.asarray(Image.open(tmp_path / f"{name}/gt_seg/{stem}.png")) for name in ("one", "moved"))
        assert after.any()
        assert not (before & after).any()
    scenes = json.loads((tmp_path / "swapped/scenes.json").read_text())["scenes"]
    assert all(one["played"] != one["sounding"] for one in scenes)
    mask = np.asarray(Image.open(tmp_path / "one/gt_seg/scene_0001.png"))
    assert set(np.unique(mask)) == {0, 255}
    waveform, rate = soundfile.read(tmp_path / "one/wav/scene_0001.wav")
    assert rate == 16000
    assert 2 * rate <= len(waveform) <= 5 * rate


def test_a_missing_package_is_named_with_the_command_that_brings_it(tmp_path):
    with pytest.raises(UserError, match="apt-get download tuxpaint-stamps-default"):
        check_root(tmp_path / "nothing")
