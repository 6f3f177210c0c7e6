"""Awkward inputs to the demo, the checker and the evaluation end as they should, and nothing of the user's is lost."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import pytest
from PIL import Image

import models.loading
from tests.attacks import dataset_inputs, demo_inputs
from tests.attacks.case import ROOT, Case, Outcome, attack, damage, in_a_process, in_this_process, snapshot
from tests.attacks.endings import answers, refuses

CASES = [*demo_inputs.CASES, *dataset_inputs.CASES]
SMALL = {"class_map": {"scales": [128]}}  # family: settings


@pytest.fixture(scope="module", autouse=True)
def costly_things_are_made_once(load_once):
    """Keeps the networks that are loaded and what they said; the segmenter looks at images once, and small."""

    def load_models(config, *further, **options):
        small = {role: {**entry, **SMALL.get(entry["family"], {})} for role, entry in config.roles.items()}
        return load_once(replace(config, roles=small), *further, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.loading, "load_models", load_models)
        yield


@pytest.mark.parametrize("case", CASES, ids=[f"{case.command} {case.name}" for case in CASES])
def test_ends_as_it_should(case, tmp_path):
    if case.needs:
        pytest.importorskip(case.needs)
    assert attack(case, tmp_path, in_this_process) == ""


def test_there_are_enough_and_no_two_are_called_alike():
    assert len(demo_inputs.CASES) >= 60 <= len(dataset_inputs.CASES)
    names = [(case.command, case.name) for case in CASES]
    assert len(set(names)) == len(names)


def test_everything_that_the_checker_looks_for_in_files_is_planted():
    with (ROOT / "datasets" / "check" / "findings.csv").open(encoding="utf-8", newline="") as file:
        assert {row["kind"] for row in csv.DictReader(file)} <= dataset_inputs.FOUND.keys()


def test_a_process_ends_as_it_does_here(tmp_path):
    case = {case.name: case for case in demo_inputs.CASES}["words: an unknown method"]
    assert attack(case, tmp_path, in_a_process) == ""


def outcome(folder, code=2, stdout="", stderr="error: no such file a.wav\n"):
    return Outcome(code, stdout, stderr, folder)


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, ""),
        ({"stderr": "usage: x [-h]\n  [--a]\nx: error: no such file a.wav\n"}, ""),
        ({"stderr": "\r  0%|   | 0/3\nerror: no such file a.wav\n"}, ""),
        ({"code": 1}, "found exit code 1"),
        ({"stderr": "error: no such file a.wav\nsecond\n"}, "expected one line"),
        ({"stderr": "a.wav\n"}, "expected one line"),
        ({"stderr": "error: something\n"}, "to be said"),
    ],
)
def test_a_refusal_is_one_sentence(tmp_path, changed, wrong):
    found = refuses(r"a\.wav")(outcome(tmp_path, **changed))
    assert (found == "") == (wrong == "")
    assert re.search(wrong, found)


def test_a_traceback_and_a_hang_are_wrong_whatever_is_expected(tmp_path):
    case = Case("any", "demo", lambda folder: [], lambda outcome: "")
    broken = outcome(tmp_path, stderr="Traceback (most recent call last):\n  x\nKeyError: 1\n")
    assert attack(case, tmp_path, lambda *_: broken) == "a traceback: KeyError: 1"
    assert "did not end" in attack(case, tmp_path, lambda *_: outcome(tmp_path, code=None))


def test_what_is_lost_changed_or_left_behind_is_noticed(tmp_path):
    for name in ("kept", "changed", "lost", "out/precious", "out/result"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    before, all_before = snapshot(tmp_path, renews=True), snapshot(tmp_path)
    (tmp_path / "changed").write_text("now")
    (tmp_path / "lost").unlink()
    for name in ("out/precious", "out/result", "out/new", "new"):
        (tmp_path / name).write_text("now")
    wrong = ["'changed' was changed", "'lost' was removed", "'out/precious' was changed"]
    assert sorted(damage(before, snapshot(tmp_path, renews=True))) == sorted([*wrong, "'new' was left behind"])
    assert "'out/result' was changed" in damage(all_before, snapshot(tmp_path))


def test_an_answer_is_of_the_images_size_and_asks_for_what_sounds(tmp_path):
    assert "expected an answer" in answers()(outcome(tmp_path))
    (tmp_path / "out").mkdir()
    Image.new("L", (4, 3)).save(tmp_path / "out/a_mask.png")
    answer = {"trail": {"query": None, "reason": "silent"}, "mask_share": 0, "files": {"mask": "out/a_mask.png"}}
    found = outcome(tmp_path, 0, json.dumps({"methods": {"classify": answer}}))
    assert answers((4, 3), "", "silent")(found) == ""
    assert "expected a mask of (3, 4)" in answers((3, 4))(found)
    assert "expected 'dog' to be asked for" in answers(asked="dog")(found)
    assert "because of 'short'" in answers(reason="short")(found)
