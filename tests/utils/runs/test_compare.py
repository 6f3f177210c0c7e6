"""Two runs are told apart by what made them, and their scores by more than chance, in sentences to be believed."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import utils.compare as script
from utils.compare import main, verdict
from utils.errors import UserError
from utils.runs.results import SCHEMA, EvalResults, SampleRecord, write_records, write_results
from utils.scoring.sample_scores import describe_measurement
from utils.scoring.summary import summarise
from utils.types import Entry

ROOT = Path(script.__file__).resolve().parents[1]
SAMPLES = 24
SETTINGS = {"top_k": 1}
NAMES = {field.name for field in fields(SampleRecord)}
BASE = 0.4 + 0.3 * np.sin(np.arange(SAMPLES))
WOBBLE = 0.02 * np.random.default_rng(0).standard_normal(SAMPLES)


@pytest.fixture
def make_run(tmp_path, make_scores):
    """Writes a run's folder: methods with one IoU a sample, in pairs of samples; names in brackets do not listen."""

    def make(name, methods, protocols=(), draws=200, records=True, threshold=0.5, size=2, **changed):
        listens = {key.strip("()"): not key.startswith("(") for key in methods}
        answers = {
            key.strip("()"): [
                make_scores(one[0], **one[1]) if isinstance(one, tuple) else make_scores(one) for one in ious
            ]
            for key, ious in methods.items()
        }
        ids = [f"s{index:02}" for index in range(len(next(iter(answers.values()))))]
        entries = [Entry(f"g{index // size:02}") for index in range(len(ids))]
        summary = summarise(
            {"original": answers},
            ids,
            entries,
            group_unit="image" if size > 1 else "sample",
            threshold=threshold,
            protocols=protocols,
            draws=draws,
        )
        folder = tmp_path / name
        folder.mkdir()
        known = {
            "schema": SCHEMA,
            "command": f"python eval.py --output_dir {name}",
            "date": name,
            "commit": "a" * 40,
            "uncommitted_changes": False,
            "versions": {"python": "3.11", "torch": "2.14"},
            "config": {"name": "small", "path": "small.yaml", "methods": {key: SETTINGS for key in answers}},
            "models": {"segmenter": {"sha256": "0" * 64, "dtype": "float32"}},
            "device": "cpu",
            "data": {"path": "data", "samples": len(ids), "gt_empty": 0},
            "measurement": describe_measurement(threshold, "224"),
            "seeds": {"given": None},
            "seconds": {"total": 1.0},
            "methods": {key: {"listens": one} for key, one in listens.items()},
            "gallery": [],
        }
        write_results(EvalResults(**{**known, **vars(summary), **changed}), folder / "results.json")
        if records:
            rows = [
                record(stem, entry.group, key, own[index])
                for index, (stem, entry) in enumerate(zip(ids, entries, strict=True))
                for key, own in answers.items()
            ]
            write_records(rows, folder / "per_sample.csv")
        return folder

    return make


def record(stem, group, method, answer):
    names = NAMES - {"id", "group", "control", "method", "confidence", "query", "reason", "category", "scenario"}
    values = {name: getattr(answer, name) for name in names}
    return SampleRecord(stem, group, "original", method, **values, confidence=None, query="", reason="")


def said(capsys, *arguments):
    """What is printed, with the first line apart."""
    main([str(one) for one in arguments])
    printed = capsys.readouterr().out
    return printed.splitlines()[0], printed


def test_a_copy_is_identical(make_run, capsys, tmp_path):
    shutil.copytree(make_run("a", {"m": BASE, "n": BASE}), tmp_path / "b")
    first, printed = said(capsys, tmp_path / "a", tmp_path / "b" / "results.json")
    assert first == "The scores are identical: m and n, on 24 samples in both."
    assert "What differs between A and B: nothing" in printed
    assert "The same in every column: m, n" in printed
    assert "*" not in printed


def test_a_shift_is_found_on_the_same_samples_where_intervals_overlap(make_run, capsys):
    a = make_run("a", {"m": BASE, "n": BASE, "(base)": BASE})
    b = make_run("b", {"m": BASE + 0.03 + WOBBLE, "n": BASE + WOBBLE, "(base)": BASE})
    first, printed = said(capsys, a, b)
    better = re.fullmatch(
        r"m is better in B by (\d\.\d) points \[(\d\.\d), (\d\.\d)\] on 24 samples in both; n does not differ beyond "
        r"chance\.",
        first,
    )
    value, low, high = map(float, better.groups())
    assert value == pytest.approx(100 * np.mean(0.03 + WOBBLE), abs=0.06)
    assert 0 < low < value < high
    assert re.search(r"^headline IoU +\d\d\.\d +\d\d\.\d +\+\d\.\d \[\+\d\.\d, \+\d\.\d\] +\*$", printed, re.M)
    assert "paper mIoU, oracle" in printed
    assert "paired bootstrap on the same samples, whole groups at a time" in printed
    assert "The same in every column: base" in printed
    turned, _ = said(capsys, b, a)
    assert turned == first.replace("in B by", "in A by")


