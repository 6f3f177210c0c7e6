"""Batches come back bit by bit, a run is never mixed with another, and nothing of others is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import utils.runs.journal as module
from utils.errors import UserError
from utils.runs.engine import Evaluation
from utils.runs.journal import Journal, refuse_foreign
from utils.runs.shards import Shard
from utils.types import Prediction, Query, Sample

ROOT = Path(module.__file__).resolve().parents[2]
RUN = {"config": {"segmenter": {"weights": "a"}}, "seed": 0, "controls": ("original", "noise")}
SAMPLES = {name: [f"digest of {name}", "group"] for name in "abcdef"}
NOTHING, ALL = np.zeros((2, 2), np.float32), np.ones((2, 2), bool)
AB, CD, EF = ("a", "b"), ("c", "d"), ("e", "f")


def begin(folder, run=RUN, samples=SAMPLES, **options):
    """A journal that cuts samples in twos."""
    return Journal(folder, run, samples, lambda ids: [tuple(ids[i : i + 2]) for i in range(0, len(ids), 2)], **options)


def batch_of(score_map=NOTHING, gt_mask=ALL, confidence=0.5):
    image = np.zeros((*gt_mask.shape, 3), np.uint8)
    sample = Sample("\u00fc", image, np.zeros(8, np.float32), 8, gt_mask)
    prediction = Prediction(score_map, (Query("a", confidence),), {"seconds": {"segment": 0.1}, "reason": None})
    evaluation = Evaluation({}, {}, lambda: None, {"\u00fc": "g"}, 0.5, "native")
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
    journal = begin(tmp_path_factory.mktemp("run"))
    batch = batch_of(score_map, gt_mask, confidence)
    journal.write(AB, batch)
    again = journal.read(AB)
    assert flat(again) == flat(batch)
    (one,), (other,) = batch.answers["original"]["m"], again.answers["original"]["m"]
    assert one.f_curve.dtype == other.f_curve.dtype == np.float32
    assert one.f_curve.tobytes() == other.f_curve.tobytes()
    assert one.confidence == other.confidence
    assert (again.records, again.sketches) == (batch.records, batch.sketches)


def test_a_journal_goes_on_with_its_own_run_only(tmp_path):
    journal = begin(tmp_path)
    assert journal.batches == [AB, CD, EF]
    journal.write(AB, batch_of())
    assert (AB in journal, CD in journal) == (True, False)
    assert AB in begin(tmp_path, {**RUN, "controls": ["original", "noise"]})  # a tuple is a list in a file
    other = {**RUN, "seed": 1, "config": {"segmenter": {"weights": "b"}}}
    expected = r'another one \(config.segmenter.weights "a" there, "b" here; seed 0 there, 1 here\); choose another'
    with pytest.raises(UserError, match=expected):
        begin(tmp_path, other)
    journal.remove()
    assert list(tmp_path.iterdir()) == []
    assert AB not in begin(tmp_path, other)


@pytest.mark.parametrize(
    ("changed", "batches", "kept"),
    [
        ({"c": "mended"}, [AB, CD, EF], [AB, EF]),
        ({"c": None}, [AB, ("d",), EF], [AB, EF]),
        ({"c": None, "d": None}, [AB, EF], [AB, EF]),
        ({"aa": "new", "g": "new", "h": "new"}, [AB, CD, EF, ("aa", "g"), ("h",)], [AB, CD, EF]),
        ({"a": None, "b": "mended", "bb": "new"}, [("b",), CD, EF, ("bb",)], [CD, EF]),
    ],
)
def test_a_changed_sample_costs_its_own_batch(tmp_path, changed, batches, kept):
    journal = begin(tmp_path)
    for batch in journal.batches:
        journal.write(batch, batch_of())
    samples = {name: what for name, what in sorted((SAMPLES | changed).items()) if what}
    for _ in range(2):  # every process of the run comes to the same batches, whoever is first
        again = begin(tmp_path, samples=samples)
        assert again.batches == batches
        assert [batch for batch in batches if batch in again] == kept
    again.remove()
    assert list(tmp_path.iterdir()) == []  # the old records too


def test_other_data_are_another_run(tmp_path):
    begin(tmp_path).write(AB, batch_of())
    other = {name: "other content" for name in SAMPLES} | {"a": SAMPLES["a"]}
    with pytest.raises(UserError, match=r"found another one \(1 of its 6 samples are in this data set as they were\)"):
        begin(tmp_path, samples=other)
    begin(tmp_path / "nothing measured")
    assert begin(tmp_path / "nothing measured", samples=other).batches == [AB, CD, EF]


def test_a_batch_with_samples_skipped_counts_where_they_may_be(tmp_path):
    begin(tmp_path).write(AB, replace(batch_of(), skipped={"b": "no sound"}))
    assert AB not in begin(tmp_path)
    journal = begin(tmp_path, skip_faults=True)
    assert AB in journal and journal.read(AB).skipped == {"b": "no sound"}


def test_samples_may_have_any_name_that_files_have(tmp_path):
    samples = {name: "digest" for name in ("bytes", "float32", "sha256", "run", "../x")}
    journal = begin(tmp_path, samples=samples)
    first = journal.batches[0]
    journal.write(first, replace(batch_of(), skipped={"bytes": "why", "float32": "why"}))
    again = begin(tmp_path, samples=samples, skip_faults=True)
    assert first in again and again.read(first).skipped == {"bytes": "why", "float32": "why"}


WRONG = ["", "{", "[]", "null", '{"sha256": 1}', '{"sha256": "x", "content":\n{}\n}\n', "\ud800", "\x00" * 99]


@pytest.mark.parametrize("content", [*WRONG, "edited", "of another batch", "a pipe", "cut short"])
def test_a_record_that_no_run_wrote_is_measured_again(tmp_path, capsys, content):
    journal = begin(tmp_path)
    for batch in (AB, CD):
        journal.write(batch, batch_of())
    path, other = journal._path(AB), journal._path(CD).read_text()
    if content == "a pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        text = path.read_text()
        made = {"edited": text.replace("0.5", "0.6"), "of another batch": other, "cut short": text[:-1]}
        path.write_text(made.get(content, content), errors="surrogatepass")
    again = begin(tmp_path)
    assert (AB in again, CD in again) == (False, True)
    assert capsys.readouterr().err == f"{path} is not as a run wrote it: what it held (a to b) is measured again\n"
    with pytest.raises(UserError, match="expected what was measured of a to b in .*, found something else; run the"):
        again.read(AB)
    again.write(AB, batch_of())
    assert AB in again


@pytest.mark.parametrize("content", [*WRONG, "edited"])
def test_a_journal_that_no_run_wrote_is_refused(tmp_path, content):
    begin(tmp_path)
    path = tmp_path / "unfinished" / "run.json"
    written = path.read_text().replace('"seed": 0', '"seed": 1') if content == "edited" else content
    path.write_text(written, errors="surrogatepass")
    before = path.read_bytes()
    for use in (begin, refuse_foreign):
        with pytest.raises(
            UserError, match="expected the journal of a run .*unfinished, found something else .*; move"
        ):
            use(tmp_path)
    assert path.read_bytes() == before and os.listdir(tmp_path / "unfinished") == ["run.json", "lock"][::-1]


def test_half_a_file_is_no_batch_and_what_was_about_to_begin_is_gone_on_with(tmp_path):
    (tmp_path / "unfinished").mkdir()
    for name in (".run.json.1.partial", "lock"):
        (tmp_path / "unfinished" / name).write_text("")
    journal = begin(tmp_path)
    (tmp_path / "unfinished" / f".{journal._path(AB).name}.1.partial").write_text("{")
    assert AB not in begin(tmp_path)
    journal.remove()
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.parametrize("name", ["chapter3.tex", "batch_1.json", "run.json", "run.txt", "x.partial", "00000000.json"])
def test_a_folder_of_the_user_is_refused_and_nothing_in_it_is_changed(tmp_path, name):
    (own := tmp_path / "unfinished").mkdir()
    (own / name).write_text('{"mine": true}')
    for use in (begin, refuse_foreign):
        with pytest.raises(UserError, match=f"expected the journal of a run of eval.py in {own}, found something else"):
            use(tmp_path)
    assert os.listdir(own) == [name] and (own / name).read_text() == '{"mine": true}'


def test_a_link_in_the_folders_place_is_refused(tmp_path):
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (tmp_path / "unfinished").symlink_to(elsewhere)
    with pytest.raises(UserError, match="expected a folder at .*unfinished, found a link"):
        begin(tmp_path)
    assert list(elsewhere.iterdir()) == []


def test_files_of_the_user_in_the_journals_folder_stay(tmp_path, capsys):
    journal = begin(tmp_path)
    journal.write(AB, batch_of())
    (tmp_path / "unfinished" / "notes").mkdir()
    (tmp_path / "unfinished" / "notes.txt").write_text("mine")
    (tmp_path / "unfinished" / "batch_mine.json").write_text("mine")
    journal.remove()
    assert sorted(os.listdir(tmp_path / "unfinished")) == ["batch_mine.json", "notes", "notes.txt"]
    assert capsys.readouterr().err == f"{journal.folder} stays: not of this run is batch_mine.json, notes, notes.txt\n"


def test_links_in_the_journals_folder_are_not_followed(tmp_path, capsys):
    (target := tmp_path / "target").write_text("mine")
    journal = begin(tmp_path / "out")
    for path in (journal._path(AB), journal.folder / f".{journal._path(AB).name}.{os.getpid()}.partial"):
        path.symlink_to(target)
    again = begin(tmp_path / "out")
    assert AB not in again
    again.write(AB, batch_of())
    (journal.folder / "lock").unlink()
    (journal.folder / "lock").symlink_to(target)
    begin(tmp_path / "out")
    assert f"{journal.folder} cannot be locked" in capsys.readouterr().err
    again.remove()
    assert target.read_text() == "mine" and not journal.folder.exists()


HOLDING = """
import sys
from pathlib import Path
from utils.runs.journal import Journal
from utils.runs.shards import Shard
journal = Journal(Path(sys.argv[1]), {}, {}, list, Shard(*eval(sys.argv[2])))
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("held", "refused", "allowed"),
    [
        ((), [(), (0, 1), (1, 3), (0, 2, True)], [(1, 2, True)]),
        ((1, 3), [(), (1, 3), (0, 2, True)], [(0, 3), (2, 3), (1, 2, True)]),
        ((0, 2, True), [(), (0, 2, True), (0, 2)], [(1, 2, True)]),
    ],
)
def test_two_processes_do_not_measure_the_same(tmp_path, held, refused, allowed):
    command = [sys.executable, "-c", HOLDING, str(tmp_path), repr(held)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        for shard in refused:
            with pytest.raises(UserError, match="expected no other process at work on this in .*, found one; wait"):
                Journal(tmp_path, {}, {}, list, Shard(*shard))
        for shard in allowed:
            Journal(tmp_path, {}, {}, list, Shard(*shard))
        process.kill()  # and the lock ends with it
    Journal(tmp_path, {}, {}, list).remove()
    assert list(tmp_path.iterdir()) == []
