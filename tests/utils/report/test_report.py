"""The report says what results.json says, in one file that is well-formed, accessible, escaped and needs no network."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import itertools
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.report import write_report
from utils.report.elements import Scale, points
from utils.types import Entry

ROOT = Path(__file__).parents[3]
EVIL = '<script>alert("1")</script> | `x` & **bold** [a](http://evil) ![b](http://evil)'
VOID = {"meta", "link", "img", "br", "hr", "path", "polyline", "input"}
specification = importlib.util.spec_from_file_location("report_runs", Path(__file__).with_name("report_runs.py"))
runs = importlib.util.module_from_spec(specification)
specification.loader.exec_module(runs)


class Page(HTMLParser):
    """What a page holds, and whether its elements are nested rightly."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[int, str]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.faults: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.text += data
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)
        if "td" in self.open or ("th" in self.open and "table" in self.open):
            self.tables[-1][-1][-1] += data

    def rows(self, *heads: str) -> dict[str, list[list[str]]]:
        """Head of a row -> its cells' words, of the first table with these column heads."""
        table = next(one for one in self.tables if all(any(head in cell for cell in one[0]) for head in heads))
        return {row[0].strip(): [cell.split() for cell in row[1:]] for row in table[1:]}

    def attributes(self, name: str) -> list[str]:
        return [found[name] for _, found in self.elements if name in found]


@pytest.fixture
def report(tmp_path):
    """Writes a run's report: (page, its HTML, its Markdown)."""

    def make(**values):
        folder = runs.write_run(tmp_path / "run", runs.make_results(**values))
        write_report(folder)
        text = (folder / "report.html").read_text(encoding="utf-8")
        assert not list(folder.glob("*.partial"))
        return Page(text), text, (folder / "report.md").read_text(encoding="utf-8")

    return make


def check(page: Page, text: str) -> None:
    """What holds for every report."""
    assert page.faults == []
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = [link[1:] for link in page.attributes("href") if link.startswith("#")]
    assert targets and set(targets) <= set(ids)
    assert set(page.attributes("aria-labelledby")) <= set(ids)
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(title.strip() for _, title in page.headings)
    assert all(found.get("alt") for tag, found in page.elements if tag == "img")
    assert all(found.get("scope") in ("col", "row") for tag, found in page.elements if tag == "th")
    tags = [tag for tag, _ in page.elements]
    assert tags.count("caption") == tags.count("table")
    assert not {"iframe", "object", "embed", "base", "form"} & set(tags)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    sha256 = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert tags.count("script") == 1 and f"script-src 'sha256-{sha256}'" in text
    assert all(link.startswith(("#", "data:")) for link in page.attributes("href"))
    assert all(source.startswith("data:") for source in page.attributes("src"))
    assert not re.search(r"url\(|@import|\son\w+=", text[: text.index("</style>")])
    assert "default-src 'none'" in text
    assert ("html", {"lang": "en"}) in page.elements
    for row in (row for table in page.tables for row in table):
        assert row
    assert all(len({len(row) for row in table}) == 1 for table in page.tables)


def percent(value):
    return f"{100 * value:.1f}"


def test_the_top_says_which_is_best_how_certain_that_is_and_whether_it_listens(report):
    page, text, markdown = report()
    check(page, text)
    results = runs.make_results()
    difference = next(one for one in results.differences if (one["first"], one["second"]) == ("good", "other"))
    assert [title for _, title in page.headings][3:7] == [
        "Which method is best?",
        "By how much, and is that certain?",
        "Does it beat what does not listen?",
        "Does the sound matter?",
    ]
    glance = " ".join(page.text.split("At a glance")[2].split())
    for said in (
        f"good: mean IoU {percent(results.controls['original']['good']['IoU']['value'])} %",
        f"{100 * difference['value']:+.1f} points against other: the interval excludes 0",
        f"interval of the difference is {points(difference['low'])} to {points(difference['high'])}.",
        "points against bad: the interval excludes 0",
        "Yes, all 2 methods listen",
    ):
        assert said in glance
        assert said in markdown.replace("**", "")


