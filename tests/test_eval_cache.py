"""eval.py --cache: what was asked of the networks in one run is not asked again in the next."""

from __future__ import annotations

import csv
import functools

import pytest

import eval as script
from models.audio_text.clap import ClapEncoder
from models.image_captioner.image_to_text import BlipCaptioner


def refused(ask):
    @functools.wraps(ask)
    def refuse(*_, **__):
        raise AssertionError("a network was asked")

    return refuse


@pytest.fixture
def evaluate(random_config, tmp_path):
    def evaluate(name, *further):
        options = ["--test_data_path", "datasets/examples", "--limit", "2", "--device", "cpu", "--draws", "0"]
        cached = ["--cache", str(tmp_path / "cache"), "--output_dir", str(tmp_path / name)]
        options += ["--config", str(random_config), "--methods", "cross_modal", "text_inversion", "--baselines"]
        script.main([*options, *cached, *further])
        return (tmp_path / name / "per_sample.csv").read_bytes()

    return evaluate


def test_a_second_run_asks_no_network_but_the_segmenter(evaluate, monkeypatch):
    first = evaluate("first")
    assert all(row["query"] for row in csv.DictReader(first.decode().splitlines()))  # every stage had something to do
    for stage in ("encode_audio", "encode_text", "pseudo_word_encoder"):
        monkeypatch.setattr(ClapEncoder, stage, refused(getattr(ClapEncoder, stage)))
    monkeypatch.setattr(BlipCaptioner, "caption", refused(BlipCaptioner.caption))
    assert evaluate("second") == first
    with pytest.raises(AssertionError, match="a network was asked"):
        evaluate("other", "--set", "image_captioner.max_new_tokens=3")
    with pytest.raises(AssertionError, match="a network was asked"):
        evaluate("another", "--set", "text_inversion.steps=3")
