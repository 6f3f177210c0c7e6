"""The README's commands work as they are printed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import textwrap
from pathlib import Path

import pytest

import eval as evaluation
import inference_demo
import methods
from models.checkpoints import catalogue
from models.config import ROLES, families, load_config, sources
from utils.errors import run_script

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = ("methods", "models", "datasets", "utils/scoring", "utils/runs", "utils/demo")
PAGES = [ROOT / folder / "README.md" for folder in FOLDERS]
BESIDE = "".join(page.read_text(encoding="utf-8") for page in PAGES)
EXAMPLES = ROOT / "datasets" / "examples"
STAND_INS = {
    "input.jpg": str(EXAMPLES / "image/farm_dog.jpg"),
    "input.wav": str(EXAMPLES / "wav/farm_dog.wav"),
    "/your/dataset/path/": str(EXAMPLES),
    "data/test": str(EXAMPLES),
    "data/all": str(EXAMPLES),
    "data/stamps": str(EXAMPLES),
}
SCRIPTS = {"inference_demo.py": inference_demo, "eval.py": evaluation}
OUTPUTS = {"inference_demo.py": "--output", "eval.py": "--output_dir"}
PRINTED = sorted(set(re.findall(r"^    (python (?:inference_demo|eval)\.py.*)$", README + BESIDE, re.MULTILINE)))
OTHERS = [command for command in PRINTED if {"--serve", "--space", "--video"} & {*command.split()}]  # have own tests
COMMANDS = [command for command in PRINTED if "--config" not in command and command not in OTHERS]
METHODS = dict(re.findall(r"`(\w+)\.py`:\n\n((?:    .*\n|\n)+)", BESIDE))
RESEARCH = [command for command in PRINTED if "--config" in command and "runs/random" not in command]


def test_the_readme_has_the_published_commands_word_for_word():
    assert "    python inference_demo.py --methods cross_modal --img_path input.jpg --wav_path input.wav\n" in README
    assert "    python eval.py --methods cross_modal --test_data_path /your/dataset/path/\n" in README
    assert "    pip install -r requirements.txt && python inference_demo.py\n" in README
    assert "    pip install -r requirements-dev.txt && python -m pytest -n 2\n" in README


@pytest.mark.parametrize("command", COMMANDS)
def test_a_printed_command_runs(command, tmp_path, monkeypatch, capsys, load_once):
    monkeypatch.setattr("models.loading.load_models", load_once)
    monkeypatch.setattr(inference_demo, "load_models", load_once)
    for folder, ending in (("image", "jpg"), ("wav", "wav")):
        (tmp_path / "DIR" / folder).mkdir(parents=True)
        for stem in ("farm_dog", "farm_cat"):
            shutil.copy(EXAMPLES / folder / f"{stem}.{ending}", tmp_path / "DIR" / folder)
    own = {f"DIR/{folder}": str(tmp_path / "DIR" / folder) for folder in ("image", "wav")}
    words = [(STAND_INS | own).get(word, word) for word in shlex.split(command)]
    script = words[1]
    samples = 4 if "offscreen" in words else 2  # the first two share an image: a sound from elsewhere needs others
    further = [] if script == "inference_demo.py" else ["--limit", str(samples), "--draws", "50"]
    if "text_inversion" in words:
        further += ["--set", "text_inversion.steps=5"]  # that it runs is tested here, not what it finds
    monkeypatch.chdir(ROOT)
    SCRIPTS[script].main([*words[2:], OUTPUTS[script], str(tmp_path), *further])
    if script == "inference_demo.py":
        told = capsys.readouterr().out
        assert "asked" in told or (tmp_path / "index.html").exists()
        assert list(tmp_path.glob("*_mask.png"))
    else:
        assert json.loads((tmp_path / "results.json").read_text())["data"]["samples"] == samples


@pytest.mark.parametrize("command", OTHERS)
def test_a_printed_command_is_one_that_the_program_takes(command):
    assert inference_demo.parse_arguments(shlex.split(command)[2:]).methods


def test_a_printed_method_is_a_whole_one(tmp_path, monkeypatch, capsys):
    assert list(METHODS) == ["in_view", "colourful"]
    shutil.copytree(methods.FOLDER, tmp_path / "methods")
    for name, code in METHODS.items():
        assert len(code.strip().splitlines()) <= 20
        (tmp_path / "methods" / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    monkeypatch.setattr(methods, "FOLDER", tmp_path / "methods")
    monkeypatch.setattr(methods, "__path__", [str(tmp_path / "methods")])
    monkeypatch.chdir(ROOT)
    demo = inference_demo.main(["--methods", *METHODS, "--output", str(tmp_path)])
    told = capsys.readouterr().out
    assert re.search(
        r"in_view\n  heard +most like dog\n  weighed +dog +0\.9\d\d  =+\n  asked +\"dog\"\n  seconds .*\n  found ", told
    )
    assert re.search(r"colourful\n  asked +nothing: the method makes its map itself\n  seconds .*\n  found ", told)
    assert "None" not in told
    assert all(0.05 < answer.mask.mean() < 0.4 for answer in demo.answers.values())


@pytest.mark.parametrize("command", RESEARCH)
def test_a_command_on_published_weights_ends_in_one_sentence_where_there_are_none(
    command, tmp_path, monkeypatch, capsys
):
    words = [STAND_INS.get(word, word) for word in shlex.split(command)]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert run_script(lambda: SCRIPTS[words[1]].main([*words[2:], OUTPUTS[words[1]], str(tmp_path / "out")])) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert re.match(r"error: cannot load [\w./-]+: .*python -m models.fetch", sentence)


def test_the_sizes_of_the_configs_are_the_catalogues():
    for name in ("base", "paper", "large"):
        size = sum(catalogue()[source.weights].bytes for source in sources(load_config(name)))
        (said,) = re.findall(rf"^\| `{name}` \|.*\| ([\d.]+) GB \|", README, re.MULTILINE)
        assert float(said) == pytest.approx(size / 1e9, rel=0.02)


def test_every_family_is_named_for_its_role():
    for role in ROLES:
        table = BESIDE[BESIDE.index(f"| `{role}` |") :]
        for family in families(role):
            assert f"| `{family}` |" in table


def test_no_marker_of_a_number_to_come_is_left():
    assert not re.findall(r"@\w+@", README + BESIDE)
    assert not re.findall(r"@\w+@", (ROOT / "models/pocket/README.md").read_text(encoding="utf-8"))


def test_every_file_the_readme_names_is_there():
    path = r"`((?:models|datasets|methods|configs|utils|tests)/[\w./]+\.(?:py|md|yaml|txt|json|sh|csv))`"
    named = re.findall(path, README + BESIDE)
    assert len(named) >= 4
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


def test_the_readme_is_read_in_a_minute():
    assert len(README.split()) <= 1500


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.parent.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], link
