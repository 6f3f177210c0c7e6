"""`python -m datasets.check` as it is typed: what it prints, what it writes, how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import datasets.check.__main__ as script
from tests.datasets.check.check_folders import left_half, save_mask, sound_folder
from utils.errors import UserError, run_script

ROOT = Path(script.__file__).resolve().parents[2]


@pytest.fixture
def broken(tmp_path):
    """Five blank masks, which warn, and a sound too many, which is an error."""
    root = sound_folder(tmp_path / "data", ("a", "b", "c", "d", "e"))
    for stem in ("a", "b", "c", "d", "e"):
        save_mask(root, stem, left_half() * 0)
    (root / "wav" / "f.wav").write_bytes((root / "wav" / "a.wav").read_bytes())
    return root


def run(*arguments):
    command = [sys.executable, "-m", "datasets.check", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_broken_folder_ends_with_code_1_and_a_line_for_each_kind(broken):
    done = run(broken, "--num_workers", "0")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0] == "error    1 file in wav without a partner in image (f); add what is missing or remove them"
    assert lines[1].startswith(
        "warning  5 masks without foreground (gt_seg/a.png, gt_seg/b.png, gt_seg/c.png and 2 more)"
    )
    assert lines[2].startswith("note     5 samples")
    assert lines[-1] == "not fit for eval.py: 1 error, 1 warning"


def test_a_sound_folder_ends_with_code_0(tmp_path):
    done = run(sound_folder(tmp_path), "--fast")
    assert (done.returncode, done.stderr) == (0, "")  # no progress bar, however long it takes: no terminal is there
    assert done.stdout.splitlines()[-1].startswith("fit for eval.py: 3 samples, 0 warnings (headers only;")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: expected a dataset folder at nowhere, found none; check the path\n"),
        ([], "required: DIR"),
        (["datasets/examples", "--num_workers", "-1"], "expected a whole number from 0 up, found '-1'"),
    ],
)
def test_what_was_typed_wrong_ends_with_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        sys.exit(run_script(lambda: script.main(arguments)))
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text", ["-1", "1.5", "many", ""])
def test_numbers_of_processes_are_whole_and_not_negative(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(["nowhere", "--num_workers", text])
    assert f"--num_workers: expected a whole number from 0 up, found {text!r}" in capsys.readouterr().err


def test_all_names_every_file(broken, capsys):
    script.main([str(broken), "--all", "--num_workers", "0"])
    assert "(gt_seg/a.png, gt_seg/b.png, gt_seg/c.png, gt_seg/d.png, gt_seg/e.png)" in capsys.readouterr().out


def test_the_file_says_what_is_printed(broken, tmp_path, capsys):
    report = script.main([str(broken), "--all", "--num_workers", "0", "--json", str(tmp_path / "new" / "report.json")])
    printed = capsys.readouterr().out.splitlines()
    found = json.loads((tmp_path / "new" / "report.json").read_text(encoding="utf-8"))
    lines = [
        f"{finding['severity']:<8} {finding['found']}"
        + (f" ({', '.join(finding['names'])})" if finding["names"] else "")
        + (f"; {finding['advice']}" if finding["advice"] else "")
        for finding in found["findings"]
    ]
    assert [*lines, f"digest {found['digest'][:16]}", found["verdict"]] == printed
    assert (found["digest"], found["fit"], found["errors"], found["warnings"]) == (report.digest, False, 1, 1)


def test_a_report_that_cannot_be_written_is_refused_before_the_work(broken, monkeypatch):
    monkeypatch.setattr(script, "check_contents", lambda *_, **__: pytest.fail("the work was begun"))
    with pytest.raises(UserError, match="expected a file to write at .*data, found a folder; add a file name"):
        script.main([str(broken), "--json", str(broken)])
