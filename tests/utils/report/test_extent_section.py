"""The report's bars of what is found and lost, against results.json."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import pytest

from utils.report import write_report
from utils.report.elements import percent

specification = importlib.util.spec_from_file_location("report_runs", Path(__file__).with_name("report_runs.py"))
runs = importlib.util.module_from_spec(specification)
specification.loader.exec_module(runs)


def reports(folder, **values):
    write_report(runs.write_run(folder, replace(runs.make_results(), **values)))
    return [(folder / name).read_text(encoding="utf-8") for name in ("report.html", "report.md")]


def lost(**kinds):
    every = ("nothing", "wrong_thing", "other_thing", "missed_part", "too_small", "too_large", "ragged")
    of_kinds = {**dict.fromkeys(every, 0.0), **kinds}
    return {"samples": 20, "found": 1 - sum(of_kinds.values()), "lost": of_kinds}


EXTENT = {
    "good": lost(wrong_thing=0.125, ragged=0.25),
    "other": lost(),
    "bad": lost(nothing=0.5, missed_part=0.25, too_large=0.125),
}


def test_a_bar_is_as_long_as_its_numbers(tmp_path):
    page, text = reports(tmp_path, extent=EXTENT)
    bars = re.findall(
        r'<li title="([^"]*)"><span class="label">(\w+).*?<span class="track".*?>(.*?)</span>', page, re.S
    )
    pieces = {name: re.findall(r'class="piece (\w+)" style="width:([\d.]+)%"', bar) for _, name, bar in bars}
    assert pieces == {
        "good": [("found", "62.5"), ("wrong_thing", "12.5"), ("ragged", "25.0")],
        "other": [("found", "100.0")],
        "bad": [("found", "12.5"), ("nothing", "50.0"), ("missed_part", "25.0"), ("too_large", "12.5")],
    }
    assert bars[0][0] == "found 62.5, wrong thing 12.5, ragged outline 25.0"
    assert "| good | 62.5 | 0.0 | 12.5 | 0.0 | 0.0 | 0.0 | 0.0 | 25.0 |" in text
    assert "| (bad) | 12.5 | 50.0 | 0.0 | 0.0 | 25.0 | 0.0 | 12.5 | 0.0 |" in text


def test_sentences_say_what_most_is_lost_to(tmp_path):
    for report in reports(tmp_path, extent=EXTENT):
        assert (
            "good loses 37.5: 12.5 over which thing, 25.0 over how much of it; most to ragged outline (25.0)" in report
        )
        assert "other loses nothing." in report and "bad loses" not in report  # a baseline


def test_what_is_measured_is_what_is_shown(tmp_path):
    results = runs.make_results()
    _, text = reports(tmp_path)
    for name, label in (("good", "good"), ("other", "other"), ("bad", "(bad)")):
        one = results.extent[name]
        row = " | ".join(map(percent, [one["found"], *one["lost"].values()]))
        assert f"| {label} | {row} |" in text and one["samples"] == 20


@pytest.mark.parametrize("extent", [{}, {name: {**lost(), "samples": 0, "found": None} for name in runs.NAMES}])
def test_runs_that_do_not_say_have_no_bars(tmp_path, extent):
    for report in reports(tmp_path, extent=extent):
        assert "Where is IoU lost?" not in report and "Tables by protocol" in report