def test_every_number_of_a_protocol_is_that_of_results_json(report):
    page, _, markdown = report()
    results = runs.make_results()
    for name, protocol in results.protocols.items():
        if protocol["refused"]:
            assert protocol["refused"] in page.text and protocol["refused"] in markdown
            continue
        titles = [column["title"] for column in protocol["columns"]]
        table = markdown.split(f"\n### {name}\n")[1]
        rows = page.rows("method", *titles)
        for method in results.methods:
            label = method if results.methods[method]["listens"] else f"({method})"
            for title, cell in zip(titles, rows[label], strict=True):
                number = results.scores[method][name][title]
                assert cell[0] == ("–" if number["value"] is None else percent(number["value"]))
                low = [] if number["low"] is None else [percent(number["low"]), "to", percent(number["high"])]
                assert cell[1:] == low
                line = next(line for line in table.splitlines() if line.startswith(f"| {label} |"))
                assert line.split("|")[2 + titles.index(title)].replace("*", "").split()[0] == cell[0]
    heads = next(table for table in page.tables if "cIoU" in table[0][1])[0]
    assert [head.split()[1:] for head in heads[1:]] == [["oracle"]] * 4 + [["honest"]] * 2
    assert "false area (honest) (lower is better)" in markdown


def test_hard_masks_and_undefined_numbers_are_said_in_words(report):
    results = runs.make_results()
    scores = json.loads(json.dumps(results.scores))
    scores["good"]["paper"]["cIoU"] = {"refused": "its maps are hard"}
    scores["other"]["paper"]["cIoU"] = {"value": None, "low": None, "high": None}
    page, _, markdown = report(scores=scores)
    rows = page.rows("cIoU", "Fscore")
    assert (rows["good"][0], rows["other"][0]) == (["hard"], ["–"])
    assert "hard: not a number, because its maps are hard." in " ".join(page.text.split())
    assert "| good | hard |" in markdown and "| other | – |" in markdown


def test_what_other_sounds_do_stands_beside_the_ideal(report):
    page, _, markdown = report()
    results = runs.make_results()
    rows = page.rows("heard", "area found")
    for control, of_control in results.controls.items():
        cells = rows[f"{control} good"]
        assert [cells[0][0], cells[2][0], cells[3][0]] == [
            percent(of_control["good"][one]["value"]) for one in ("IoU", "area", "empty")
        ]
    floor = percent(4 / 24)
    assert [cell[0] for cell in rows["silence ideal"]] == [floor, "falls", "0.0", "100.0"]
    assert f"| **silence** ideal | {floor} | falls | 0.0 | 100.0 |" in markdown


def test_a_method_that_only_looks_is_told(report):
    results = runs.make_results()
    controls = {**results.controls, "swap": results.controls["original"]}
    page, _, _ = report(controls=controls)
    assert "Not certainly for good, other" in page.text


def test_a_baseline_that_is_better_is_told(report):
    page, _text, _ = report(means={"good": 0.3, "bad": 0.7}, blank=0)
    assert re.search(r"No, -\d+\.\d points against bad", page.text)
    assert re.search(r"In \w+ the baseline bad \(\d+\.\d\) is above every method that listens", page.text)


@pytest.mark.parametrize(
    "values",
    [
        {"means": {"good": 0.5}, "baselines": ()},
        {"means": {"bad": 0.5}, "sounds": ()},
        {"sounds": ()},
        {"count": 1, "blank": 0},
        {"count": 1, "blank": 1},
        {"count": 8, "blank": 8},
        {"entries": [Entry(f"s{i}") for i in range(24)], "blank": 0},
        {"entries": [Entry(f"i{i // 2}", (f"thing {i % 2}",)) for i in range(24)], "group_unit": "image"},
        {"means": {"a_method_with_a_name_that_goes_on_" * 6: 0.5, "bad": 0.2}},
        {"entries": [Entry(f"s{i}", (f"category number {i}",)) for i in range(66)], "count": 66},
        {"gallery": [runs.gallery_entry("a", image="gallery/missing.jpg", truth="/etc/passwd")]},
        {"gallery": [runs.gallery_entry("b", blank=True, categories=[], scenario="")]},
        {"commit": None, "uncommitted_changes": None, "models": {}},
        {"measurement": {"resolution": "native", "threshold": 0.33}},
    ],
)
def test_every_kind_of_run_has_a_report(report, values):
    page, text, markdown = report(**values)
    check(page, text)
    assert markdown.startswith("# ") and "None" not in markdown
    assert "nan" not in re.findall(r"\w+", page.text)


