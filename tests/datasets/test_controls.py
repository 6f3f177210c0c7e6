"""Audio controls change the sound and nothing else, the same way whatever the order, and as their names say."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from PIL import Image

from datasets.controls import CONTROLS, AudioControls
from datasets.folder import FolderDataset
from datasets.manifest import Manifest, write_manifest
from utils.errors import UserError
from utils.types import Entry

SAMPLES = {  # stem: (group, categories, in view besides, level of the sound)
    "a1": ("a", ("dog",), (), 0.1),
    "a2": ("a", ("violin",), (), 0.2),
    "b": ("b", ("dog",), ("owl",), 0.3),
    "c": ("c", ("owl",), (), 0.4),
    "d": ("d", (), (), 0.0),
}


def write(root, samples=SAMPLES, categories=True):
    for folder in ("image", "wav", "gt_seg"):
        (root / folder).mkdir(parents=True)
    entries = {}
    for stem, (group, heard, beside, level) in samples.items():
        Image.new("RGB", (6, 4)).save(root / "image" / f"{stem}.png")
        Image.new("L", (6, 4), 255 * bool(heard)).save(root / "gt_seg" / f"{stem}.png")
        soundfile.write(root / "wav" / f"{stem}.wav", np.full(800 if stem != "c" else 400, level), 8000)
        details = {"objects": [{"noun": noun} for noun in beside]}
        entries[stem] = Entry(group, heard if categories else (), blank=not heard, details=details)
    write_manifest(Manifest("toy", {}, {}, entries), root)
    return FolderDataset(root)


@pytest.fixture
def dataset(tmp_path):
    return write(tmp_path / "toy")


def heard(dataset, control, seed=0):
    controls = AudioControls(dataset, [control], seed)
    return {sample.id: controls.apply(control, sample).waveform for sample in dataset}


def test_the_original_is_always_there_and_untouched(dataset):
    controls = AudioControls(dataset, ["noise", "noise"])
    assert controls.names == ("original", "noise")
    assert controls.apply("original", dataset[0]) is not None
    np.testing.assert_array_equal(controls.apply("original", dataset[0]).waveform, dataset[0].waveform)


@pytest.mark.parametrize("control", CONTROLS)
def test_image_and_ground_truth_stay(dataset, control):
    controls = AudioControls(dataset, CONTROLS)
    for sample in dataset:
        changed = controls.apply(control, sample)
        assert (changed.id, changed.waveform.dtype) == (sample.id, np.float32)
        np.testing.assert_array_equal(changed.image, sample.image)
        np.testing.assert_array_equal(changed.gt_mask, sample.gt_mask)


def test_silence_is_zero_and_noise_is_as_loud_and_as_long(dataset):
    silence, noise = heard(dataset, "silence"), heard(dataset, "noise")
    assert {stem: (len(w), np.abs(w).max()) for stem, w in silence.items()} == {
        stem: (400 if stem == "c" else 800, 0.0) for stem in SAMPLES
    }
    for stem, (_, _, _, level) in SAMPLES.items():
        assert np.sqrt(np.mean(noise[stem] ** 2)) == pytest.approx(level, rel=0.1)
    assert abs(np.corrcoef(noise["a1"], noise["b"])[0, 1]) < 0.2  # every sample has its own


def test_swap_takes_the_other_thing_of_the_image_and_else_something_that_sounds_different(dataset):
    donors = AudioControls(dataset, ["swap"]).donors["swap"]
    assert (donors["a1"], donors["a2"]) == ("a2", "a1")
    assert donors["b"] in ("a2", "c")  # not a1: a dog too
    assert heard(dataset, "swap")["a1"] == pytest.approx(0.2, abs=1e-3)


def test_offscreen_takes_nothing_that_is_known_to_be_in_view(dataset):
    for seed in range(20):
        donors = AudioControls(dataset, ["offscreen"], seed).donors["offscreen"]
        assert (donors["a1"], donors["a2"]) == ("c", "c")  # dog and violin share an image
        assert donors["b"] == "a2"  # an owl is in view, and the dog sounds
        assert donors["c"] in ("a1", "a2", "b")
        assert donors["d"] in ("a1", "a2", "b", "c")


def test_everything_follows_from_the_seed_and_the_name(dataset):
    controls = AudioControls(dataset, CONTROLS, 3)
    again = AudioControls(dataset, CONTROLS[::-1], 3)
    for control in CONTROLS:
        for sample in list(dataset)[::-1]:
            np.testing.assert_array_equal(
                controls.apply(control, sample).waveform, again.apply(control, sample).waveform
            )
    assert any(AudioControls(dataset, ["offscreen"], seed).donors != controls.donors for seed in range(4, 9))
    assert not np.array_equal(heard(dataset, "noise", 3)["b"], heard(dataset, "noise", 4)["b"])


def test_what_cannot_be_controlled_is_said(dataset, tmp_path):
    with pytest.raises(UserError, match='no audio control "louder"; choose from: original, silence'):
        AudioControls(dataset, ["louder"])
    unknown = write(tmp_path / "unknown", categories=False)
    with pytest.raises(UserError, match="offscreen needs to know what sounds in each sample, found no categories"):
        AudioControls(unknown, ["offscreen"])
    assert AudioControls(unknown, ["silence", "noise"]).donors == {}
    dogs = write(tmp_path / "dogs", {"a": ("a", ("dog",), (), 0.1), "b": ("b", ("dog",), (), 0.2)})
    with pytest.raises(UserError, match="swap needs a sound of something else for a, found none among 2 samples"):
        AudioControls(dogs, ["swap"])
    assert list(AudioControls(dogs, []).refused) == ["swap", "offscreen"]


def test_only_nouns_among_the_objects_of_a_manifest_are_in_view(dataset):
    samples = dataset.manifest.samples
    for stem, objects in zip(samples, (3, "owl", [{"noun": ["owl"]}, "owl", {"noun": "harp"}], None, {}), strict=True):
        samples[stem].details["objects"] = objects
    donors = [AudioControls(dataset, ["offscreen"], seed).donors["offscreen"] for seed in range(20)]
    assert {of_seed["b"] for of_seed in donors} == {"a2", "c"}


def bare(root, sounds):
    """A folder without a manifest: stem -> level of its sound."""
    write(root, {stem: (stem, ("dog",), (), level) for stem, level in sounds.items()})
    (root / "manifest.json").unlink()
    return FolderDataset(root)


def test_swap_needs_no_manifest_but_another_sound_of_another_group(tmp_path):
    dataset = bare(tmp_path / "four", {"a": 0.1, "b": 0.1, "c": 0.2, "d": 0.3})
    for seed in range(20):
        controls = AudioControls(dataset, ["swap"], seed)
        assert controls.donors["swap"]["a"] in ("c", "d")  # b has the very same sound
        assert AudioControls(dataset, ["swap"], seed, group_size=3).donors["swap"]["a"] == "d"
    assert list(controls.refused) == ["offscreen"]
    for sounds, size in (({"a": 0.1}, None), ({"a": 0.1, "b": 0.1}, None), ({"a": 0.1, "b": 0.2}, 2)):
        alone = bare(tmp_path / f"{len(sounds)}{size}", sounds)
        with pytest.raises(UserError, match=r"swap needs a sound of something else for a, found none among \d sample"):
            AudioControls(alone, ["swap"], group_size=size)


def test_what_a_sample_is_given_changes_with_its_donors_sound_alone(dataset):
    before = AudioControls(dataset, CONTROLS)
    assert list(before.given("a1")) == ["swap", "offscreen"] and before.given("a1")["swap"][0] == "a2"
    assert AudioControls(dataset, ["noise"]).given("a1") == {}
    Image.new("RGB", (6, 4), "red").save(dataset.root / "image" / "a2.png")
    assert AudioControls(FolderDataset(dataset.root), CONTROLS).given("a1") == before.given("a1")
    soundfile.write(dataset.root / "wav" / "a2.wav", np.full(800, 0.5), 8000)
    after = AudioControls(FolderDataset(dataset.root), CONTROLS)
    changed = [stem for stem in SAMPLES if after.given(stem) != before.given(stem)]
    assert "a1" in changed
    assert changed == [stem for stem in SAMPLES if "a2" in {of_control[stem] for of_control in before.donors.values()}]
