"""`python -m datasets.stamps` writes a folder that says what it holds, and ends a mistake in one sentence."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from datasets import stamps
from datasets.folder import FolderDataset
from datasets.manifest import read_manifest
from utils.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_manifest_says_what_the_folder_holds(stamps_set):
    manifest = read_manifest(stamps_set)
    assert manifest.benchmark == "Stamps-AVS"
    assert manifest.source["packages"] == {
        "tuxpaint-data": "1:0.9.28-sdl2-1",
        "tuxpaint-stamps-default": "2022.06.04-1",
    }
    assert manifest.options == {
        "split": "test",
        "scenes": 40,
        "seed": 3,
        "scenarios": ["single", "pair", "multi", "offscreen", "silent"],
        "swap_sounds": None,
    }
    assert manifest.counts["samples"] == 40
    assert (manifest.counts["groups"], manifest.group_unit) == (36, "image")
    assert manifest.counts["blank_masks"] == 8
    assert Counter(entry.scenario for entry in manifest.samples.values()) == {
        "single": 16, "pair": 8, "multi": 8, "offscreen": 4, "silent": 4
    }  # fmt: skip
    dataset = FolderDataset(stamps_set)
    assert dataset.ids == sorted(manifest.samples)
    assert [not sample.gt_mask.any() for sample in dataset] == [manifest.samples[stem].blank for stem in dataset.ids]


def test_the_manifest_is_read_as_it_was_written_and_names_no_place(stamps_root, tmp_path, capsys):
    argv = ["--out", tmp_path / "set", "--root", stamps_root, "--scenes", "10", "--scenarios", "silent", "multi"]
    manifest = stamps.main([str(word) for word in argv])
    assert read_manifest(tmp_path / "set") == manifest
    text = (tmp_path / "set/manifest.json").read_text()
    assert str(stamps_root) not in text
    assert str(tmp_path) not in text
    said = capsys.readouterr().out.split("\n")
    assert said[0].startswith("Stamps-AVS, test: 10 samples of 10 images, ")
    assert said[1:3] == ["  multi          7", "  silent         3"]
    assert said[3] == f"next: python -m datasets.check {tmp_path / 'set'}"
    assert said[4].endswith(f"--test_data_path {tmp_path / 'set'}")


def test_swapped_sounds_are_for_singles_and_say_so(stamps_root, tmp_path):
    with pytest.raises(UserError, match="expected --scenarios single with --swap_sounds, found single pair"):
        stamps.build(tmp_path / "all", [stamps_root], "test", 4, 0, swap_sounds="keep")
    assert not (tmp_path / "all").exists()
    kept = stamps.build(tmp_path / "keep", [stamps_root], "test", 4, 0, ["single"], "keep")
    assert all(entry.details["played"] != entry.details["masked"] for entry in kept.samples.values())
    assert "a method that listens fails" in kept.notes[-1]
    moved = stamps.build(tmp_path / "move", [stamps_root], "test", 4, 0, ["single"], "move")
    assert all(entry.details["played"] == entry.details["masked"] for entry in moved.samples.values())
    for stem in kept.samples:
        assert (tmp_path / f"keep/wav/{stem}.wav").read_bytes() == (tmp_path / f"move/wav/{stem}.wav").read_bytes()
        assert (tmp_path / f"keep/gt_seg/{stem}.png").read_bytes() != (
            tmp_path / f"move/gt_seg/{stem}.png"
        ).read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "nowhere"], "error: expected the Debian packages tuxpaint-stamps-default and tuxpaint-data"),
        (["--scenes", "0"], "expected a whole number from 1 up, found '0'"),
        (["--seed", "-1"], "expected a whole number from 0 up, found '-1'"),
        (["--scenarios", "duet"], "invalid choice: 'duet'"),
    ],
)
def test_a_mistake_ends_with_code_2_and_no_traceback(words, said, tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "datasets.stamps", "--out", tmp_path / "set", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert said in run.stderr.strip().splitlines()[-1]
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "set").exists()
