"""Three lines in a notebook: `segment`, its answers, what stays loaded, and the package that pip installs."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import inference_demo
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def ask(scene):
    """`segment` on the scene with fake networks; keywords of its own."""
    inference_demo._session.cache_clear()
    yield lambda **own: inference_demo.segment("input.png", "input.wav", **{"config": "fake.yaml", **own})
    inference_demo._session.cache_clear()


def test_an_answer_has_all_that_a_notebook_asks_for(ask, scene):
    answer = ask()
    np.testing.assert_array_equal(answer.mask, scene.sample.gt_mask)
    np.testing.assert_array_equal(answer.mask, answer.score_map > 0.5)
    assert answer.queries[0].text == "A photo of violin" and answer.trail["seen"] == "a violin and a dog"
    assert repr(answer).startswith("<Answer of cross_modal: A photo of violin; ") and "200 x 120" in repr(answer)
    picture = Image.open(io.BytesIO(answer._repr_png_()))
    assert picture.format == "PNG" and picture.size == answer.picture.size
    saved = answer.save("here").files
    assert sorted(path.name for path in Path("here").iterdir()) == sorted(path.name for path in saved.values())


def test_networks_stay_loaded_from_call_to_call(ask, scene):
    ask()
    ask(threshold=0.3)
    ask(method="classify")
    assert [roles for _, roles, _ in scene.loaded] == [
        ("audio_text", "image_captioner", "segmenter"), ("audio_tagger",)
    ]  # fmt: skip
    assert ask(settings={"cross_modal.prompt": "the {}"}).queries[0].text == "the violin"
    assert len(scene.loaded) == 3


def test_a_config_that_is_changed_is_read_again(ask):
    assert ask(method="classify").queries[0].text == "A photo of violin"
    Path("fake.yaml").write_text("methods: {classify: {prompt: my {}}}".replace("my {}", "'my {}'"))
    os.utime("fake.yaml", (1, 1))
    assert ask(method="classify").queries[0].text == "my violin"


def test_the_command_and_the_function_have_one_answer(ask, scene):
    arguments = ["--config", "fake.yaml", "--img_path", "input.png", "--wav_path", "input.wav"]
    answer = inference_demo.main([*arguments, "--threshold", "0.3"]).answers["cross_modal"]
    np.testing.assert_array_equal(ask(threshold=0.3).mask, answer.mask)
    assert ask(threshold=0.3).made_of == answer.made_of


def test_what_was_nearly_found_is_said(ask):
    assert ask(threshold=0.95).near_miss == {"highest score": "0.90; a pixel counts above 0.95"}


@pytest.mark.parametrize("own", [{"method": "magic"}, {"threshold": 2}, {"config": "huge"}, {"settings": {"x.y": 1}}])
def test_mistakes_are_sentences_before_any_network(ask, scene, own):
    with pytest.raises(UserError):
        ask(**own)
    assert not scene.loaded


def test_show_knows_a_notebook_from_a_terminal(ask, monkeypatch):
    shown, answer = [], ask()
    monkeypatch.setattr(Image.Image, "show", lambda self: shown.append("Pillow"))
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    answer.show()
    notebook, display = ModuleType("IPython"), ModuleType("IPython.display")
    notebook.get_ipython = lambda: SimpleNamespace(kernel=1)
    display.display = lambda picture: shown.append("notebook")
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    answer.show()
    notebook.get_ipython = lambda: SimpleNamespace()  # IPython in a terminal
    answer.show()
    assert shown == ["Pillow", "notebook", "Pillow"]


IMPORT = """
import importlib.util, sys, types
sys.modules["datasets"] = theirs = types.ModuleType("datasets")  # Hugging Face's
where = importlib.util.spec_from_file_location("sounding_object", {init!r}, submodule_search_locations=[{folder!r}])
sys.modules["sounding_object"] = package = importlib.util.module_from_spec(where)
where.loader.exec_module(package)
from sounding_object import Session, segment
answer = segment({image!r}, {sound!r}, "centre")
import datasets
print(answer, datasets is theirs, {root!r} in sys.path, "torch" in sys.modules)
"""


def test_the_installed_package_works_elsewhere_beside_hugging_faces_datasets(tmp_path):
    folder, examples = ROOT / "utils/installed", ROOT / "datasets/examples"
    places = {"init": folder / "__init__.py", "folder": folder, "root": ROOT}
    places |= {"image": examples / "image/farm_dog.jpg", "sound": examples / "wav/farm_dog.wav"}
    code = IMPORT.format(**{name: str(path) for name, path in places.items()})
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Answer of centre" in done.stdout and done.stdout.split("> ")[1].split()[:2] == ["True", "False"]


def test_the_package_says_what_is_in_its_way(tmp_path):
    (tmp_path / "utils").mkdir()
    (tmp_path / "utils/__init__.py").touch()
    code = f"import utils, sys; sys.path.append({str(ROOT / 'utils')!r}); import installed; installed.segment"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert f"ImportError: expected utils to be {ROOT / 'utils'}, found" in done.stderr
    copy = tmp_path / "site/sounding_object"
    copy.mkdir(parents=True)
    (copy / "__init__.py").write_bytes((ROOT / "utils/installed/__init__.py").read_bytes())
    code = "import sounding_object; sounding_object.demo()"
    done = subprocess.run([sys.executable, "-c", code], cwd=copy.parent, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "run `pip install -e .` there" in done.stderr


def test_pip_puts_one_name_of_ours_on_the_path():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = ast.literal_eval(text.split("\npackages = ")[1].split("\n")[0])
    assert packages == ["sounding_object"] and 'package-dir = { sounding_object = "utils/installed" }' in text
