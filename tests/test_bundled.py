"""The bundled networks on the bundled scenes: known scenes have known answers, and the sound decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import methods
from datasets.folder import FolderDataset
from datasets.manifest import read_manifest
from models.config import load_config
from models.loading import load_models
from utils.metrics import iou
from utils.types import Sample

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "datasets" / "examples"
FOUR = ("caption", "classify", "cross_modal", "text_inversion")


@pytest.fixture(scope="module")
def samples():
    return list(FolderDataset(EXAMPLES))


@pytest.fixture(scope="module")
def strategies():
    config = load_config("tiny")
    models = load_models(config, {role for name in FOUR for role in methods.requires(name)}, device="cpu")
    return {name: methods.create(name, models, config.methods.get(name)) for name in FOUR}


@pytest.fixture(scope="module")
def sounding():
    """Stem -> the noun of what sounds; stem -> all nouns in view."""
    entries = read_manifest(EXAMPLES).samples
    return {stem: entry.categories[0] for stem, entry in entries.items()}, {
        stem: [thing["noun"] for thing in entry.details["objects"]] for stem, entry in entries.items()
    }


def test_the_examples_are_at_least_24_small_and_attributed(samples):
    assert len(samples) >= 24
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) <= 6e6
    credits = (EXAMPLES / "LICENSE.md").read_text()
    entries = read_manifest(EXAMPLES).samples
    stamps = {thing["stamp"] for entry in entries.values() for thing in entry.details["objects"]}
    assert all(f"`{stamp}.png`" in credits for stamp in stamps)
    assert "GNU General Public License" in credits
    assert "GNU GENERAL PUBLIC LICENSE" in (EXAMPLES / "GPL-2.txt").read_text()


def test_the_weights_stay_small():
    assert sum(path.stat().st_size for path in (ROOT / "models/tiny").rglob("*.*") if path.is_file()) <= 25e6


@pytest.mark.parametrize(
    ("name", "least"), [("cross_modal", 0.5), ("classify", 0.5), ("caption", 0.45), ("text_inversion", 0.4)]
)
def test_each_strategy_finds_what_sounds_in_the_examples(name, least, samples, strategies):
    predictions = strategies[name].predict(samples)
    ious = [iou(one.score_map > 0.5, sample.gt_mask) for one, sample in zip(predictions, samples, strict=True)]
    assert np.mean(ious) >= least


def test_cross_modal_asks_for_what_sounds(samples, strategies, sounding):
    nouns, _ = sounding
    predictions = strategies["cross_modal"].predict(samples)
    asked = [bool(one.queries) and one.queries[0].text == f"A photo of {nouns[sample.id]}" for one, sample in zip(
        predictions, samples, strict=True
    )]  # fmt: skip
    assert np.mean(asked) >= 0.7


def test_another_sound_moves_the_mask_to_another_thing(samples, strategies, sounding):
    nouns, in_view = sounding
    by_id = {sample.id: sample for sample in samples}
    moved = []
    for sample in samples:
        for other in samples:
            if nouns[other.id] in in_view[sample.id] and nouns[other.id] != nouns[sample.id]:
                moved.append((sample, Sample(sample.id, sample.image, other.waveform, other.sampling_rate), other.id))
    assert len(moved) >= 3
    before = strategies["cross_modal"].predict([by_id[sample.id] for sample, _, _ in moved])
    after = strategies["cross_modal"].predict([swapped for _, swapped, _ in moved])
    on_before = np.mean([iou(one.score_map > 0.5, row[0].gt_mask) for one, row in zip(before, moved, strict=True)])
    on_after = np.mean([iou(one.score_map > 0.5, row[0].gt_mask) for one, row in zip(after, moved, strict=True)])
    assert on_after < on_before / 3
    named = [one.queries[0].text if one.queries else "" for one in after]
    assert np.mean([text == f"A photo of {nouns[row[2]]}" for text, row in zip(named, moved, strict=True)]) >= 0.6


@pytest.mark.parametrize("name", FOUR)
def test_silence_finds_nothing_and_says_so(name, samples, strategies):
    quiet = Sample("quiet", samples[0].image, np.zeros(32000, np.float32), 16000)
    prediction = strategies[name].predict([quiet])[0]
    assert not prediction.score_map.any()
    assert prediction.queries == ()
    assert "silent" in prediction.trail["reason"]


@pytest.mark.parametrize("name", FOUR)
def test_a_result_does_not_depend_on_its_batch(name, samples, strategies):
    together = strategies[name].predict(samples[:5])
    alone = [strategies[name].predict([sample])[0] for sample in samples[:5]]
    for one, other in zip(together, alone, strict=True):
        assert [query.text for query in one.queries] == [query.text for query in other.queries]
        np.testing.assert_allclose(one.score_map, other.score_map, atol=1e-4)