def test_chance_is_called_chance(make_run, capsys):
    a, b = make_run("a", {"m": BASE, "n": BASE}), make_run("b", {"m": BASE + WOBBLE, "n": BASE - WOBBLE / 2})
    first, _ = said(capsys, a, b)
    assert re.fullmatch(
        r"The scores do not differ beyond chance: m -0\.\d points in B \[-\d\.\d, \+0\.\d\], the largest of 2 "
        r"differences, on 24 samples in both\.",
        first,
    )


@pytest.mark.parametrize(("shift", "signed"), [(0.2, "+20.0"), (-0.2, "-20.0")])
def test_a_difference_keeps_its_sign_wherever_no_better_one_is_named(make_run, capsys, shift, signed):
    few, many = (make_run(f"few {signed}", {"x": BASE[:6], "y": BASE[:6] + shift}), BASE + shift * WOBBLE / 0.02)
    first, printed = said(capsys, few, few, "--methods", "x", "y")
    assert first == f"It cannot be told whether this is chance: y against x {signed} points (no interval) on 6 samples."
    assert re.search(rf"^headline IoU +\d+\.\d +\d+\.\d +{re.escape(signed)} \(no interval\)$", printed, re.M)
    change = 100 * np.mean(many - BASE)
    first, printed = said(capsys, make_run("a", {"m": BASE}), make_run("b", {"m": many}))
    value, low, high = re.search(r"chance: m (\S+) points in B \[(\S+), (\S+)\] on", first).groups()
    assert float(value) == pytest.approx(change, abs=0.05)
    assert (low[0], high[0], value[0]) == ("-", "+", "+" if change > 0 else "-")
    assert re.search(rf"^headline IoU .* {re.escape(value)} \[{re.escape(low)}, {re.escape(high)}\]$", printed, re.M)


def test_rounding_decides_nothing(make_run, capsys):
    a, b = make_run("a", {"m": BASE}), make_run("b", {"m": BASE + 0.0004})
    first, printed = said(capsys, a, b)
    assert first == "m is better in B by 0.04 points [0.04, 0.04] on 24 samples in both."
    assert re.search(r"^headline IoU +\d\d\.\d +\d\d\.\d +\+0\.04 \[\+0\.04, \+0\.04\] +\*$", printed, re.M)
    touching = [0.0] * 22 + [1e-15] * 2
    first, printed = said(capsys, a, make_run("c", {"m": BASE + touching}))
    assert first.startswith("The scores are identical")


def test_a_paired_difference_is_that_of_the_bootstrap(make_run, tmp_path):
    a, b = make_run("a", {"m": BASE}), make_run("b", {"m": BASE + 0.03 + WOBBLE})
    found = main([str(a), str(b), "--json", str(tmp_path / "c.json")])
    rows = {(row.protocol, row.column): row for row in found.methods[0].columns}
    for key in (
        ("paper", "J"),
        ("paper", "mIoU"),
        ("ssl", "AUC (median)"),
        ("pairs", "iAUC (fixed)"),
        ("avsbench", "IoU"),
    ):
        row = rows[key]
        assert row.how == "paired"
        assert row.change == pytest.approx(row.second - row.first, abs=1e-12)
        assert row.low <= row.change <= row.high
    for key in (("avsbench", "F max (whole set)"), ("dataset", "set IoU")):
        assert rows[key].how != "paired"  # no record has them
        assert rows[key].low is None
    assert (rows["paper", "mIoU"].kind, rows["paper", "J"].kind) == ("oracle", "honest")
    written = json.loads((tmp_path / "c.json").read_text())
    assert written["verdict"] == verdict(found)
    assert written["methods"][0]["headline"]["how"] == "paired"
    assert written["samples"] == [24, 24]


