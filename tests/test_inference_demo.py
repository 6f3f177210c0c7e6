"""The demo from its command line: files, trail, JSON, and one sentence for every mistake."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from soundfile import write

import inference_demo
from utils.errors import run_script
from utils.types import Prediction

ROOT = Path(__file__).resolve().parents[1]
FOUR = ("cross_modal", "classify", "caption", "text_inversion")


@pytest.fixture
def scene(tmp_path, fakes, monkeypatch):
    """A folder with input.png and input.wav (a violin sounds beside a dog), fake networks behind the demo."""
    loaded = []

    def load_models(config, roles, device, memory):
        loaded.append((config.name, tuple(roles), device))
        return {role: model for role, model in fakes.make_models().items() if role in roles}

    monkeypatch.setattr(inference_demo, "load_models", load_models)
    monkeypatch.chdir(tmp_path)
    sample = fakes.make_sample("violin", ("dog", "violin"), size=(120, 200))
    Image.fromarray(sample.image).save("input.png")
    write("input.wav", sample.waveform, sample.sampling_rate)
    words = json.dumps(fakes.NAMES)
    Path("fake.yaml").write_text(f"summary: for tests\nmethods:\n  text_inversion:\n    vocabulary: {words}\n")
    return SimpleNamespace(folder=tmp_path, sample=sample, loaded=loaded)


def run(*arguments: str) -> inference_demo.Demo:
    return inference_demo.main(
        ["--config", "fake.yaml", "--img_path", "input.png", "--wav_path", "input.wav", *arguments]
    )


def test_writes_mask_score_map_and_overlay_of_the_images_size(scene, capsys):
    demo = run()
    answer = demo.answers["cross_modal"]
    np.testing.assert_array_equal(answer.mask, scene.sample.gt_mask)
    assert sorted(path.name for path in (scene.folder / "outputs/demo").iterdir()) == [
        "input_cross_modal_mask.png",
        "input_cross_modal_overlay.png",
        "input_cross_modal_score_map.png",
    ]
    mask = np.asarray(Image.open(answer.files["mask"]))
    np.testing.assert_array_equal(mask, np.where(scene.sample.gt_mask, 255, 0))
    score_map = np.asarray(Image.open(answer.files["score_map"])) / 255
    np.testing.assert_allclose(score_map, answer.prediction.score_map, atol=1 / 255)
    assert Image.open(answer.files["overlay"]).size == (200, 120)
    assert demo.comparison is None
    assert scene.loaded == [("fake", ("audio_text", "image_captioner", "segmenter"), "auto")]


def test_prints_the_trail_a_person_wants_to_read(scene, capsys):
    run("--methods", "cross_modal", "text_inversion", "--seed", "4")
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "config fake: for tests"
    assert lines[1] == "image input.png (200 x 120 pixels)"
    assert lines[2] == "sound input.wav (0.5 s, 8000 Hz, loudest moment -9 dBFS)"
    for line in (
        "cross_modal",
        "heard a sound most like violin",
        "seen a violin and a dog",
        "weighed violin 0.900 ======================",
        'asked "A photo of violin"',
        f"found {scene.sample.gt_mask.mean():.1%} of the image, {scene.sample.gt_mask.sum()} pixels",
        "overlay outputs/demo/input_cross_modal_overlay.png",
        "seen (does not look at the image)",
        "side by side outputs/demo/input_comparison.png",
    ):
        assert line in lines, "\n".join(lines)
    assert any(line.startswith("losses ") and "values)" in line for line in lines)


def test_several_methods_also_make_one_picture(scene):
    demo = run("--methods", *FOUR, "--output", "here/and/there")
    assert list(demo.answers) == list(FOUR)
    for answer in demo.answers.values():
        np.testing.assert_array_equal(answer.mask, scene.sample.gt_mask)
    assert demo.comparison == Path("here/and/there/input_comparison.png")
    assert Image.open(demo.comparison).width > 1000
    assert len(list(Path("here/and/there").iterdir())) == 3 * 4 + 1


def test_the_picture_says_when_nothing_was_asked_for_or_found(scene):
    answer = run("--methods", "caption").answers["caption"]
    assert inference_demo.caption_of(answer) == "a violin is heard"
    empty = np.zeros_like(answer.mask)
    unfound = inference_demo.Answer(answer.prediction, empty, answer.files)
    assert inference_demo.caption_of(unfound) == "a violin is heard: nothing found"
    unasked = inference_demo.Answer(Prediction(answer.prediction.score_map), empty, answer.files)
    assert inference_demo.caption_of(unasked) == "nothing asked for"


def test_json_is_all_there_is_on_stdout(scene, capsys):
    run("--methods", "cross_modal", "caption", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["name"] == "fake" and found["config"]["summary"] == "for tests"
    assert list(found["methods"]) == ["cross_modal", "caption"]
    caption = found["methods"]["caption"]
    assert caption["queries"] == [{"text": "a violin is heard", "score": 1.0}]
    assert caption["trail"]["heard"] == "a violin is heard"
    assert caption["mask_share"] == pytest.approx(scene.sample.gt_mask.mean())
    assert Path(caption["files"]["mask"]).is_file() and Path(found["comparison"]).is_file()


def test_settings_threshold_and_the_alias_method(scene):
    demo = run("--method", "classify", "--set", "classify.prompt=the {}", "--threshold", "0.95")
    assert demo.answers["classify"].prediction.queries[0].text == "the violin"
    assert not demo.answers["classify"].mask.any()


def labels(capsys):
    """The labels of the lines."""
    return {line[: inference_demo.LABEL_WIDTH].strip() for line in capsys.readouterr().out.splitlines()}


def test_where_nothing_is_found_the_nearest_is_said_and_shown(scene, capsys, fakes, monkeypatch):
    asked = []

    def known_names(self, query, k):
        asked.append((query.text, k))
        return ["violin", "cello"]

    monkeypatch.setattr(fakes.FakeSegmenter, "known_names", known_names, raising=False)
    Path("my picture.png").write_bytes(Path("input.png").read_bytes())
    arguments = ["--config", "fake.yaml", "--img_path", "my picture.png", "--wav_path", "input.wav"]
    answer = inference_demo.main([*arguments, "--threshold", "0.95"]).answers["cross_modal"]
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert not answer.mask.any() and "found 0.0% of the image, 0 pixels" in lines
    assert "highest score 0.90; a pixel counts above 0.95" in lines
    assert "nearest names violin, cello" in lines and asked == [("A photo of violin", 5)]
    assert (
        "or try python -m models.fetch --config base && python inference_demo.py --config base "
        "--methods cross_modal --img_path 'my picture.png' --wav_path input.wav"
    ) in lines
    inference_demo.parse_arguments(shlex.split(lines[-1].split(" && ")[1])[2:])  # a command that is one
    overlay = np.asarray(Image.open(answer.files["overlay"])).astype(int)
    difference = np.abs(overlay - scene.sample.image).max(-1)
    assert difference[scene.sample.gt_mask].min() > 20 > 10 > difference[~scene.sample.gt_mask].max()


def test_a_word_that_means_nothing_is_named(scene, capsys, fakes, monkeypatch):
    monkeypatch.setattr(fakes.FakeSegmenter, "known_names", lambda self, text, k: [], raising=False)
    run("--threshold", "0.95")
    assert '"A photo of violin" means nothing to this segmenter' in capsys.readouterr().out


def test_no_more_is_said_of_a_near_miss_than_is_known(scene, capsys):
    run()  # something is found
    assert not {"highest score", "nearest names", "or try"} & labels(capsys)
    run("--threshold", "0.95")  # a segmenter of any words has no names
    assert {"highest score", "or try"} <= (found := labels(capsys)) and "nearest names" not in found
    run("--methods", "text_inversion", "--threshold", "0.95")  # an embedding is no word
    assert {"highest score", "or try"} <= (found := labels(capsys)) and "nearest names" not in found
    run("--threshold", "0.95", "--json")
    assert json.loads(capsys.readouterr().out)["methods"]["cross_modal"]["mask_share"] == 0
    write("input.wav", np.zeros((0, 2)), 16000)
    run()  # nothing was asked for, and no other network would hear anything
    assert not {"highest score", "nearest names", "or try"} & labels(capsys)


def test_silence_is_an_answer_not_an_error(scene, capsys):
    write("input.wav", np.zeros((0, 2)), 16000)
    demo = run("--methods", *FOUR)
    assert not any(answer.mask.any() for answer in demo.answers.values())
    assert capsys.readouterr().out.count("nothing: the sound is silent") == 4


def test_without_arguments_the_bundled_example_is_used(scene, monkeypatch):
    examples = scene.folder / "examples"
    for name in ("image/b.jpg", "image/a.jpg", "wav/a.wav", "wav/b.wav"):
        (examples / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".jpg"):
            Image.open("input.png").save(examples / name, quality=95)
        else:
            shutil.copy("input.wav", examples / name)
    monkeypatch.setattr(inference_demo, "EXAMPLES", examples)
    monkeypatch.setattr(inference_demo, "EXAMPLE", "a")
    assert inference_demo.input_paths(None, None) == (Path("examples/image/a.jpg"), Path("examples/wav/a.wav"))
    demo = inference_demo.main(["--config", "fake.yaml"])
    assert demo.answers["cross_modal"].files["mask"].name == "a_cross_modal_mask.png"
    monkeypatch.setattr(inference_demo, "EXAMPLE", "b")
    (scene.folder / "elsewhere").mkdir()
    monkeypatch.chdir(scene.folder / "elsewhere")
    assert inference_demo.input_paths(None, None) == (examples / "image/b.jpg", examples / "wav/b.wav")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--img_path", "input.png"], "found --img_path alone; give --wav_path too"),
        (["--wav_path", "input.wav"], "found --wav_path alone; give --img_path too"),
        (["--img_path", "no.png", "--wav_path", "input.wav"], "image file at no.png, found nothing"),
        (["--img_path", "input.wav", "--wav_path", "input.wav"], "cannot read the image input.wav"),
        (["--img_path", "input.png", "--wav_path", "input.png"], "cannot read the sound input.png"),
        (["--methods", "magic"], 'no method "magic"; choose from: caption, centre, classify'),
        (["--config", "huge"], "no config 'huge'"),
        (["--set", "classify.loudness=3", "--methods", "classify"], 'classify has no setting "loudness"'),
        (["--output", "input.png/below"], "cannot make the folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(scene, capsys, arguments, sentence):
    inputs = [] if "path" in "".join(arguments) else ["--img_path", "input.png", "--wav_path", "input.wav"]
    assert run_script(lambda: inference_demo.main(["--config", "fake.yaml", *inputs, *arguments])) == 2
    printed = capsys.readouterr().err
    assert sentence in printed and "Traceback" not in printed and printed.count("\n") == 1


@pytest.mark.parametrize("threshold", ["1", "-0.1", "half"])
def test_a_threshold_is_a_share(scene, capsys, threshold):
    with pytest.raises(SystemExit) as exit_:
        run(f"--threshold={threshold}")
    assert exit_.value.code == 2
    assert "expected a number from 0 to below 1" in capsys.readouterr().err


def test_help_answers_at_once_and_lists_the_methods():
    done = subprocess.run([sys.executable, "inference_demo.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    names = "caption, centre, classify, cross_modal, everything, image_only,"
    assert done.returncode == 0 and names in " ".join(done.stdout.split())
    code = "import sys, inference_demo; print({'torch', 'transformers', 'librosa', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
