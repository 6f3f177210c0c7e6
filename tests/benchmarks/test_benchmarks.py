"""The benchmarks of a GPU run without one, and their numbers are right where the answer is known."""

import subprocess
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from models.network import Pretrained
from tests.benchmarks import halving, precision
from utils.errors import UserError


def test_the_script_for_a_gpu_is_sound_and_names_programs_that_are_there():
    script = Path(__file__).with_name("gpu.sh")
    subprocess.run(["bash", "-n", str(script)], check=True)
    for name in ("precision", "halving", "evaluation", "measure"):
        assert f"tests.benchmarks.{name} " in script.read_text() and script.with_name(f"{name}.py").is_file()


def test_how_far_answers_moved():
    exact = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = np.array([[0.8, 0.6], [0.0, 1.0]])
    row = precision.moved("segmenter", "maps", found[:, None], exact[:, None])
    assert (row.largest, row.mean, row.cosine, row.flips) == pytest.approx((0.6, 0.2, 0.8, 0.25))
    assert row.of_another == pytest.approx(np.sqrt(0.4) / 2 / np.sqrt(2))
    assert precision.moved("audio_text", "sounds", exact, exact).of_another == 0
    assert precision.moved("audio_text", "sounds", found, exact).flips is None


def test_half_precision_is_measured_of_every_role_and_too_far_is_an_error(random_config, capsys):
    given = ["--config", str(random_config), "--device", "cpu", "--items", "2"]
    inference = Pretrained.inference
    rows = precision.main([*given, "--most", "10"])
    assert Pretrained.inference is inference
    kinds = ["sounds", "sentences", "probabilities", "first word", "first word", "maps"]
    assert [row.what for row in rows] == kinds and [row.flips is None for row in rows] == [True] * 5 + [False]
    assert all(0 < row.mean <= row.largest and 0 < row.of_another < 10 for row in rows)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(rows) + 2 and printed[2].startswith("| audio_text | sounds | ")
    with pytest.raises(UserError, match="expected no answer to move further than 1e-06 .* sounds of audio_text, sente"):
        precision.main([*given, "--most", "0.000001"])


def test_what_does_not_fit_is_halved_and_answered_alike(random_config, capsys, monkeypatch):
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # takes long among the objects of many tests
    given = ["--config", str(random_config), "--device", "cpu", "--methods", "classify", "--samples", "4"]
    assert halving.main(given) == 2
    printed = capsys.readouterr()
    assert "4 samples at a time do not fit into the device's memory; going on with 2" in printed.err
    assert "4 samples went on 2 at a time" in printed.out
    monkeypatch.setattr(halving, "less_memory", lambda *_: nullcontext())
    with pytest.raises(UserError, match="expected 4 samples not to fit"):
        halving.main(given)


def test_other_queries_and_other_maps_are_told():
    class Answer:
        def __init__(self, text, value):
            self.queries, self.score_map = [type("Query", (), {"text": text})], torch.full((2, 2), value).numpy()

    whole, halved = {"a": [Answer("dog", 0.5)] * 2}, {"a": [Answer("cat", 0.5), Answer("dog", 0.75)]}
    assert halving.compare(whole, halved) == (1, 0.25)
