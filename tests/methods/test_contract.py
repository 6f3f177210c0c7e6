"""What every method in the folder must do, whatever its idea: a new file is tested here without an edit."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import methods
from methods.base import Method
from models.config import ROLES
from models.remembering import Memory
from utils.errors import UserError
from utils.runs.engine import predict_blind
from utils.trails import abstain
from utils.types import Prediction

every_method = pytest.mark.parametrize("name", methods.available())
every_listener = pytest.mark.parametrize("name", [name for name in methods.available() if methods.listens(name)])
every_baseline = pytest.mark.parametrize("name", [name for name in methods.available() if not methods.listens(name)])
every_abstainer = pytest.mark.parametrize(
    "name", [name for name in methods.available() if methods._find(name).abstains_below]
)


@pytest.fixture
def make(fakes):
    def make(name: str, **values) -> Method:
        models = {role: model for role, model in fakes.make_models().items() if role in methods.requires(name)}
        return methods.create(name, models, {**fakes.METHOD_SETTINGS.get(name, {}), **values})

    return make


@pytest.fixture
def samples(fakes):
    return [
        fakes.make_sample("dog", ("dog", "violin"), name="a"),
        fakes.make_sample("violin", ("dog", "violin"), size=(64, 33), seconds=1.3, rate=16000, name="b"),
        fakes.make_sample(None, ("dog",), name="silent"),
        fakes.make_sample("drum", ("sea lion", "drum", "dog"), size=(21, 90), seconds=0.1, name="c"),
        fakes.make_sample("dog", (), name="grey"),
        fakes.make_sample("dog", ("dog",), seconds=0.0, name="empty sound"),
        fakes.make_sample("sea lion", ("sea lion",), size=(16, 16), name="d"),
        *(fakes.make_sample(thing, ("dog", "drum"), name=f"more {thing}") for thing in ("dog", "drum", "dog", "drum")),
    ]


def same(first, second) -> bool:
    trails = [{key: value for key, value in answer.trail.items() if key != "seconds"} for answer in (first, second)]
    return trails[0] == trails[1] and np.array_equal(first.score_map, second.score_map)


def outcome(answer) -> tuple:
    """What was asked and found; the last digits depend on what else is in a batch, and shared work makes it smaller."""
    return [query.text for query in answer.queries], (answer.score_map > 0.5).tobytes(), answer.trail.get("reason")


@every_method
def test_shared_work_changes_no_answer(name, fakes, samples):
    alone, shared, memory = fakes.make_models(), fakes.make_models(), Memory()
    shared = {role: memory.wrap(model, {}) for role, model in shared.items()}
    values = fakes.METHOD_SETTINGS.get(name, {})
    plain, remembering = methods.create(name, alone, values), methods.create(name, shared, values, memory=memory)
    expected = list(map(outcome, plain.predict(samples)))
    for _ in range(2):
        assert list(map(outcome, remembering.predict(samples))) == expected


@every_method
def test_declares_roles_that_exist_and_settings_with_defaults(name):
    assert set(methods.requires(name)) <= set(ROLES)
    assert methods.requires(name)[-1:] in (("segmenter",), ()) and methods.requires(name).count("segmenter") <= 1
    assert "models" not in methods.settings(name)


@every_method
def test_one_prediction_a_sample_of_its_images_size(name, make, samples):
    predictions = make(name).predict(samples)
    assert len(predictions) == len(samples)
    for sample, prediction in zip(samples, predictions, strict=True):
        assert prediction.score_map.shape == sample.image.shape[:2]
        assert prediction.score_map.dtype == np.float32
        assert prediction.score_map.min() >= 0 and prediction.score_map.max() <= 1


@every_method
def test_trails_have_the_same_keys_and_are_json(name, make, samples):
    for prediction in make(name).predict(samples):
        trail = prediction.trail
        keys = [key for key in ("heard", "seen") if key in trail] + ["candidates", "query", "reason"]
        assert list(trail)[: len(keys)] == keys
        assert json.loads(json.dumps(trail, allow_nan=False)) == trail
        assert isinstance(trail.get("heard", ""), str)
        assert [set(row) for row in trail["candidates"]] == [{"text", "score"}] * len(trail["candidates"])
        scores = [row["score"] for row in trail["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert (trail["query"] is None) == (trail["reason"] is not None) == (not prediction.queries)
        if prediction.queries:
            assert trail["query"] == "; ".join(query.text for query in prediction.queries)
            assert np.isfinite([query.score for query in prediction.queries]).all()


@every_abstainer
def test_its_score_is_what_its_threshold_is_compared_with(name, make, samples):
    """So that a threshold can be measured from what a method says of sounds (`methods/calibrate.py`)."""
    setting = methods._find(name).abstains_below
    for sample in samples[:2]:
        score = make(name, **{setting: 0.0}).propose([sample])[0].queries[0].score
        assert 0.5 < score < 1
        assert make(name, **{setting: score - 1e-3}).propose([sample])[0].queries[0].score == score
        refused = make(name, **{setting: score + 1e-3}).propose([sample])[0]
        assert refused.queries == () and f"< {score + 1e-3:g}" in refused.trail["reason"]


@every_listener
def test_a_sound_of_two_samples_asks_for_nothing_and_says_so(name, make, samples):
    sample = replace(samples[0], waveform=np.array([0.5, -0.5], np.float32), sampling_rate=16000)
    prediction = make(name).predict([sample])[0]
    assert prediction.queries == () and not prediction.score_map.any()
    assert prediction.trail["reason"] == "the sound is too short to tell: 2 samples at 16000 Hz, expected 50 ms or more"


@every_listener
@pytest.mark.parametrize("which", ["silent", "empty sound"])
def test_silence_asks_for_nothing_and_says_so(name, which, make, samples):
    sample = next(sample for sample in samples if sample.id == which)
    prediction = make(name).predict([sample])[0]
    assert prediction.queries == ()
    assert prediction.score_map.max() == 0
    assert "silent" in prediction.trail["reason"]


@every_baseline
def test_no_sound_changes_a_baselines_answer(name, make, samples):
    other = [
        replace(sample, waveform=last.waveform, sampling_rate=last.sampling_rate)
        for sample, last in zip(samples, samples[::-1], strict=True)
    ]
    assert all(map(same, make(name).predict(samples), make(name).predict(other)))


@every_method
def test_no_result_depends_on_the_batch_or_its_order(name, make, samples):
    method = make(name)
    together = method.predict(samples)
    backwards = make(name).predict(samples[::-1])[::-1]
    for sample, one, other in zip(samples, together, backwards, strict=True):
        assert same(one, other), sample.id
        assert same(one, make(name).predict([sample])[0]), sample.id
        assert same(one, method.predict([sample])[0]), sample.id


@every_method
def test_preparing_changes_nothing(name, make, samples):
    prepared = make(name)
    for _ in range(2):
        prepared.prepare()
    for one, other in zip(prepared.predict(samples), make(name).predict(samples), strict=True):
        assert same(one, other)


@every_method
def test_the_ground_truth_is_out_of_sight(name, make, samples):
    """Of what the engine asks, and of the method itself, which has no use for it."""
    without = [replace(sample, gt_mask=None) for sample in samples]
    inverted = [replace(sample, gt_mask=~sample.gt_mask, gt_ignore=sample.gt_mask) for sample in samples]
    for predict in (make(name).predict, partial(predict_blind, make(name))):
        assert all(map(same, predict(without), predict(inverted)))


def test_the_engine_takes_the_ground_truth_and_the_names_away(samples):
    """There and nowhere else: a method would be given whatever the engine lets through."""

    class Peeking(Method):
        def propose(self, samples):
            for sample in samples:
                seen.append((sample.id, sample.gt_mask, sample.gt_ignore))
            return [abstain("it only looks", heard="nothing") for _ in samples]

        def predict(self, samples):
            return [
                Prediction(np.zeros(sample.image.shape[:2], np.float32), (), proposal.trail)
                for sample, proposal in zip(samples, self.propose(samples), strict=True)
            ]

    seen = []
    full = [replace(sample, gt_ignore=sample.gt_mask) for sample in samples]
    predict_blind(Peeking({}), full)
    assert seen == [(str(number), None, None) for number in range(len(samples))]
    seen.clear()
    Peeking({}).propose(full[:1])
    assert seen[0][1] is full[0].gt_mask


@every_method
def test_the_global_random_state_is_neither_used_nor_touched(name, make, samples):
    import torch

    np.random.seed(1), torch.manual_seed(1)
    first = make(name).predict(samples[:2])
    np.random.seed(2), torch.manual_seed(2)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    second = make(name).predict(samples[:2])
    assert all(map(same, first, second))
    assert np.array_equal(states[0], np.random.get_state()[1]) and torch.equal(states[1], torch.get_rng_state())


@every_method
def test_nothing_in_is_nothing_out(name, make):
    assert make(name).predict([]) == []


@every_listener
def test_an_unknown_setting_is_answered_with_the_known_ones(name, make):
    with pytest.raises(UserError, match=f'{name} has no setting "loudness"; it has: .*silence_db'):
        make(name, loudness=3)


@every_listener
def test_a_setting_of_the_wrong_kind_is_refused(name, make):
    with pytest.raises(UserError, match=f"{name}.silence_db must be a number from -.inf to 0, of dBFS; found 'loud'"):
        make(name, silence_db="loud")