def test_eleven_thousand_samples_stay_readable(report):
    results = runs.make_results()
    left_out = {f"clip {i}": "no sound" for i in range(300)}
    data = {**results.data, "samples": 11000, "manifest": {"benchmark": "VGGSS", "left_out": left_out}}
    page, text, markdown = report(data=data)
    assert "11,000 samples" in page.text and "260 more of manifest.left_out are in results.json" in page.text
    assert len(text) < 300_000 and len(markdown) < 65_536  # what an issue takes


def test_everything_a_user_supplies_is_escaped(report):
    entries = [Entry(f"g{i}", (EVIL,), EVIL, i > 20) for i in range(24)]
    evil_gallery = [runs.gallery_entry(EVIL, categories=[EVIL], scenario=EVIL, group=EVIL)]
    evil_gallery[0]["methods"]["good"]["trail"] = [[EVIL, EVIL], ["heard", EVIL], ["asked", EVIL]]
    page, text, markdown = report(
        ids=[f"{EVIL}{i}" for i in range(24)],
        entries=entries,
        means={"good": 0.7, EVIL: 0.5, "bad": 0.2},
        gallery=evil_gallery,
        command=f"python eval.py ```{EVIL}",
        data={"path": EVIL, "samples": 24, "gt_empty": 3, "left_out": {EVIL: EVIL}},
        models={EVIL: {EVIL: EVIL, "parts": {EVIL: {"id": EVIL}}}},
        config={"name": EVIL, "path": EVIL, "roles": {EVIL: EVIL}, "methods": {EVIL: {EVIL: EVIL}}},
        device=EVIL,
    )
    check(page, text)
    assert text.count("<script") == 1 and "&lt;script&gt;" in text
    fence = re.search(r"^(`{4,})\n.*\n\1$", markdown, re.M)
    rest = markdown.replace(fence.group(), "")
    assert "<script" not in rest
    assert not re.search(r"(?<!\\)\]\(http", rest)
    for table in re.findall(r"(?:^\|.*\n)+", rest, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_uncommitted_changes_are_a_warning_in_both(report):
    page, _, markdown = report(uncommitted_changes=True)
    assert "The code had uncommitted changes" in page.text
    assert "> **Note:** The code had uncommitted changes" in markdown


def test_the_gallery_has_pictures_and_the_trail_in_words(report):
    page, text, markdown = report(gallery=[runs.gallery_entry("one"), runs.gallery_entry("two", blank=True)])
    check(page, text)
    images = [found for tag, found in page.elements if tag == "img"]
    assert len(images) == 2 * (2 + 3) and all(one["src"].startswith("data:image/jpeg;base64,") for one in images)
    assert "Answer of good for one: right: IoU 60.0" in [one["alt"] for one in images]
    words = " ".join(page.text.split())
    assert "wrong: finds 20.0 % of the image" in words and "Nothing to find" in words
    assert "dog 0.900, cat 0.1" in words and "====" not in text
    assert "[Image](gallery/a.jpg)" in markdown
    assert sum("sample" in found.get("class", "").split() for _, found in page.elements) == 2


def test_pictures_outside_of_the_folder_stay_there(report, tmp_path):
    runs.write_run(tmp_path / "elsewhere", runs.make_results())
    path = "../elsewhere/gallery/a.jpg"
    page, _text, _ = report(gallery=[runs.gallery_entry("a", image=path)])
    assert f"Missing: {path}" in page.text


def test_a_scale_holds_zero_and_every_value():
    scale = Scale.around([0.31, -0.12], 0.1)
    assert (scale.low, scale.high, scale.at(-0.2), scale.at(0.1)) == (-0.2, 0.4, 0, pytest.approx(50))
    assert Scale.around([], 0.1).ticks == [0, 0.1]
    assert len(Scale.around([-1, 1], 0.1).ticks) <= 9


def test_the_same_run_gives_the_same_report(tmp_path):
    folder = runs.write_run(tmp_path, runs.make_results(gallery=[runs.gallery_entry("one")]))
    write_report(folder)
    before = [(folder / name).read_bytes() for name in ("report.html", "report.md")]
    write_report(folder)
    assert before == [(folder / name).read_bytes() for name in ("report.html", "report.md")]


def test_results_at_hand_give_the_same_report_as_those_of_the_folder(tmp_path):
    results = runs.make_results(gallery=[runs.gallery_entry("one")])
    folder = runs.write_run(tmp_path, results)
    write_report(folder)
    before = [(folder / name).read_bytes() for name in ("report.html", "report.md")]
    (folder / "results.json").unlink()
    write_report(folder, asdict(results))
    assert before == [(folder / name).read_bytes() for name in ("report.html", "report.md")]


def test_results_of_an_older_run_may_hold_a_warning(tmp_path):
    folder = runs.write_run(tmp_path, runs.make_results())
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**results, "warning": None}))
    write_report(folder)
    assert (folder / "report.md").exists()


