"""The bundled networks on the bundled photographs: known pictures have known answers, and the sound decides."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import methods
from datasets.folder import FolderDataset
from datasets.manifest import read_manifest
from models.config import load_config
from models.loading import load_models
from models.remembering import Memory
from utils.scoring.metrics import iou
from utils.types import Sample

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "datasets" / "examples"
POCKET = ROOT / "models" / "pocket"
FOUR = ("caption", "classify", "cross_modal", "text_inversion")
LEAST = {"caption": 0.5, "classify": 0.5, "cross_modal": 0.75, "text_inversion": 0.65}  # mean IoU on nine photographs


@pytest.fixture(scope="module")
def samples():
    return {sample.id: sample for sample in FolderDataset(EXAMPLES)}


@pytest.fixture(scope="module")
def memory():
    """What the networks have said: they look at each image once, for all methods."""
    return Memory()


@pytest.fixture(scope="module")
def strategies(memory):
    config = load_config("pocket")
    models = load_models(config, {role for name in FOUR for role in methods.requires(name)}, "cpu", memory)
    return {name: methods.create(name, models, config.methods.get(name)) for name in FOUR}


def with_sound_of(sample, other):
    return Sample(sample.id, sample.image, other.waveform, other.sampling_rate, sample.gt_mask)


def test_the_examples_are_photographs_small_and_attributed(samples):
    assert len(samples) >= 15
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) <= 4e6
    credits = (EXAMPLES / "LICENSE.md").read_text(encoding="utf-8")
    for entry in read_manifest(EXAMPLES).samples.values():
        for source in (*entry.details["photographs"], entry.details["sound"]):
            assert f"`{source.removeprefix('src/activities/')}`" in credits
    assert "GNU GENERAL PUBLIC LICENSE" in (EXAMPLES / "GPL-3.txt").read_text(encoding="utf-8")


def test_the_weights_stay_small_and_attributed():
    assert (
        sum(path.stat().st_size for path in POCKET.rglob("*") if path.is_file() and "train" not in path.parts) <= 40e6
    )
    credits = (POCKET / "README.md").read_text(encoding="utf-8")
    for said in ("Apache-2.0", "MIT", "Aytar", "Tan", "tuxpaint-stamps-default", "sha256"):
        assert said in credits


def test_the_weights_are_those_the_readme_names():
    credits = (POCKET / "README.md").read_text(encoding="utf-8")
    weights = sorted(POCKET.rglob("*.safetensors"))
    assert len(weights) == 5  # with the bank of sounds
    for path in weights:
        assert hashlib.sha256(path.read_bytes()).hexdigest() in credits, f"{path.parent.name}: another file than said"


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_each_strategy_finds_what_sounds_in_the_farm_photographs(name, least, samples, strategies):
    farm = [sample for stem, sample in samples.items() if stem.startswith("farm_")]
    assert len(farm) == 9
    predictions = strategies[name].predict(farm)
    ious = [iou(one.score_map > 0.5, sample.gt_mask) for one, sample in zip(predictions, farm, strict=True)]
    assert np.mean(ious) >= least


def test_another_sound_moves_the_mask_to_the_other_thing(samples, strategies):
    pairs = [(samples[f"{name}_a"], samples[f"{name}_b"]) for name in ("rehearsal", "horse_dog", "cow_owl")]
    scenes = [sample for pair in pairs for sample in pair]
    own = strategies["cross_modal"].predict(scenes)
    others = strategies["cross_modal"].predict([with_sound_of(a, b) for p in pairs for a, b in (p, p[::-1])])
    kept = np.mean([iou(one.score_map > 0.5, scene.gt_mask) for one, scene in zip(own, scenes, strict=True)])
    moved = np.mean([iou(one.score_map > 0.5, scene.gt_mask) for one, scene in zip(others, scenes, strict=True)])
    assert kept > moved + 0.2


@pytest.mark.parametrize("name", FOUR)
def test_silence_finds_nothing_and_says_so(name, samples, strategies):
    quiet = Sample("quiet", samples["farm_dog"].image, np.zeros(32000, np.float32), 16000)
    prediction = strategies[name].predict([quiet])[0]
    assert not prediction.score_map.any()
    assert prediction.queries == ()
    assert "silent" in prediction.trail["reason"]


@pytest.mark.parametrize("name", FOUR)
def test_a_result_does_not_depend_on_its_batch(name, samples, strategies, memory):
    some = [samples[stem] for stem in ("farm_cat", "horse_dog_a", "rehearsal_a")]
    memory.forget()
    together = strategies[name].predict(some)
    for one, sample in zip(together[::2], some[::2], strict=True):
        memory.forget()
        other = strategies[name].predict([sample])[0]
        assert [query.text for query in one.queries] == [query.text for query in other.queries]
        np.testing.assert_allclose(one.score_map, other.score_map, atol=1e-4)
