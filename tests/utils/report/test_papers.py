"""What goes into a paper: numbers as in results.json, names that LaTeX can print, one figure."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path

import pytest
from PIL import Image

from utils.report.latex import escaped
from utils.report.papers import write_paper_files
from utils.runs.results import write_records

specification = importlib.util.spec_from_file_location("report_runs", Path(__file__).with_name("report_runs.py"))
runs = importlib.util.module_from_spec(specification)
specification.loader.exec_module(runs)
MEANS = {"good_one": 0.7, "other": 0.6, "bad": 0.3}


@pytest.fixture(scope="module")
def results():
    return runs.make_results(means=MEANS, gallery=[runs.gallery_entry("one", tuple(MEANS))])


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = runs.write_run(tmp_path_factory.mktemp("run"), results)
    write_records(runs.make_records(means=MEANS), folder / "per_sample.csv")
    assert write_paper_files(folder) == ["summary.csv", "results.tex", "figure.pdf", "figure.png"]
    return folder


@pytest.fixture(scope="module")
def rows(folder):
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_summary_has_every_column_of_every_protocol_once(rows, results):
    own = [row for row in rows if row["control"] == "original" and row["protocol"] != "controls"]
    keys = [(row["method"], row["protocol"], row["column"]) for row in own]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {
        (method, protocol, column)
        for method, of_method in results.scores.items()
        for protocol, columns in of_method.items()
        for column in columns
    }
    for row in own:
        number = results.scores[row["method"]][row["protocol"]][row["column"]]
        assert [row[name] for name in ("value", "low", "high")] == [
            "" if number[name] is None else repr(number[name]) for name in ("value", "low", "high")
        ]
        assert (row["samples"], row["groups"]) == ("24", "24")
    oracle = {row["column"] for row in own if row["protocol"] == "paper" and row["oracle"] == "yes"}
    assert oracle == {"cIoU", "AUC", "mIoU", "Fscore"}
    assert {row["listens"] for row in rows if row["method"] == "bad"} == {"no"}


def test_other_sounds_are_scored_by_what_the_records_say(rows):
    silent = {(r["protocol"], r["column"]): r for r in rows if (r["method"], r["control"]) == ("other", "silence")}
    assert float(silent["controls", "IoU"]["value"]) == pytest.approx(4 / 24)  # the blank ones, rightly left empty
    assert float(silent["avsbench", "IoU"]["value"]) == pytest.approx(4 / 24)
    assert (silent["paper", "J"]["value"], silent["negatives", "N-acc"]["value"]) == ("0.0", "1.0")
    assert silent["negatives", "missed"]["better"] == "lower"
    assert ("sweep", "F (best of 255)") not in silent
    assert not [row for row in rows if row["method"] == "bad" and row["control"] != "original"]


def test_without_records_the_summary_has_what_results_json_has(tmp_path):
    write_paper_files(runs.write_run(tmp_path, runs.make_results()))
    with (tmp_path / "summary.csv").open(newline="", encoding="utf-8") as file:
        silent = [row["column"] for row in csv.DictReader(file) if row["control"] == "silence"]
    assert silent == ["IoU", "area", "empty", "change"] * 2
    assert not (tmp_path / "figure.pdf").exists()


def test_the_tables_are_well_formed_and_name_their_command(folder, results):
    text = (folder / "results.tex").read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"% {results.command}"
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\caption{") == 6  # all but pairs
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\\\|\\[{}]", "", code)  # line ends and escaped braces
    assert bare.count("{") == bare.count("}") and not re.search(r"(?<!\\)[#_^]", code.replace("$^{", "$"))
    for table in code.split(r"\begin{table}")[1:]:
        columns = len(re.search(r"\\begin\{tabular\}\{(l c*|lc*)\}", table).group(1))
        lines = [line for line in table.splitlines() if " & " in line]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {columns}
        assert all(line.endswith((r"\\", r"\\[-0.5ex]")) for line in lines)
    paper = code.split(r"\begin{table}")[1]
    assert r"{good\_one} & \textbf{" in paper and "{(bad)} &" in paper
    assert r"cIoU$^{\dagger}$" in paper and " & J & F " in paper
    best = f"{100 * results.scores['good_one']['paper']['J']['value']:.1f}"
    assert rf"\textbf{{{best}}}" in paper
    number = results.scores["good_one"]["paper"]["J"]
    assert f"[{100 * number['low']:.1f}, {100 * number['high']:.1f}]" in paper


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text_inversion", r"text\_inversion"),
        ("50 % & more", r"50 \% \& more"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a\nb", "a b"),
        ("x^2~$#", r"x\textasciicircum{}2\textasciitilde{}\$\#"),
    ],
)
def test_no_name_is_taken_for_a_command(text, said):
    assert escaped(text) == said


def test_a_command_of_several_lines_stays_a_comment(tmp_path):
    results = runs.make_results(command="python eval.py --set 'a\n\\end{document}'", gallery=[])
    write_paper_files(runs.write_run(tmp_path, results))
    lines = (tmp_path / "results.tex").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if r"\end{document}" in line] == [lines[0]] and lines[0][0] == "%"


def test_the_figure_has_a_row_for_each_sample_and_a_column_for_each_method_that_listens(folder):
    with Image.open(folder / "figure.png") as figure:
        figure.load()
    left, box, height = 52, 412, 300  # of what sounds, of a picture with its gap, of a 320 x 240 picture
    assert figure.size == (left + 4 * box, 40 + height + 40 + 12)
    colours = [figure.getpixel((left + column * box + 200, 40 + 150)) for column in range(4)]
    assert [pixel.index(max(pixel)) for pixel in colours] == [0, 2, 0, 0]  # a is red, the truth is blue
    pdf = (folder / "figure.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-") and b"/DCTDecode" in pdf and b"CreationDate" not in pdf


def test_a_run_has_the_same_files_each_time(folder):
    names = ("summary.csv", "results.tex", "figure.pdf", "figure.png")
    before = [(folder / name).read_bytes() for name in names]
    write_paper_files(folder)
    assert before == [(folder / name).read_bytes() for name in names]


def test_pictures_outside_of_the_folder_are_in_no_figure(tmp_path):
    runs.write_run(tmp_path / "elsewhere", runs.make_results())
    sample = runs.gallery_entry("a", image="../elsewhere/gallery/a.jpg")
    folder = runs.write_run(tmp_path / "run", runs.make_results(gallery=[sample]))
    assert write_paper_files(folder) == ["summary.csv", "results.tex"]
