"""What an evaluation leaves behind is complete, readable, and written whole or not at all."""

import csv
import math
import shlex
import subprocess
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from utils.errors import UserError
from utils.files import write_text_atomic
from utils.runs.provenance import command_line, current_date, git_state, versions
from utils.runs.results import (
    SCHEMA,
    EvalResults,
    SampleRecord,
    read_records,
    read_results,
    write_records,
    write_results,
)

RECORD = SampleRecord(
    id="a.mp4_1",
    group="a.mp4",
    control="original",
    method="classify",
    iou_fixed=1 / 3,
    f_fixed=0.5,
    iou_adaptive=0.25,
    f_adaptive=0.75,
    iou_median=0.1,
    iou_relative=0.2,
    avsbench_iou=1 / 3,
    area=0.125,
    gt_empty=False,
    prediction_empty=True,
    confidence=0.875,
    query='A photo of "x", y',
    reason="",
)
RESULTS = EvalResults(
    **{
        **{field.name: {} for field in fields(EvalResults)},
        "schema": SCHEMA,
        "command": "python eval.py --test_data_path data",
        "commit": None,
        "models": {"segmenter": {"sha256": "0"}},
        "data": {"path": Path("data"), "samples": np.int64(20), "gt_empty": 2},
        "seconds": {"total": 1.5},
        "scores": {"cross_modal": {"paper": {"cIoU": {"value": 0.55, "low": None, "high": None}}}},
    }
)


def write(path, *records):
    write_records(records, path / "per_sample.csv")


def test_records_come_back_as_written(tmp_path):
    silent = replace(RECORD, id="ü", confidence=None, gt_empty=True, reason="the sound is silent\nall through")
    write(tmp_path, RECORD, silent)
    with (tmp_path / "per_sample.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [field.name for field in fields(SampleRecord)]
    assert (rows[0]["query"], rows[0]["gt_empty"], rows[1]["confidence"]) == ('A photo of "x", y', "False", "")
    assert read_records(tmp_path) == [RECORD, silent]
    assert [path.name for path in tmp_path.iterdir()] == ["per_sample.csv"]


def test_records_are_read_by_control(tmp_path):
    rows = [replace(RECORD, control=control, method=method) for control in ("original", "swap") for method in "ab"]
    write(tmp_path, *rows)
    assert read_records(tmp_path) == rows[:2]
    assert read_records(tmp_path / "per_sample.csv", "swap") == rows[2:]


def test_records_that_cannot_be_read_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"expected a per_sample.csv of eval.py at .*, found none; check the path"):
        read_records(tmp_path)
    write(tmp_path, RECORD)
    path = tmp_path / "per_sample.csv"
    whole = path.read_text(encoding="utf-8")
    for broken in (whole.replace("0.125", "wide"), whole.replace("False", "perhaps"), whole[: len(whole) // 2 + 60]):
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(UserError, match="found a broken row"):
            read_records(tmp_path)
    path.write_text(whole.replace("group,", "", 1), encoding="utf-8")
    with pytest.raises(UserError, match="expected .* to have the column group, found none; run eval.py again"):
        read_records(tmp_path)


def test_records_that_end_early_leave_the_older_file(tmp_path):
    def stop():
        yield RECORD
        raise KeyboardInterrupt

    (tmp_path / "per_sample.csv").write_text("older")
    with pytest.raises(KeyboardInterrupt):
        write_records(stop(), tmp_path / "per_sample.csv")
    assert (tmp_path / "per_sample.csv").read_text() == "older"
    assert len(list(tmp_path.iterdir())) == 1


def test_results_are_strict_json_with_fractions(tmp_path):
    write_results(RESULTS, tmp_path / "results.json")
    found = read_results(tmp_path)
    assert found == read_results(tmp_path / "results.json")
    assert list(found) == [field.name for field in fields(EvalResults)]
    assert [*found][:3] == ["schema", "command", "date"] and [*found][-2:] == ["intervals", "gallery"]
    assert found["scores"]["cross_modal"]["paper"]["cIoU"] == {"value": 0.55, "low": None, "high": None}
    assert found["data"] == {"path": "data", "samples": 20, "gt_empty": 2}  # numpy's numbers are numbers
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(replace(RESULTS, seconds={"total": math.nan}), tmp_path / "results.json")
    assert read_results(tmp_path) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a results.json of eval.py at .*results.json, found none; check the path"),
        ("no json", "to be a results.json of eval.py, found something else"),
        ("[1]", f"to have schema {SCHEMA}, found None; run eval.py again"),
        ('{"schema": 1}', f"to have schema {SCHEMA}, found 1; run eval.py again"),
        (f'{{"schema": {SCHEMA}}}', "to be complete, found no command, date"),
    ],
)
def test_results_that_cannot_be_read_are_refused_in_one_sentence(tmp_path, content, message):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read_results(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_text_file_is_replaced_whole(tmp_path):
    write_text_atomic(tmp_path / "a.txt", "old")
    write_text_atomic(tmp_path / "a.txt", "new ü")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "new ü"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_command_can_be_pasted():
    arguments = ["--test_data_path", "my data/ü", "--set", "segmenter.weights=a b"]
    assert shlex.split(command_line("eval.py", arguments)) == ["python", "eval.py", *arguments]


def test_the_commit_is_that_of_the_repository_itself(tmp_path):
    assert git_state(tmp_path) == (None, None)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert git_state(tmp_path) == (None, None)  # no commit yet
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "m"], check=True)
    commit, changed = git_state(tmp_path)
    assert (len(commit), changed) == (40, False)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "new.txt").touch()
    assert git_state(tmp_path) == (commit, True)
    assert git_state(tmp_path / "inside") == (None, None)


def test_versions_and_date():
    assert versions()["numpy"].count(".") == 2
    date = datetime.fromisoformat(current_date())
    assert date.utcoffset() == timedelta(0)