def without_groups(folder):
    path = folder / "per_sample.csv"
    path.write_text("\n".join(re.sub(r"^(\w+),\w+,", r"\1,", line) for line in path.read_text().splitlines()))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "per_sample.csv").unlink(), "found none; check the path"),
        (without_groups, "to have the column group, found none"),
        (
            lambda folder: shutil.copy(folder.parent / "a" / "per_sample.csv", folder),
            "per_sample.csv does not belong to the results.json beside it",
        ),
    ],
)
@pytest.mark.parametrize(("shift", "differs"), [(0.03, False), (0.25, True)])
def test_without_records_only_intervals_are_compared(make_run, capsys, spoil, reason, shift, differs):
    a, b = make_run("a", {"m": BASE}), make_run("b", {"m": BASE + shift})
    spoil(b)
    first, printed = said(capsys, a, b)
    if differs:
        assert first == "m is better in B by 25.0 points (intervals apart) on 24 samples in both."
    else:
        assert first.startswith("The scores do not differ beyond chance: m +3.0 points in B (intervals overlap)")
    assert f"{reason}" in printed.split("Not paired: ")[1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"size": 3}, "but other groups or other ground truth"), ({"size": 1}, "but other groups or other ground truth")],
)
def test_other_groups_are_not_paired(make_run, capsys, options, reason):
    _, printed = said(capsys, make_run("a", {"m": BASE}), make_run("b", {"m": BASE + 0.1}, **options))
    assert reason in printed


def test_a_column_that_the_records_do_not_give_is_not_paired(make_run):
    a, b = make_run("a", {"m": BASE}), make_run("b", {"m": BASE + 0.03 + WOBBLE})
    results = json.loads((b / "results.json").read_text())
    results["scores"]["m"]["paper"]["J"]["value"] += 0.01  # as if other code had made it
    (b / "results.json").write_text(json.dumps(results))
    rows = {row.column: row for row in main([str(a), str(b)]).methods[0].columns if row.protocol == "paper"}
    assert (rows["J"].how, rows["F"].how) == ("intervals", "paired")
    assert rows["J"].change == pytest.approx(rows["F"].change + 0.01)


def test_other_samples_are_not_paired_and_said_to_be_other(make_run, capsys):
    first, printed = said(capsys, make_run("a", {"m": BASE}), make_run("b", {"m": BASE[:20] + 0.01}))
    assert first.endswith("on data that are not the same (24 samples in A, 20 in B).")
    assert "Not paired: the runs have other samples." in printed
    assert re.search(r"data +samples: 24 -> 20", printed)


def test_too_few_groups_leave_it_open(make_run, capsys):
    first, _ = said(capsys, make_run("a", {"m": BASE[:6]}), make_run("b", {"m": BASE[:6] + 0.2}))
    assert first == "It cannot be told whether this is chance: m +20.0 points in B (no interval) on 6 samples in both."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 0.3}, "threshold is 0.5 in A and 0.3 in B"),
        ({"measurement": describe_measurement(0.5, "native")}, "resolution is [224, 224] in A and native in B"),
    ],
)
def test_numbers_measured_in_another_way_are_not_compared(make_run, capsys, options, words):
    a, b = make_run("a", {"m": BASE}), make_run("b", {"m": BASE + 0.3}, **options)
    first, printed = said(capsys, a, b)
    assert first.startswith(f"The scores are not comparable: {words}")
    assert "*" not in printed
    assert "B - A" not in printed
    assert re.search(r"^headline IoU +\d\d\.\d +\d\d\.\d$", printed, re.M)


def test_two_methods_of_one_run_and_of_two(make_run, capsys):
    a = make_run("a", {"good": BASE + 0.1, "bad": BASE + WOBBLE, "(base)": BASE - 0.2 - WOBBLE})
    first, printed = said(capsys, a, a, "--methods", "good", "bad")
    assert re.fullmatch(r"good is better than bad by 1?\d\.\d points \[\d+\.\d, \d+\.\d\] on 24 samples\.", first)
    assert "What differs" not in printed
    assert "B bad" in printed
    first, _ = said(capsys, a, a, "--methods", "base", "good")
    assert first.startswith("good is better than base by ")
    b = make_run("b", {"bad": BASE})
    first, printed = said(capsys, a, b, "--methods", "good", "bad")
    assert first.startswith("good of A is better than bad of B by 10.0 points")
    assert re.search(r"methods +good, bad, base -> bad", printed)


