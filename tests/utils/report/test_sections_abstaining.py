"""The section on what it would cost to answer less: the numbers of results.json, in words and as lines."""

import importlib.util
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from utils.report import write_report
from utils.report.elements import ReportedRun
from utils.report.sections_abstaining import abstaining

specification = importlib.util.spec_from_file_location("report_runs", Path(__file__).with_name("report_runs.py"))
runs = importlib.util.module_from_spec(specification)
specification.loader.exec_module(runs)


@pytest.fixture(scope="module")
def results():
    return runs.make_results(count=16, blank=8)


def test_rows_and_lines_are_those_of_results_json(results):
    good = {"kind": "offscreen", "negatives": 4, "refused": [0, 0.5, 0.75, 1], "kept": [1, 0.9, 0.6, 0.25]}
    good |= {"thresholds": [0.1, 0.2, 0.3, None], "j_lost": {"value": 0.75, "low": 0.5, "high": 0.8}}
    shown = abstaining(ReportedRun(asdict(replace(results, abstaining={"good": good}))))
    assert (shown["any"], shown["kind"], shown["negatives"], shown["silent"]) == (True, "offscreen", 4, ["other"])
    (line,) = shown["lines"]
    assert line["points"] == [(0, 1), (0.5, 0.9), (0.75, 0.6), (1, 0.25)] and line["listens"]
    (row,) = shown["rows"]
    assert row[:2] == ["good", "0.0"] and (row[2]["words"], row[2]["note"]) == ("75.0", "50.0 to 80.0")
    assert row[3:] == ["90.0", "60.0", "60.0", "25.0", "25.0"]  # at 50 % and so on


def test_the_report_says_where_there_is_no_confidence_and_no_curve(results, tmp_path):
    some = {name: one for name, one in results.abstaining.items() if name == "good"}
    for found, said in (
        (some, "No curve for other: their answers have no confidence or all the same"),
        ({}, "Not known: it takes sounds that nothing in view makes"),
    ):
        write_report(tmp_path, asdict(replace(results, abstaining=found)))
        for name in ("report.html", "report.md"):
            text = (tmp_path / name).read_text()
            assert "What would it cost to answer less?" in text and said in text, name
    older = {key: value for key, value in asdict(results).items() if key != "abstaining"}
    assert not abstaining(ReportedRun(older))["any"]
