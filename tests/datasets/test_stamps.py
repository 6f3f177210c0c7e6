"""`python -m datasets.stamps` writes a folder that says what it holds, the same bytes however it came about (by more
processes, after a kill, with more samples), and ends a mistake in one sentence.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import stamps
from datasets.folder import FolderDataset
from datasets.manifest import MANIFEST, UNFINISHED, read_manifest
from datasets.stamp_world import scenarios as stamp_scenarios
from utils.errors import UserError, run_script
from utils.media.drawing import TINT


def contents(folder):
    """Path -> bytes of everything in a folder, hidden files too."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def build(out, root, samples=40, num_workers=0, **options):
    return stamps.build(out, [root], stamps.Options("test", samples, **{"seed": 3, **options}), num_workers)


@pytest.fixture(scope="module")
def ten(stamps_root, tmp_path_factory):
    """A set of ten samples; only read."""
    build(out := tmp_path_factory.mktemp("ten") / "set", stamps_root, samples=10)
    return out


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
        stamps.build(tmp_path / "all", [stamps_root], stamps.Options("test", 4, swap_sounds="keep"))
    assert not (tmp_path / "all").exists()
    singles = stamps.Options("test", 4, scenarios=["single"])
    kept = stamps.build(tmp_path / "keep", [stamps_root], replace(singles, swap_sounds="keep"))
    assert all(entry.details["played"] != entry.details["masked"] for entry in kept.samples.values())
    assert "a method that listens fails" in kept.notes[-1]
    moved = stamps.build(tmp_path / "move", [stamps_root], replace(singles, swap_sounds="move"))
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
def test_a_mistake_ends_with_code_2_and_no_traceback(words, said, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        sys.exit(run_script(lambda: stamps.main(["--out", str(tmp_path / "set"), *words])))
    printed = capsys.readouterr().err
    assert said in printed.strip().splitlines()[-1]
    assert "Traceback" not in printed
    assert not (tmp_path / "set").exists()


def test_another_run_by_two_processes_is_the_same_bytes(ten, stamps_root, tmp_path):
    build(tmp_path / "again", stamps_root, samples=10, num_workers=2)
    again = contents(tmp_path / "again")
    assert len(again) == 3 * 10 + 1
    assert again == contents(ten)


def test_another_seed_is_another_set(stamps_set, stamps_root, tmp_path):
    build(tmp_path / "other", stamps_root, samples=10, seed=4)
    one, other = contents(stamps_set), contents(tmp_path / "other")
    images = [name for name in other if name.parts[0] == "image"]
    assert len(images) == 10
    assert all(one[name] != other[name] for name in images)


def test_the_first_samples_do_not_depend_on_how_many_there_are(stamps_set, ten):
    many = contents(stamps_set)
    written = {name: content for name, content in contents(ten).items() if len(name.parts) > 1}
    assert len(written) == 30
    assert all(many[name] == content for name, content in written.items())
    entries = read_manifest(stamps_set).samples
    assert all(entries[stem] == entry for stem, entry in read_manifest(ten).samples.items())


def test_a_killed_run_goes_on_to_the_same_bytes(ten, stamps_root, tmp_path):
    out = tmp_path / "killed"
    process = multiprocessing.get_context("fork").Process(target=build, args=(out, stamps_root, 10))  # librosa is there
    process.start()
    deadline = time.monotonic() + 120
    while len(list(out.glob("wav/*.wav"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (out / UNFINISHED).exists()
    assert not (out / MANIFEST).exists()
    with pytest.raises(UserError, match="run the import's command again"):
        read_manifest(out)
    build(out, stamps_root, samples=10)
    assert contents(out) == contents(ten)


def test_what_is_finished_is_kept_and_only_the_rest_is_made(stamps_root, tmp_path, monkeypatch):
    def stop_at(unit, world, compose=stamp_scenarios.compose):
        if unit.index == 6:
            raise KeyboardInterrupt
        return compose(unit, world)

    with monkeypatch.context() as patch:
        patch.setattr(stamp_scenarios, "compose", stop_at)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path / "set", stamps_root, samples=10)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set/wav").iterdir()}
    assert len(before) == 6
    made = []
    monkeypatch.setattr(stamp_scenarios.soundfile, "write", lambda path, *args, write=stamp_scenarios.soundfile.write,
                        **options: (made.append(path), write(path, *args, **options)))  # fmt: skip
    build(tmp_path / "set", stamps_root, samples=10)
    assert len(made) == 4
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert read_manifest(tmp_path / "set").counts["samples"] == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"samples": 41}, 'the options .*"scenes": 41'),
        ({"seed": 4}, 'the options .*"seed": 4'),
        ({"scenarios": ("single",)}, r'the options .*\["single"\]'),
    ],
)
def test_a_folder_begun_with_other_options_is_refused_and_left_alone(stamps_set, stamps_root, options, said):
    before = contents(stamps_set)
    with pytest.raises(UserError, match=f"begun with {said}.*choose another --out"):
        build(stamps_set, stamps_root, **options)
    assert contents(stamps_set) == before


def test_a_folder_of_other_files_is_refused(stamps_root, tmp_path):
    (tmp_path / "mine/wav").mkdir(parents=True)
    (tmp_path / "mine/wav/voice.wav").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"found a data set without manifest.json; choose another --out"):
        build(tmp_path / "mine", stamps_root)
    assert list(contents(tmp_path / "mine")) == [Path("wav/voice.wav")]


def test_a_manifest_that_cannot_be_read_is_refused(stamps_root, tmp_path):
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(UserError, match="expected .*manifest.json to be a manifest of this project"):
        build(tmp_path, stamps_root)


def test_the_picture_shows_five_scenarios_twice_and_tints_the_answers(stamps_set, monkeypatch):
    titles = []

    def side_by_side(pictures, columns, draw=stamps.side_by_side):
        titles.extend(title for title, _ in pictures)
        answers = [np.asarray(picture, float) for _, picture in pictures[1::2]]
        seen = [np.asarray(picture, float) for _, picture in pictures[::2]]
        changed = [np.abs(one - other).max() > 0 for one, other in zip(answers, seen, strict=True)]
        assert changed == [True] * 6 + [False] * 4
        assert columns == 4
        return draw(pictures, columns)

    monkeypatch.setattr(stamps, "side_by_side", side_by_side)
    picture = stamps.draw_figure(FolderDataset(stamps_set))
    assert picture.width == 960
    assert len(titles) == 20
    assert titles[16:] == [
        "silent, heard: digital silence", "answer: nothing", "silent, heard: faint noise", "answer: nothing"
    ]  # fmt: skip
    near_tint = np.abs(np.asarray(picture, float) - TINT).sum(-1) < 200
    assert near_tint.mean() > 0.005


def test_a_set_without_a_scenario_is_refused(stamps_root, tmp_path):
    stamps.build(tmp_path / "set", [stamps_root], stamps.Options("test", 2, scenarios=["single"]))
    with pytest.raises(UserError, match="expected 2 pair samples in .*, found 0"):
        stamps.draw_figure(FolderDataset(tmp_path / "set"))


def test_the_figure_is_drawn_on_request(stamps_root, tmp_path):
    argv = ["--out", tmp_path / "set", "--root", stamps_root, "--scenes", "20", "--figure", tmp_path / "figure.jpg"]
    stamps.main([str(word) for word in argv])
    with Image.open(tmp_path / "figure.jpg") as figure:
        assert (figure.format, figure.width) == ("JPEG", 960)
