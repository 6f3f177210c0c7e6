"""What an evaluation leaves behind is complete, readable, and written whole or not at all."""

import csv
import math
import os
import shlex
import subprocess
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from utils.errors import UserError
from utils.files import write_text_atomic
from utils.runs.provenance import code_sha256, command_line, current_date, git_state, versions
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
    category="dog; violin",
    scenario="multi",
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


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"),
        ("+1+cmd|x", "'+1+cmd|x"),
        ("-2+cmd|' /C calc'!A0", "'-2+cmd|' /C calc'!A0"),
        ('-HYPERLINK("http://x")', '\'-HYPERLINK("http://x")'),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n", "'\n"),
        (" =1", "' =1"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),  # so that it comes back
        ("-SxV944iB48", "-SxV944iB48"),  # names to join by
        ("-0jeONf82dE_21000_31000", "-0jeONf82dE_21000_31000"),
        ("--a.b-c+d", "--a.b-c+d"),
        ("'tis", "'tis"),
        ("'-a", "'-a"),
        ("a=1", "a=1"),
        ("A photo of x - y; =z", "A photo of x - y; =z"),
        ("", ""),
    ],
)
def test_no_text_opens_as_a_formula_and_every_text_comes_back(tmp_path, text, written):
    record = replace(RECORD, id=text, query=text, reason=text)
    write(tmp_path, record)
    with (tmp_path / "per_sample.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert [row[name] for name in ("id", "query", "reason")] == [written] * 3
    assert read_records(tmp_path) == [record]


def test_records_of_an_older_version_have_no_category_and_scenario(tmp_path):
    write(tmp_path, RECORD)
    with (tmp_path / "per_sample.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    del row["category"], row["scenario"]
    with (tmp_path / "per_sample.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    assert read_records(tmp_path) == [replace(RECORD, category="", scenario="")]


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


def test_records_of_an_older_run_do_not_say_what_is_lost_to(tmp_path):
    write(tmp_path, replace(RECORD, lost_to="ragged"))
    path = tmp_path / "per_sample.csv"
    assert read_records(tmp_path) == [replace(RECORD, lost_to="ragged")]
    path.write_text(path.read_text(encoding="utf-8").replace(",lost_to", "").replace(",ragged", ""), encoding="utf-8")
    assert read_records(tmp_path) == [RECORD]


@pytest.mark.parametrize("read", [read_records, read_results])
def test_what_there_is_no_permission_to_read_is_not_said_to_be_missing(unprivileged, read):
    for name in ("per_sample.csv", "results.json"):
        (unprivileged / name).write_text("")
        (unprivileged / name).chmod(0)
    with pytest.raises(UserError, match=r"found one that cannot be read \(Permission denied\); give permission"):
        read(unprivileged)


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
    assert [*found][:3] == ["schema", "command", "date"] and [*found][-5:-2] == ["extent", "abstaining", "gallery"]
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
        ("[" * 10**5, "found something else .maximum recursion depth"),
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
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils" / "new.py").touch()
    assert git_state(tmp_path) == (commit, True)
    assert git_state(tmp_path / "utils") == (None, None)


NO_CODE = ["runs/unfinished/run.json", "out/per_sample.csv", "mydata/image/a.png", "datasets/mine/labels.csv", "a.py"]
NO_CODE += ["README.md", "utils/__pycache__/a.pyc", "tests/test_a.py", "datasets/mine/manifest.json", "cache/ab/a.npz"]
CODE = ["eval.py", "methods/a.py", "models/segmenter/a.py", "datasets/check/a.py", "utils/language/things.csv"]


@pytest.mark.parametrize("with_git", [True, False])
def test_the_code_is_what_can_change_a_number_and_nothing_else_of_the_clone(tmp_path, with_git):
    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    write("eval.py", "a")
    write("README.md", "a")
    if with_git:
        git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
            subprocess.run([*git, *words], check=True)
    codes = [code_sha256(tmp_path)]
    for name in NO_CODE:
        write(name, "other")
        assert (code_sha256(tmp_path), git_state(tmp_path)[1]) == (codes[0], False if with_git else None), name
    for name in CODE:  # changed where git knows it, new elsewhere
        write(name, "other")
        codes.append(code_sha256(tmp_path))
        assert git_state(tmp_path)[1] is (True if with_git else None)
    assert len(set(codes)) == 1 + len(CODE)
    write("eval.py", "a")
    os.utime(tmp_path / "eval.py", (0, 0))
    for name in CODE[1:]:
        (tmp_path / name).unlink()
    assert (code_sha256(tmp_path), git_state(tmp_path)[1]) == (codes[0], False if with_git else None)


def test_versions_and_date():
    assert versions()["numpy"].count(".") == 2
    date = datetime.fromisoformat(current_date())
    assert date.utcoffset() == timedelta(0)
