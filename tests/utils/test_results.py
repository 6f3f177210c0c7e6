"""What an evaluation leaves behind is complete, readable, and written whole or not at all."""

import csv
import json
import math
import shlex
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from utils.baselines import trivial_score_maps
from utils.files import write_text_atomic
from utils.provenance import command_line, current_date, git_state, versions
from utils.results import EvalResults, RecordFile, SampleRecord, format_table, write_results
from utils.scores import SetScores

RECORD = SampleRecord("a.mp4_1", "classify", 1 / 3, 0.5, 0.25, 0.75, 1 / 3, False, True, 'A photo of "x", y', "")
SCORES = SetScores(0.55, 0.44, 0.4339, 0.55883, 0.28467, 0.46074, 0.37814, 0.57467, 3)
RESULTS = EvalResults(
    command="python eval.py --test_data_path data",
    date="2025-01-31T12:00:00+00:00",
    commit=None,
    uncommitted_changes=None,
    versions={"python": "3.11"},
    config={"name": "tiny"},
    models={"segmenter": {"sha256": "0"}},
    warning=None,
    device="cpu",
    data={"path": "data", "limit": None, "samples": 20, "gt_empty": 2},
    protocol={"avsbench_f_group": "all"},
    seed=0,
    threshold=0.5,
    seconds=1.5,
    scores={"cross_modal": SCORES},
    baselines={"whole image": replace(SCORES, j=0.1)},
)


def test_records_come_back_as_written(tmp_path):
    with RecordFile(tmp_path / "per_sample.csv") as records:
        records.write([RECORD])
        records.write([replace(RECORD, id="ü", reason="the sound is silent\nall through")])
    with (tmp_path / "per_sample.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["a.mp4_1", "ü"]
    assert float(rows[0]["iou_fixed"]) == 1 / 3
    assert (rows[0]["query"], rows[0]["gt_empty"], rows[0]["prediction_empty"]) == (
        'A photo of "x", y',
        "False",
        "True",
    )
    assert rows[1]["reason"] == "the sound is silent\nall through"
    assert [path.name for path in tmp_path.iterdir()] == ["per_sample.csv"]


def test_an_interrupted_run_keeps_its_rows_and_the_older_file(tmp_path):
    (tmp_path / "per_sample.csv").write_text("older")
    with pytest.raises(KeyboardInterrupt), RecordFile(tmp_path / "per_sample.csv") as records:
        records.write([RECORD])
        assert records.partial_path.read_text(encoding="utf-8").count("classify") == 1  # on disk before the end
        raise KeyboardInterrupt
    assert (tmp_path / "per_sample.csv").read_text() == "older"
    assert (tmp_path / "per_sample.csv.partial").read_text(encoding="utf-8").count("\n") == 2


def test_results_are_strict_json_with_fractions(tmp_path):
    write_results(RESULTS, tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert found["scores"]["cross_modal"]["ciou"] == 0.55
    assert (found["commit"], found["data"]["gt_empty"], found["models"]["segmenter"]["sha256"]) == (None, 2, "0")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(replace(RESULTS, seconds=math.nan), tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == found


def test_a_text_file_is_replaced_whole(tmp_path):
    write_text_atomic(tmp_path / "a.txt", "old")
    write_text_atomic(tmp_path / "a.txt", "new ü")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "new ü"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_table_sets_the_oracle_apart_and_names_the_group():
    lines = format_table(RESULTS).splitlines()
    assert [part.strip() for part in lines[0].split("|")] == [
        "",
        "oracle (adaptive threshold)",
        "honest (0.5)",
        "AVSBench",
    ]
    assert lines[1].replace("|", "").split() == (
        ["method", "cIoU", "AUC", "mIoU", "Fscore", "J", "F", "IoU", "(0.5)", "F", "max", "(group", "=", "all)"]
    )
    assert lines[3].replace("|", "").split() == [
        "cross_modal",
        "55.0",
        "44.0",
        "43.4",
        "55.9",
        "28.5",
        "46.1",
        "37.8",
        "57.5",
    ]
    assert lines[4].startswith("(whole image)")
    assert len({line.index("|") for line in (lines[1], lines[3], lines[4])}) == 1
    assert "20 samples, 2 of them with empty ground truth; empty predictions: cross_modal 3" in lines[6]
    assert "all samples at once (depends on nothing)" in lines[8]


def test_the_table_names_another_group_and_threshold():
    table = format_table(replace(RESULTS, threshold=0.3, protocol={"avsbench_f_group": 5}))
    assert "honest (0.3)" in table
    assert "F max (group = 5)" in table
    assert "each 5 samples in order of id" in table


def test_trivial_maps_look_at_nothing():
    maps = trivial_score_maps((224, 112))
    assert {name: score_map.shape for name, score_map in maps.items()} == dict.fromkeys(maps, (224, 112))
    assert maps["whole image"].min() == 1
    rows, columns = (maps["centre"] > 0.5).any(1).sum() / 224, (maps["centre"] > 0.5).any(0).sum() / 112
    assert (rows, columns) == (pytest.approx(2 * 0.294, abs=0.01), pytest.approx(2 * 0.294, abs=0.02))
    assert 0.99 < maps["centre"].max() <= 1


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


def test_a_run_with_random_weights_says_so_above_its_numbers():
    table = format_table(replace(RESULTS, warning="RANDOM WEIGHTS: nothing here means anything"))
    assert table.splitlines()[0] == "RANDOM WEIGHTS: nothing here means anything"
    assert table.splitlines()[1:] == format_table(RESULTS).splitlines()