def test_everything_that_differs_is_listed_with_old_and_new(make_run, capsys):
    a = make_run("a", {"m": BASE, "gone": BASE})
    config = {"name": "base", "path": "elsewhere.yaml", "methods": {"m": {"top_k": 5}}}
    models = {"segmenter": {"sha256": "1" * 64, "dtype": "bfloat16"}, "audio_text": {"id": "clap"}}
    b = make_run(
        "b",
        {"m": BASE},
        config=config,
        models=models,
        seeds={"given": 7},
        device="cuda",
        commit="b" * 40,
        versions={"python": "3.11", "torch": "2.11"},
        data={"path": "other", "samples": 24, "gt_empty": 0, "manifest": {"sha256": "2" * 64}},
    )
    _, printed = said(capsys, a, b)
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    for line in (
        "config name: small -> base",
        "config methods.m.top_k: 1 -> 5",
        "models segmenter.sha256: 000000000000... -> 111111111111...",
        "models segmenter.dtype: float32 -> bfloat16",
        'models audio_text: absent -> {"id": "clap"}',
        "seeds given: null -> 7",
        "device cpu -> cuda",
        "commit aaaaaaaaaaaa... -> bbbbbbbbbbbb...",
        "versions torch: 2.14 -> 2.11",
        'data manifest: absent -> {"sha256": "' + "2" * 64 + '"}',
        "methods m, gone -> m",
        "command python eval.py --output_dir a -> python eval.py --output_dir b",
        "remark: config read from small.yaml and elsewhere.yaml",
        "remark: data read from data and other",
    ):
        assert any(found.startswith(line[:78]) for found in lines), line
    assert not any(line.startswith("config methods.gone") or line.startswith("data path") for line in lines)


def test_long_values_are_shown_from_where_they_differ(make_run, capsys):
    command = "python eval.py --methods cross_modal classify caption text_inversion --test_data_path /data --seed "
    a, b = make_run("a", {"m": BASE}, command=command + "1"), make_run("b", {"m": BASE}, command=command + "2")
    assert re.search(r"command +\.\.\..*--seed 1 -> \.\.\..*--seed 2$", said(capsys, a, b)[1], re.M)


@pytest.mark.parametrize(("commit", "changed"), [("a" * 40, True), (None, None)])
def test_code_that_is_not_known_is_remarked(make_run, capsys, commit, changed):
    options = {"commit": commit, "uncommitted_changes": changed}
    _, printed = said(capsys, make_run("a", {"m": BASE}, **options), make_run("b", {"m": BASE}, **options))
    assert "so the code may differ" in printed


def test_runs_without_a_common_method_say_how_to_compare_two(make_run, capsys):
    first, _ = said(capsys, make_run("a", {"m": BASE}), make_run("b", {"n": BASE}))
    assert first == "The runs have no method in common; compare one of each with --methods X Y."


def test_the_headline_needs_no_particular_protocol(make_run, capsys):
    a = make_run("a", {"m": BASE}, protocols=["paper"])
    b = make_run("b", {"m": BASE + 0.1 + WOBBLE}, protocols=["paper", "ssl"])
    first, printed = said(capsys, a, b)
    assert first.startswith("m is better in B by ")
    assert "ssl" not in printed


def test_another_column_may_differ_when_the_headline_does_not(make_run, capsys):
    a = make_run("a", {"m": BASE, "n": BASE})
    first, _ = said(capsys, a, a, "--methods", "m", "n")
    assert first == "The scores are identical: n against m, on 24 samples."
    half = [(one, {"f_fixed": one / 2}) for one in BASE]
    first, printed = said(capsys, make_run("b", {"m": BASE}), make_run("c", {"m": half}))
    assert first == (
        "The scores do not differ beyond chance: m 0.0 points in B [0.0, 0.0] on 24 samples in both; "
        "other columns do: m paper F."
    )
    assert len(re.findall(r"\*$", printed, re.M)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "nowhere"], "expected a results.json of eval.py at nowhere, found none; check the path"),
        (["{a}", "{a}", "--methods", "m", "mine"], r'there is no method "mine" in B \(.*\); choose from: m'),
        (["{a}", "{a}", "--json", "{a}"], "cannot write .*; choose another path"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(make_run, arguments, message):
    a = make_run("a", {"m": BASE})
    with pytest.raises(UserError, match=message) as caught:
        main([one.replace("{a}", str(a)) for one in arguments])
    assert "\n" not in str(caught.value)


def test_the_command_ends_with_0_for_differences_and_2_for_mistakes(make_run):
    a, b = make_run("a", {"m": BASE}), make_run("b", {"m": BASE + 0.1})
    command = [sys.executable, "-m", "utils.compare"]
    for paths, code in (([a, b], 0), ([a, b / "none"], 2)):
        done = subprocess.run([*command, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == code
        assert (done.stderr == "") == (code == 0)
        assert "Traceback" not in done.stderr
