"""Batches come back from the journal bit by bit, and a run is never mixed with another."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from utils.errors import UserError
from utils.runs.engine import Evaluation
from utils.runs.journal import Journal
from utils.types import Prediction, Query, Sample

RUN = {"config": {"segmenter": {"weights": "a"}}, "seed": 0, "controls": ("original", "noise")}


def batch_of(score_map, gt_mask, confidence=0.5):
    image = np.zeros((*gt_mask.shape, 3), np.uint8)
    sample = Sample("ü", image, np.zeros(8, np.float32), 8, gt_mask)
    prediction = Prediction(score_map, (Query("a", confidence),), {"seconds": {"segment": 0.1}, "reason": None})
    evaluation = Evaluation({}, {}, lambda: None, {"ü": "g"}, 0.5, "native")
    return evaluation.measure([sample], {"original": {"m": [prediction]}})


def flat(batch):
    return json.dumps(
        asdict(batch),
        default=lambda value: value.hex() if isinstance(value, bytes) else np.asarray(value).tolist(),
        sort_keys=True,
    )


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)), arrays(bool, (3, 4)), st.floats(-1, 1))
def test_a_batch_comes_back_to_the_last_bit(tmp_path_factory, score_map, gt_mask, confidence):
    journal = Journal(tmp_path_factory.mktemp("run"), RUN)
    batch = batch_of(score_map, gt_mask, confidence)
    journal.write(16, batch)
    again = journal.read(16)
    assert flat(again) == flat(batch)
    (one,), (other,) = batch.answers["original"]["m"], again.answers["original"]["m"]
    assert one.f_curve.dtype == other.f_curve.dtype == np.float32
    assert one.f_curve.tobytes() == other.f_curve.tobytes()
    assert one.confidence == other.confidence
    assert (again.records, again.sketches) == (batch.records, batch.sketches)


def test_a_journal_goes_on_with_its_own_run_only(tmp_path):
    journal = Journal(tmp_path, RUN)
    journal.write(0, batch_of(np.zeros((2, 2), np.float32), np.ones((2, 2), bool)))
    assert (0 in journal, 8 in journal) == (True, False)
    assert 0 in Journal(tmp_path, {**RUN, "controls": ["original", "noise"]})  # a tuple is a list in a file
    other = {**RUN, "seed": 1, "config": {"segmenter": {"weights": "b"}}}
    expected = r'another one \(config.segmenter.weights "a" there, "b" here; seed 0 there, 1 here\); choose another'
    with pytest.raises(UserError, match=expected):
        Journal(tmp_path, other)
    journal.remove()
    assert list(tmp_path.iterdir()) == []
    assert 0 not in Journal(tmp_path, other)


def test_half_a_file_is_no_batch(tmp_path):
    Journal(tmp_path, RUN)
    (tmp_path / "unfinished" / ".00000008.json.1.partial").write_text("{")
    assert 8 not in Journal(tmp_path, RUN)


def test_a_journal_that_cannot_be_read_is_said(tmp_path):
    Journal(tmp_path, RUN)
    (tmp_path / "unfinished" / "run.json").write_text("{")
    with pytest.raises(UserError, match="expected the journal of a run in .*unfinished, found something else"):
        Journal(tmp_path, RUN)
