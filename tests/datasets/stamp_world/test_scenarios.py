"""Each scenario of Stamps-AVS shows, plays and masks what it says, and the cycle fills a set with its share of each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import soundfile
from PIL import Image

from datasets.manifest import read_manifest
from datasets.stamp_world.catalog import KINDS
from datasets.stamp_world.scenarios import SCENARIOS, World, compose, units
from datasets.stamp_world.scenes import CANVASES, Cast, is_test_pair, scene
from datasets.stamp_world.sounds import sound

NUMBER = {kind.noun: number for number, kind in enumerate(KINDS)}


@pytest.fixture(scope="module")
def entries(stamps_set):
    return read_manifest(stamps_set).samples


def of(entries, scenario):
    return {stem: entry for stem, entry in entries.items() if entry.scenario == scenario}


def mask(folder, stem):
    return np.asarray(Image.open(folder / f"gt_seg/{stem}.png")) > 0


def in_view(entry):
    return [thing["noun"] for thing in entry.details["objects"]]


def dbfs(value):
    return 20 * np.log10(value)


def test_ten_samples_hold_each_scenario_in_its_share():
    count = Counter()
    for unit in units(1000):
        count[unit.scenario] += len(unit.stems)
    assert count == {"single": 400, "pair": 200, "multi": 200, "offscreen": 100, "silent": 100}
    assert len(list(units(1000))) == 900


def test_the_cycle_is_filtered_in_its_own_order():
    assert [unit.scenario for unit in units(10, ("silent", "pair", "offscreen"))] == [
        "pair", "offscreen", "silent", "pair", "offscreen", "silent", "pair"
    ]  # fmt: skip


@pytest.mark.parametrize("samples", range(1, 24))
def test_every_number_of_samples_is_filled_and_half_a_pair_is_a_single(samples):
    filled = list(units(samples))
    assert [stem for unit in filled for stem in unit.stems] == [f"scene_{i:04d}" for i in range(samples)]
    assert filled[-1].scenario == {2: "single", 12: "single", 22: "single"}.get(samples, filled[-1].scenario)
    assert [unit.scenario for unit in units(3, ("pair",))] == ["pair", "single"]


def test_singles_have_two_and_three_sounding_things():
    assert Counter(unit.index % 2 for unit in units(20) if unit.scenario == "single") == {0: 4, 1: 4}


@pytest.mark.parametrize("index", range(4))
def test_a_single_is_drawn_as_published_numbers_have_it(stamps_root, index):
    rng = np.random.default_rng([7, 1001, index])
    drawn = scene(rng, stamps_root, "test", CANVASES[index % 4], Cast(2 + index % 2, (index // 2) % 2))
    heard = drawn.objects[drawn.planned[0]].kind
    state = rng.bit_generator.state
    unit = list(units(4, ("single",)))[index]
    (sample,) = compose(unit, World(stamps_root, "test", 7))
    assert np.array_equal(sample.image, drawn.image)
    assert np.array_equal(sample.mask, drawn.label_map == drawn.planned[0])
    assert np.array_equal(sample.make_waveform(), sound(rng, heard, stamps_root, "test"))
    rng.bit_generator.state = state
    others = [thing.kind for thing in drawn.objects if thing.kind.sounds and thing.kind is not heard]
    played = others[rng.integers(len(others))]
    swapped = sound(rng, played, stamps_root, "test")
    for swap_sounds, masked in (("keep", heard), ("move", played)):
        (sample,) = compose(unit, World(stamps_root, "test", 7, swap_sounds))
        assert np.array_equal(sample.mask, drawn.label_map == [thing.kind for thing in drawn.objects].index(masked))
        assert np.array_equal(sample.make_waveform(), swapped)
        assert sample.entry.categories == (played.noun,)
        assert sample.entry.details["masked"] == [masked.noun]


def test_a_pair_is_one_image_heard_twice(entries, stamps_set):
    pairs = of(entries, "pair")
    groups = {entry.group: [stem for stem in pairs if pairs[stem].group == entry.group] for entry in pairs.values()}
    assert len(groups) == 4
    for first, second in groups.values():
        assert (stamps_set / f"image/{first}.jpg").read_bytes() == (stamps_set / f"image/{second}.jpg").read_bytes()
        assert mask(stamps_set, first).any()
        assert mask(stamps_set, second).any()
        assert not (mask(stamps_set, first) & mask(stamps_set, second)).any()
        assert pairs[first].categories != pairs[second].categories
        assert (stamps_set / f"wav/{first}.wav").read_bytes() != (stamps_set / f"wav/{second}.wav").read_bytes()


def test_multi_masks_and_plays_two_of_three(entries, stamps_set, stamps_root, stamps_package):
    silent_third = 0
    for stem, entry in of(entries, "multi").items():
        assert len(entry.categories) == 2
        assert set(entry.categories) < set(in_view(entry))
        assert sum(thing["sounds"] for thing in entry.details["objects"]) == 3
        waveform, rate = soundfile.read(stamps_set / f"wav/{stem}.wav")
        assert 10 ** (-16.1 / 20) < np.abs(waveform).max() <= 10 ** (-0.9 / 20)
        power = np.abs(np.fft.rfft(waveform)) ** 2
        hertz = np.fft.rfftfreq(len(waveform), 1 / rate)

        def share(noun, power=power, hertz=hertz):
            tone = stamps_package.tone(NUMBER[noun])
            return power[(hertz > 0.84 * tone) & (hertz < 1.19 * tone)].sum() / power.sum()

        assert all(share(noun) > 0.2 for noun in entry.categories)
        (third,) = [thing["noun"] for thing in entry.details["objects"] if thing["sounds"]
                    and thing["noun"] not in entry.categories]  # fmt: skip
        ratios = [stamps_package.tone(NUMBER[third]) / stamps_package.tone(NUMBER[n]) for n in entry.categories]
        if all(not 0.6 < ratio < 1.6 for ratio in ratios):
            silent_third += 1
            assert share(third) < 0.05
    assert silent_third >= 2


def test_the_mask_of_multi_is_the_union_of_what_is_heard(stamps_root):
    world = World(stamps_root, "test", 3)
    for unit in [unit for unit in units(40) if unit.scenario == "multi"][:4]:
        (sample,) = compose(unit, world)
        drawn = scene_of_multi(unit, world)
        heard = [i for i, thing in enumerate(drawn.objects) if thing.kind.noun in sample.entry.details["played"]]
        assert len(heard) == 2
        first, second = (drawn.label_map == thing for thing in heard)
        assert np.array_equal(sample.mask, first | second)
        assert sample.mask.sum() == first.sum() + second.sum()


def scene_of_multi(unit, world):
    rng = world.rng(unit.index, 3)
    canvas = CANVASES[rng.integers(len(CANVASES))]
    return scene(rng, world.root, world.split, canvas, Cast(3, int(rng.integers(0, 2)), heard=2))


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("test", True), ("unseen_photos", True)])
def test_offscreen_plays_what_is_not_in_view_by_the_rules_of_the_split(stamps_root, split, held_out):
    kinds = {kind.noun: kind for kind in KINDS}
    for unit in units(5, ("offscreen",)):
        (sample,) = compose(unit, World(stamps_root, split, 0))
        (played,) = sample.entry.details["played"]
        assert played not in in_view(sample.entry)
        assert all(is_test_pair(kinds[played], kinds[noun]) is held_out for noun in in_view(sample.entry))
        assert sample.entry.categories == ()
        assert sample.entry.blank
        assert not sample.mask.any()
        assert np.abs(sample.make_waveform()).max() > 10 ** (-16.1 / 20)


def test_silent_is_digital_silence_and_faint_noise_in_turn(entries, stamps_set):
    silent = sorted(of(entries, "silent"))
    assert silent == ["scene_0009", "scene_0019", "scene_0029", "scene_0039"]
    peaks = [np.abs(soundfile.read(stamps_set / f"wav/{stem}.wav")[0]).max() for stem in silent]
    assert peaks[0] == peaks[2] == 0
    assert all(-60.3 <= dbfs(peak) <= -44.9 for peak in (peaks[1], peaks[3]))
    for stem in silent:
        assert entries[stem].blank
        assert entries[stem].details["played"] == []
        assert not mask(stamps_set, stem).any()
        assert sum(thing["sounds"] for thing in entries[stem].details["objects"]) >= 2


def test_what_can_sound_is_played_as_loud_in_every_scenario_that_plays(entries, stamps_set):
    for scenario in set(SCENARIOS) - {"silent"}:
        for stem in of(entries, scenario):
            waveform, rate = soundfile.read(stamps_set / f"wav/{stem}.wav")
            assert rate == 16000
            assert 2 * rate <= len(waveform) <= 5 * rate
            assert -16.1 <= dbfs(np.abs(waveform).max()) <= -0.9
