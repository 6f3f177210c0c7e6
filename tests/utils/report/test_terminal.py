"""The terminal's tables are aligned, tell oracle from honest and hard from soft, and end in a fitting verdict."""

import re
from dataclasses import asdict

import numpy as np
import pytest

from utils.report.terminal import format_tables
from utils.scoring.summary import summarise
from utils.types import Entry


@pytest.fixture
def results(make_scores):
    """Makes what results.json holds of methods, each given by its IoUs; names in brackets are baselines."""

    def make(ious, size=1, **options):
        answers, listens = {}, {}
        for control, of_control in ious.items():
            for name, values in of_control.items():
                listens[name.strip("()")] = not name.startswith("(")
                own = [one if hasattr(one, "levels") else make_scores(one) for one in values]
                answers.setdefault(control, {})[name.strip("()")] = own
        count = len(next(iter(answers["original"].values())))
        ids = [f"s{index:02}" for index in range(count)]
        entries = [Entry(f"g{index // size}") for index in range(count)]
        unit = "clip" if size > 1 else "sample"
        summary = summarise(answers, ids, entries, **{"group_unit": unit, "threshold": 0.5, "draws": 200, **options})
        return {
            "methods": {name: {"listens": one} for name, one in listens.items()},
            "data": {"samples": count, "gt_empty": 0},
            "measurement": {"resolution": [224, 224]},
            **asdict(summary),
        }

    return make


def spread(mean, count=20):
    return mean + 0.1 * np.sin(np.arange(count))


def block(text, name):
    """The lines of a protocol's table."""
    (found,) = [part.splitlines() for part in text.split("\n\n") if re.search(rf"^{name} ", part, re.M)]
    return found


def test_every_column_lies_below_its_title_and_oracles_are_marked(results, make_scores):
    perfect = [make_scores(1.0)] * 10 + [make_scores(0.0)] * 10
    text = format_tables(results({"original": {"method": spread(0.5), "(base)": perfect}}, size=5))
    marks, titles, rule, *rows = block(text, "paper")
    assert titles.split() == ["paper", "cIoU", "AUC", "mIoU", "Fscore", "J", "F"]
    assert marks.split() == ["oracle"] * 4
    assert [row.split()[0] for row in rows] == ["method", "(base)"]
    assert len(rule) == max(map(len, [titles, *rows]))
    ends = [match.end() for match in re.finditer(r"\S+", titles)][1:]
    assert [match.end() for match in re.finditer(r"oracle", marks)] == ends[:4]
    for row in rows:
        assert all(row[end : end + 1] in ("", " ") for end in ends)
        assert all(row[end - 1 : end].isdigit() or row[end - 6 : end].isspace() for end in ends if end <= len(row))
    assert "F max (per clip of 5)" in block(text, "avsbench")[1]


def test_wide_cells_keep_the_columns_apart(results, make_scores):
    scores = [make_scores(1.0)] * 3 + [make_scores(0.0)] * 3
    rows = block(format_tables(results({"original": {"m": scores, "n": [make_scores(1.0)] * 6}})), "paper")[3:]
    assert re.fullmatch(r"m( +5\d\.\d ±\d\d\.\d){6}", rows[0])
    assert re.fullmatch(r"n +(100\.0 +)+100\.0", rows[1])
    dots = [[match.start() for match in re.finditer(r"\d\.\d", row)] for row in rows]
    assert [one for one in dots[0] if one in dots[1]] == dots[1]  # one below the other


def test_hard_masks_are_said_in_words(results, make_scores):
    text = format_tables(results({"original": {"soft": spread(0.5), "hard": [make_scores(0.4, levels=2)] * 20}}))
    assert block(text, "paper")[4].split() == ["hard", *["hard"] * 4, "40.0", "40.0"]
    assert "hard: most maps have two values at most" in text
    alone = block(format_tables(results({"original": {"hard": [make_scores(0.4, levels=2)] * 20}})), "paper")
    ends = [[match.end() for match in re.finditer(r"\S+", line)] for line in (alone[0], alone[1], alone[3])]
    assert ends[0] == ends[1][1:5] == ends[2][1:5]
    assert "hard:" not in format_tables(results({"original": {"soft": spread(0.5)}}))


