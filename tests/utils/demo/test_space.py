"""The folder of a Space."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import yaml

from utils.demo.space import write_space
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


def test_a_folder_with_the_page_the_networks_and_what_they_need(tmp_path):
    pytest.importorskip("gradio")
    command = write_space(ROOT, tmp_path / "space")
    assert command == f"hf upload --repo-type space YOUR_NAME/sounding-object {tmp_path / 'space'}"
    found = {path.relative_to(tmp_path / "space").as_posix() for path in (tmp_path / "space").rglob("*")}
    needed = {"app.py", "inference_demo.py", "configs/pocket.yaml", "models/pocket/bank.safetensors"}
    assert {*needed, "datasets/examples/image/farm_dog.jpg"} <= found
    assert not [name for name in found if "__pycache__" in name or name.startswith(("tests", "models/pocket/train"))]
    card = (tmp_path / "space" / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(card.split("---")[1])
    assert header["sdk"] == "gradio" and header["app_file"] == "app.py"
    assert header["sdk_version"] == metadata.version("gradio")


def test_files_that_are_there_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match="expected an empty folder or none, found files"):
        write_space(ROOT, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_within_what_is_copied_is_refused():
    with pytest.raises(UserError, match="expected a folder that is not copied itself"):
        write_space(ROOT, ROOT / "models" / "space")
    assert not (ROOT / "models" / "space").exists()