def test_results_that_are_missing_or_cut_end_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"expected a results\.json of eval\.py"):
        write_report(tmp_path)
    values = asdict(replace(runs.make_results()))
    del values["curves"]
    (tmp_path / "results.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="to be complete, found no curves"):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_command_writes_it_and_says_one_sentence_where_it_cannot(tmp_path):
    folder = runs.write_run(tmp_path / "run", runs.make_results())
    command = [sys.executable, "-m", "utils.report"]
    done = subprocess.run([*command, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and (folder / "report.html").exists()
    failed = subprocess.run([*command, str(tmp_path / "none")], cwd=ROOT, capture_output=True, text=True)
    assert failed.returncode == 2 and failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1


def test_too_few_samples_leave_the_question_open(report):
    page, _, _ = report(count=3, blank=0)
    assert "Not certainly for good, other" in page.text
    assert {"answer unsure"} == {
        found["class"] for _, found in page.elements if found.get("class", "").split()[:1] == ["answer"]
    } - {"answer plain"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.027, "+2.7"),
        (-0.027, "-2.7"),
        (0.0003, "+0.03"),
        (-0.0003, "-0.03"),
        (0.0, "0.0"),
        (-1e-16, "0.0"),
        (1, "+100.0"),
    ],
)
def test_points_have_a_sign_and_as_many_digits_as_show_that_they_are_not_zero(value, said):
    assert points(value) == said


def test_a_difference_and_its_interval_have_signs_everywhere(report):
    page, _, markdown = report(means={"good": 0.3, "bad": 0.7}, blank=0)
    (row,) = [one.split(" | ") for one in markdown.splitlines() if one.startswith("| (bad) | -")]
    assert re.fullmatch(r"-\d+\.\d", row[1]) and re.fullmatch(r"-\d+\.\d to -\d+\.\d", row[2])
    assert f"No, {row[1]} points against bad: the interval excludes 0" in " ".join(page.text.split())
    _, _, markdown = report(means={"good": 0.7, "bad": 0.3}, blank=0)
    (row,) = [one.split(" | ") for one in markdown.splitlines() if one.startswith("| (bad) | +")]
    assert re.fullmatch(r"\+\d+\.\d to \+\d+\.\d", row[2])
    assert re.search(r"interval -\d+\.\d to -\d+\.\d\)", markdown)  # of the change under swap


@pytest.mark.parametrize(
    ("values", "said", "unsaid"),
    [
        (
            {"means": {"a": -1, "b": -1, "bad": 0.3}, "blank": 0},
            [
                "A tie: a and b: mean IoU 0.0 %; nothing that sounds was found",
                "a finds nothing, so nothing says whether it",
            ],
            ["methods listen", "Then "],
        ),
        ({"means": {"a": 0.5, "b": 0.5, "bad": 0.3}}, ["A tie: a and b: mean IoU", "0.0 points against b"], ["Then "]),
        (
            {"means": {"a": -1, "b": 0.5}, "baselines": (), "blank": 0},
            ["b: mean IoU", "Then a 0.0"],
            ["A tie", "nothing that"],
        ),
        (
            {"means": {"bad": 0.5, "a": 0.5}, "baselines": ("bad", "a")},
            ["No method of this run listens", "Only baselines were run, which"],
            ["A tie", "No audio control", "To find out"],
        ),
        ({"count": 1, "blank": 0}, ["no interval Too few for one: 1 sample."], ["1 sample are", "1 sample is"]),
        (
            {"intervals": {"draws": 0}},
            ["No intervals: 0 draws were asked for."],
            ["with 95 % intervals", "bootstrap intervals"],
        ),
    ],
)
def test_what_is_said_of_runs_at_the_edge_is_true(report, values, said, unsaid):
    if "intervals" in values:
        values = {"intervals": {**runs.make_results().intervals, **values["intervals"]}}
    page, text, _ = report(gallery=[runs.gallery_entry("scene_0000", ("a",))], **values)
    check(page, text)
    words = " ".join(page.text.split())
    for one in said:
        assert one in words
    for one in unsaid:
        assert one not in words