def test_undefined_numbers_and_missing_protocols_are_told(results, make_scores):
    blank = [make_scores(0, foreground=0, intersection=0, union=0, predicted=0)] * 8
    text = format_tables(results({"original": {"m": blank}}))
    assert block(text, "dataset")[2].split() == ["m", "-", "-"]
    assert block(text, "negatives")[3].split() == ["m", "0.0", "100.0", "-", "-"]
    assert "pairs: not shown, it needs images that are heard with several sounds" in text
    assert "\n\n\n" not in text


def verdict(results):
    text = format_tables(results)
    return [
        line.strip()
        for line in text.splitlines()
        if re.search(r"^best|^a tie|^\w+, IoU|^ +\S+ against|^ +no diff|listen:|listens:", line)
    ]


INTERVAL = r"\[([+-]\d+\.\d+|0\.0), ([+-]\d+\.\d+|0\.0)\]"


def test_the_best_method_is_told_with_how_certain_that_is(results):
    run = {"good": spread(0.6), "(base)": spread(0.2), "close": spread(0.6) - 0.01 * np.cos(np.arange(20))}
    best, close, base = verdict(results({"original": run}))
    assert best == "best: good, IoU 60.0" or best == "best: close, IoU 60.0"
    assert re.fullmatch(rf"\+\d\.\d against (good|close) {INTERVAL}: the interval includes 0", close)
    assert re.fullmatch(rf"\+40\.\d against base {INTERVAL}: the interval excludes 0", base)


def test_a_baseline_is_never_the_best_but_may_be_better(results):
    best, base = verdict(results({"original": {"m": spread(0.3), "(base)": spread(0.5)}}))
    assert best.startswith("m, IoU 3")
    assert re.fullmatch(rf"-20\.0 against base {INTERVAL}: the interval excludes 0", base)


def test_one_method_without_baselines_has_nothing_to_be_compared_with(results):
    assert len(verdict(results({"original": {"m": spread(0.3)}}))) == 1
    assert "In brackets" not in format_tables(results({"original": {"m": spread(0.3)}}))


def test_baselines_alone_have_no_verdict(results):
    run = results({"original": {"(a)": spread(0.3), "(b)": spread(0.4)}})
    run["controls"]["silence"] = {}
    assert verdict(run) == []
    assert "In brackets: baselines, which do not listen." in format_tables(run)
    assert "audio " not in format_tables(run)


def test_a_tie_is_no_certain_difference_in_either_direction(results):
    for names in (("a", "b"), ("b", "a"), ("a", "(b)"), ("(b)", "a")):
        run = {name: spread(0.5) for name in names}
        best, other = verdict(results({"original": run}))
        assert re.fullmatch(r"0\.0 against [ab] \[0\.0, 0\.0\]: the interval includes 0", other)
        assert best == ("a, IoU 50.0" if "(b)" in names else f"a tie: {' and '.join(names)}, IoU 50.0")


def test_rounding_decides_nothing(results):
    _, other = verdict(results({"original": {"a": spread(0.5) + 3e-4, "(b)": spread(0.5)}}))
    assert other == "+0.03 against b [+0.03, +0.03]: the interval excludes 0"
    wobble = np.array([0.1, *[0.0] * 19])  # nine of ten of its draws are above 0, and none is below
    _, other = verdict(results({"original": {"a": spread(0.5) + wobble, "(b)": spread(0.5)}}))
    assert re.fullmatch(r"\+0\.5 against b \[0\.0, \+\d\.\d\]: the interval includes 0", other)


