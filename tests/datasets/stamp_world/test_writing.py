"""A set of Stamps-AVS is the same bytes however it came about: by more processes, after a kill, with more samples."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datasets import stamps
from datasets.manifest import MANIFEST, UNFINISHED, read_manifest
from datasets.stamp_world import writing as stamp_writing
from utils.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]


def contents(folder):
    """Path -> bytes of everything in a folder, hidden files too."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def build(out, root, samples=40, **options):
    return stamps.build(out, [root], "test", samples, **{"seed": 3, **options})


def test_another_run_by_two_processes_is_the_same_bytes(stamps_set, stamps_root, tmp_path):
    build(tmp_path / "again", stamps_root, num_workers=2)
    again = contents(tmp_path / "again")
    assert len(again) == 3 * 40 + 1
    assert again == contents(stamps_set)


def test_another_seed_is_another_set(stamps_set, stamps_root, tmp_path):
    build(tmp_path / "other", stamps_root, samples=10, seed=4)
    one, other = contents(stamps_set), contents(tmp_path / "other")
    images = [name for name in other if name.parts[0] == "image"]
    assert len(images) == 10
    assert all(one[name] != other[name] for name in images)


def test_the_first_samples_do_not_depend_on_how_many_there_are(stamps_set, stamps_root, tmp_path):
    few = build(tmp_path / "few", stamps_root, samples=10)
    many = contents(stamps_set)
    written = {name: content for name, content in contents(tmp_path / "few").items() if len(name.parts) > 1}
    assert len(written) == 30
    assert all(many[name] == content for name, content in written.items())
    entries = read_manifest(stamps_set).samples
    assert all(entries[stem] == entry for stem, entry in few.samples.items())


def test_a_killed_run_goes_on_to_the_same_bytes(stamps_set, stamps_root, tmp_path):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "datasets.stamps", "--out", out, "--source", stamps_root, "--scenes", "40"]
    process = subprocess.Popen([*command, "--seed", "3"], cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(out.glob("wav/*.wav"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (out / UNFINISHED).exists()
    assert not (out / MANIFEST).exists()
    with pytest.raises(UserError, match="run the import's command again"):
        read_manifest(out)
    build(out, stamps_root)
    assert contents(out) == contents(stamps_set)


def test_what_is_finished_is_kept_and_only_the_rest_is_made(stamps_root, tmp_path, monkeypatch):
    def stop_at(unit, world, compose=stamp_writing.compose):
        if unit.index == 6:
            raise KeyboardInterrupt
        return compose(unit, world)

    with monkeypatch.context() as patch:
        patch.setattr(stamp_writing, "compose", stop_at)
        with pytest.raises(KeyboardInterrupt):
            build(tmp_path / "set", stamps_root, samples=10)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set/wav").iterdir()}
    assert len(before) == 6
    made = []
    monkeypatch.setattr(stamp_writing.soundfile, "write", lambda path, *args, write=stamp_writing.soundfile.write,
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
    with pytest.raises(UserError, match=r"found files in wav/ and no manifest.json; choose another --out"):
        build(tmp_path / "mine", stamps_root)
    assert list(contents(tmp_path / "mine")) == [Path("wav/voice.wav")]


def test_a_manifest_that_cannot_be_read_is_refused(stamps_root, tmp_path):
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(UserError, match="expected a manifest at"):
        build(tmp_path, stamps_root)
