"""Methods are found by listing the folder: right names, wrong names, and a toy method that is one new file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import methods
from methods.caption import Caption
from utils.cli import Range, settings_of
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
NAMES = ", ".join(methods.available())

TOY = '''
"""A toy: whatever sounds, it is the violin."""

from methods.base import Method
from utils.trails import ask_for
from utils.types import Query


class Toy(Method):
    """Always the violin."""

    def __init__(self, models, *, prompt="A photo of {}"):
        super().__init__(models)
        self.prompt = prompt

    def propose(self, samples):
        """Asks for the violin."""
        return [ask_for([Query(self.prompt.format("violin"))], heard="no matter what") for _ in samples]
'''

RUN = """
import sys

import inference_demo
from utils.errors import run_script

def load_models(config, roles, device, memory, models, loaded):
    sys.path.append({folder!r})
    import fakes
    models.update({{role: model for role, model in fakes.make_models().items() if role in roles}})

inference_demo.load_models = load_models
sys.exit(run_script(inference_demo.main))
"""


def test_the_four_strategies_of_the_paper_are_there():
    assert {"caption", "classify", "cross_modal", "text_inversion"} <= set(methods.available())
    assert not {"base", "calibrate"} & {*methods.available()}


@pytest.mark.parametrize("ask", [methods.requires, methods.settings, lambda name: methods.create(name, {})])
@pytest.mark.parametrize("name", ["cross-modal", "base", "", "../x"])
def test_a_wrong_name_is_answered_with_the_right_ones(ask, name):
    with pytest.raises(UserError, match=f"choose from: {NAMES}"):
        ask(name)


def test_roles_and_settings_of_a_method():
    assert methods.requires("cross_modal") == ("audio_text", "image_captioner", "segmenter")
    assert methods.settings("classify")["top_k"] == 1


def test_what_a_method_abstains_below_and_the_value_that_refuses_nothing():
    found = {name: methods.abstains_below(name) for name in methods.available()}
    assert found["classify"] == ("min_probability", 0.0)
    assert found["cross_modal"] == found["text_inversion"] == ("min_similarity", -1.0)
    assert found["consensus"] == found["several"] == ("min_in_view", 0.0)
    assert sum(map(bool, found.values())) == 5


def test_which_roles_decide_what_is_asked_for_and_who_wants_a_bank_of_sounds():
    assert methods.asks("cross_modal") == ("audio_text", "image_captioner")
    assert methods.asks("consensus") == methods.requires("consensus")  # it asks the segmenter what is in view
    assert [name for name in methods.available() if methods.needs_bank(name)] == ["consensus", "several"]


def test_the_seed_goes_to_methods_that_have_one_unless_it_is_set(fakes):
    models, values = fakes.make_models(), {"vocabulary": ["dog"]}
    assert methods.create("text_inversion", models, values, seed=5).search["seed"] == 5
    assert methods.create("text_inversion", models, {**values, "seed": 3}, seed=5).search["seed"] == 3
    assert methods.create("caption", models, seed=5).silence_db == -60


def test_every_number_of_a_method_and_every_none_declares_its_range():
    for name in methods.available():
        for key, setting in settings_of(methods._find(name)).items():
            if type(setting.default) in (int, float, type(None)):
                assert any(isinstance(one, Range) for one in setting.annotation.__metadata__), (name, key)
        methods.check(name, methods.settings(name))


@pytest.mark.parametrize(
    ("setting", "value", "range_"),
    [
        ("classify.top_k", -1, "a whole number from 1 up"),
        ("classify.min_probability", float("nan"), "a number from 0 to 1"),
        ("classify.things", "nouns", "one of auto, labels, audioset"),
        ("classify.member_share", -0.5, "a number from 0 up"),
        ("cross_modal.min_similarity", float("nan"), "a number from -1 up"),
        ("cross_modal.prompt", "a photo", 'a sentence with one "{}" for the word'),
        ("caption.silence_db", 60, "a number from -.inf to 0, of dBFS"),
        ("text_inversion.steps", -1, "a whole number from 0 up"),
        ("text_inversion.learning_rate", 0.0, "a number above 0"),
        ("text_inversion.decoding", "image", "one of auto, embedding, nearest_word"),
        ("text_inversion.vocabulary", 5, "words, or the name of a file"),
        ("text_inversion.seed", -1, "a whole number from 0 up"),
        ("centre.width", float("inf"), "a number above 0"),
        ("image_only.prompt", 5, 'a sentence with one "{}" for the word'),
    ],
)
def test_a_value_out_of_range_is_refused_without_any_network(setting, value, range_):
    name, _, key = setting.partition(".")
    with pytest.raises(UserError) as refused:
        methods.check(name, {key: value})
    assert str(refused.value) == f"{setting} must be {range_}; found {value!r}"


def test_listing_imports_no_method_and_nothing_heavy():
    heavy = {"torch", "transformers", "librosa", "methods.caption"}
    code = f"import sys, methods; methods.available(); print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_file_with_no_method_or_two_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "FOLDER", tmp_path)
    monkeypatch.setattr(methods, "__path__", [str(tmp_path)])
    (tmp_path / "hollow_toy.py").write_text("from methods.base import Method\n")
    (tmp_path / "twin_toy.py").write_text(TOY + TOY.replace("class Toy", "class Twin"))
    (tmp_path / "_shared.py").write_text("")
    assert methods.available() == ["hollow_toy", "twin_toy"]
    with pytest.raises(UserError, match=r"exactly one subclass of Method in .*hollow_toy.py, found: none"):
        methods.requires("hollow_toy")
    with pytest.raises(UserError, match="found: Toy, Twin"):
        methods.requires("twin_toy")


def test_adding_a_method_takes_one_new_file(tmp_path, fakes):
    """Copies the code, drops one file into methods/, and runs it from the command line."""
    from PIL import Image
    from soundfile import write

    for folder in ("methods", "models", "utils", "configs"):
        (tmp_path / folder).mkdir()
        for path in [path for kind in ("py", "yaml", "csv") for path in (ROOT / folder).rglob(f"*.{kind}")]:
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    shutil.copy(ROOT / "inference_demo.py", tmp_path)
    (tmp_path / "methods" / "toy.py").write_text(TOY)
    (tmp_path / "fake.yaml").write_text("summary: fakes for a test\nmethods:\n  toy:\n    prompt: my {}\n")
    sample = fakes.make_sample("dog", ("dog", "violin"))
    Image.fromarray(sample.image).save(tmp_path / "scene.png")
    write(tmp_path / "scene.wav", sample.waveform, sample.sampling_rate)
    (tmp_path / "run.py").write_text(RUN.format(folder=str(Path(fakes.__file__).parent)))

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [
            sys.executable,
            "run.py",
            "--config",
            "fake.yaml",
            "--img_path",
            "scene.png",
            "--wav_path",
            "scene.wav",
        ]
        return subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)

    done = run("--methods", "toy")
    assert done.returncode == 0, done.stderr
    assert '"my violin"' in done.stdout
    assert (tmp_path / "outputs/demo/scene_toy_mask.png").is_file()
    listed = run("--methods", "tyo")
    assert listed.returncode == 2
    names = ", ".join(sorted([*methods.available(), "toy"]))
    assert f'there is no method "tyo"; choose from: {names}' in listed.stderr


def test_roles_that_are_one_text_are_named(tmp_path, monkeypatch):
    class Forgetful(Caption):
        requires = "audio_captioner"  # a comma was forgotten

    monkeypatch.setattr(methods, "_find", lambda name: Forgetful)
    with pytest.raises(UserError, match="expected forgetful.requires to be names of roles, .*found 'audio_captioner'"):
        methods.requires("forgetful")


def test_a_step_without_a_name_is_not_recalled(fakes):
    method = Caption(fakes.make_models())
    with pytest.raises(ValueError, match="expected a method of the class as the step to recall"):
        method.recall(lambda items: items, [1], roles=[], settings={})


def test_a_proposal_too_few_is_named(fakes):
    class Short(Caption):
        def propose(self, samples):
            return super().propose(samples)[1:]

    with pytest.raises(ValueError, match="expected 2 proposals of Short, found 1"):
        Short(fakes.make_models()).predict([fakes.make_sample("dog", ("dog",))] * 2)


def test_a_method_that_neither_segments_nor_makes_maps_is_refused(tmp_path, monkeypatch):
    code = [
        "from methods.base import Method",
        "class Lost(Method):",
        "    segments = False",
        "    def propose(self, _):",
        "",
    ]
    (tmp_path / "lost_toy.py").write_text("\n".join(code[:-1]) + " return []\n")
    monkeypatch.setattr(methods, "FOLDER", tmp_path)
    monkeypatch.setattr(methods, "__path__", [str(tmp_path)])
    with pytest.raises(UserError, match="Lost in .*lost_toy.py says segments = False.* expected a method make_maps"):
        methods.requires("lost_toy")


def test_summaries_are_read_without_running_the_files(tmp_path, monkeypatch):
    (tmp_path / "one.py").write_text('"""One: does it.\n\nMore."""\nraise SystemExit\n')
    (tmp_path / "two.py").write_text("def (")
    (tmp_path / "three.py").write_text("x = 1")
    monkeypatch.setattr(methods, "FOLDER", tmp_path)
    found = methods.summaries()
    assert found["one"] == "One: does it." and found["three"] == "(its file does not say)"
    assert found["two"].startswith("(its file cannot be read: ")