def test_where_nothing_was_found_nobody_is_called_the_best(results, make_scores):
    empty, beside = make_scores(0.0, predicted=0, intersection=0), make_scores(0.0)
    for answers in ([empty] * 8, [beside] * 8):
        (line, *_) = verdict(results({"original": {"a": answers, "b": answers, "(c)": spread(0.5, 8)}}))
        assert line == "a tie: a and b, IoU 0.0; nothing that sounds was found"
        (line,) = verdict(results({"original": {"a": answers}}))
        assert line == "a, IoU 0.0; nothing that sounds was found"
    (line, *_) = verdict(results({"original": {"a": [empty] * 8, "b": spread(0.5, 8)}}))
    assert line.startswith("best: b, IoU 5") and ";" not in line


def test_a_method_that_finds_nothing_is_not_said_to_be_deaf(results, make_scores):
    nothing = [make_scores(0.0, predicted=0, intersection=0)] * 8
    text = format_tables(results({"original": {"m": nothing}, "swap": {"m": nothing}}))
    assert "m finds nothing, so nothing says whether it listens: IoU 0.0 -> 0.0 under swap, 0.0 [0.0, 0.0]" in text


def test_the_verdict_needs_no_particular_protocol(results):
    run = {"original": {"a": spread(0.5), "b": spread(0.3)}}
    assert verdict(results(run, protocols=["paper"])) == verdict(results(run)) != []


@pytest.mark.parametrize("options", [{"draws": 0}, {"size": 10}])
def test_without_an_interval_nothing_is_certain(results, options):
    text = format_tables(results({"original": {"a": spread(0.5), "b": spread(0.3)}}, **options))
    assert "+20.0 against b: no interval" in text
    assert ("No intervals: 0 draws were asked for, they need 40." in text) == ("draws" in options)
    assert "±" not in text.split("Percent.")[0]


def test_a_method_listens_when_another_sound_certainly_costs_it(results):
    run = {
        "original": {"ears": spread(0.6), "deaf": spread(0.5), "(base)": spread(0.2)},
        "silence": {"ears": spread(0.1), "deaf": spread(0.1)},
        "offscreen": {"ears": spread(0.15), "deaf": spread(0.5)},
        "swap": {"ears": spread(0.1), "deaf": spread(0.5)},
    }
    said = verdict(results(run))
    assert re.fullmatch(rf"ears listens: IoU 60\.\d -> 10\.\d under swap, -50\.0 {INTERVAL}", said[-2])
    assert re.fullmatch(
        r"deaf does not certainly listen: IoU 50\.\d -> 50\.\d under swap, 0\.0 \[0\.0, 0\.0\]", said[-1]
    )
    del run["swap"]
    assert "60.0 -> 15.0 under offscreen" in verdict(results(run))[-2].replace("60.1", "60.0").replace("15.1", "15.0")
    del run["offscreen"]
    assert not any("listen" in sentence for sentence in verdict(results(run)))  # silence tells of abstaining only


def test_a_method_that_gains_from_another_sound_does_not_listen(results):
    run = {"original": {"m": spread(0.3)}, "swap": {"m": spread(0.5)}}
    assert verdict(results(run))[-1].startswith("m does not certainly listen: IoU 3")


def test_the_table_of_controls_is_aligned(results):
    run = {"original": {"method": [1.0] * 8, "(b)": spread(0.2, 8)}, "silence": {"method": [0.0] * 8}}
    (lines,) = [part.splitlines() for part in format_tables(results(run)).split("\n\n") if part.startswith("audio")]
    assert lines[0].split() == ["audio", "original", "silence"]
    assert lines[3].split() == ["method", "100.0", "20.0", "0.0", "0.0", "20.0", "0.0"]
    assert len({len(line) for line in lines}) == 1
    assert "audio " not in format_tables(results({"original": {"m": [0.5] * 8}}))


def test_the_notes_say_what_was_counted(results):
    text = format_tables(results({"original": {"m": spread(0.5)}}, size=5))
    assert "Percent. 20 samples in 4 groups (clip), 0 with nothing to find; resolution 224 x 224." in text
    assert "95 % bootstrap interval, 200 draws of whole groups, seed 0" in text
    assert text.endswith("What each column means: python eval.py --explain")
