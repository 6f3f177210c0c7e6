"""The demo from its command line: files, trail, JSON, and one sentence for every mistake."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from soundfile import write

import inference_demo
from utils.errors import UserError, run_script
from utils.media import images
from utils.trails import LABEL_WIDTH

ROOT = Path(__file__).resolve().parents[1]
FOUR = ("cross_modal", "classify", "caption", "text_inversion")


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
    overlay = Image.open(answer.files["overlay"])
    assert overlay.width == 200 and overlay.height > 120 + 12  # the caption is below
    np.testing.assert_array_equal(np.asarray(overlay)[:120], np.asarray(answer.overlay))
    assert demo.comparison is None
    assert scene.loaded == [("fake", ("audio_text", "image_captioner", "segmenter"), "auto")]


def test_a_large_image_is_worked_on_smaller_and_its_mask_comes_back_at_its_own_size(scene, capsys, monkeypatch):
    monkeypatch.setattr(images, "LONGEST_SIDE", 100)
    answer = run().answers["cross_modal"]
    assert "(200 x 120 pixels, worked on at 100 x 60)" in capsys.readouterr().out
    assert (answer.prediction.score_map.shape, answer.mask.shape) == ((60, 100), (120, 200))
    assert answer.overlay.size == (100, 60)
    np.testing.assert_array_equal(answer.mask, answer.score_map > 0.5)
    assert (answer.mask != scene.sample.gt_mask).mean() < 0.02
    sizes = {kind: Image.open(path).size for kind, path in answer.files.items()}
    assert sizes == {"overlay": answer.picture.size, "mask": (200, 120), "score_map": (200, 120)}
    np.testing.assert_array_equal(np.asarray(Image.open(answer.files["mask"])), np.where(answer.mask, 255, 0))


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


def test_a_method_that_asks_for_nothing_says_why_in_its_caption(scene):
    answers = run("--methods", "caption", "centre", "nothing").answers
    assert answers["caption"].caption == "a violin is heard"
    assert answers["centre"].caption == "this baseline always takes the middle of the image"
    assert answers["nothing"].caption == "nothing asked for: this baseline never finds anything"
    assert run("--methods", "caption", "--threshold", "0.95").answers["caption"].caption.endswith(": nothing found")


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


def test_files_carry_the_names_of_both_and_one_picture_with_two_sounds_keeps_both(scene):
    shutil.copy("input.wav", "a bark.wav")
    first = run().answers["cross_modal"].files["mask"]
    arguments = ["--config", "fake.yaml", "--img_path", "input.png", "--wav_path", "a bark.wav"]
    second = inference_demo.main([*arguments, "--methods", "cross_modal", "caption"])
    assert first.name == "input_cross_modal_mask.png"
    assert second.answers["cross_modal"].files["mask"].name == "input_with_a bark_cross_modal_mask.png"
    assert second.comparison.name == "input_with_a bark_comparison.png" and first.is_file()


@pytest.mark.parametrize("letter", ["a", "\u72ac"])
def test_names_as_long_as_a_file_system_takes_are_cut_and_stay_apart(scene, letter):
    stem = letter * (245 // len(letter.encode()))
    Path(f"{stem}.png").write_bytes(Path("input.png").read_bytes())
    written = set()
    for last in "12":
        sound = Path(f"{stem[:-1]}{last}.wav")
        sound.write_bytes(Path("input.wav").read_bytes())
        arguments = ["--config", "fake.yaml", "--img_path", f"{stem}.png", "--wav_path", str(sound)]
        demo = inference_demo.main([*arguments, "--methods", "cross_modal", "caption"])
        written |= {demo.comparison, *(file for answer in demo.answers.values() for file in answer.files.values())}
    assert len(written) == 14 and all(file.is_file() for file in written)
    assert all(file.name.startswith(letter * 50) for file in written)
    assert len([file for file in written if file.name.endswith("_cross_modal_mask.png")]) == 2


def test_names_that_begin_with_a_dash_are_files(scene):
    for name in ("input.png", "input.wav"):
        shutil.copy(name, f"-SxV944iB48{Path(name).suffix}")
    arguments = ["--img_path", "-SxV944iB48.png", "--wav_path", "-SxV944iB48.wav", "--output", "-out"]
    demo = inference_demo.main(["--config", "fake.yaml", *arguments])
    assert demo.answers["cross_modal"].files["mask"] == Path("-out/-SxV944iB48_cross_modal_mask.png")
    assert demo.answers["cross_modal"].files["mask"].is_file()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_names_that_are_not_utf_8_are_files_too(scene, capsys):
    strange = os.fsdecode(b"caf\xe9")
    shutil.copy("input.png", f"{strange}.png")
    shutil.copy("input.wav", f"{strange}.wav")
    arguments = ["--img_path", f"{strange}.png", "--wav_path", f"{strange}.wav", "--output", strange, "--json"]
    assert run_script(lambda: inference_demo.main(["--config", "fake.yaml", *arguments])) == 0
    found = json.loads(capsys.readouterr().out)
    mask = found["methods"]["cross_modal"]["files"]["mask"]
    assert mask == f"{strange}/{strange}_cross_modal_mask.png" and Path(mask).is_file()
    assert run_script(lambda: inference_demo.main(["--config", "fake.yaml", *arguments[:-1]])) == 0
    assert "image           caf\\udce9.png" in capsys.readouterr().out


def test_a_link_where_a_picture_goes_is_replaced_not_followed(scene):
    folder = Path("outputs/demo")
    folder.mkdir(parents=True)
    Path("thesis.tex").write_text("chapter 3")
    planted = folder / "input_cross_modal_mask.png"
    planted.symlink_to(Path("thesis.tex").resolve())
    assert run().answers["cross_modal"].files["mask"] == planted
    assert Path("thesis.tex").read_text() == "chapter 3" and not planted.is_symlink()


def test_a_floor_of_minus_infinity_hears_everything_but_nothing(scene, capsys):
    quiet = ["--set", *(f"{name}.silence_db=-.inf" for name in FOUR), "--json", "--methods", *FOUR]
    run(*quiet)
    found = json.loads(capsys.readouterr().out)["methods"]
    assert all(found[name]["trail"]["query"] for name in FOUR)
    write("input.wav", np.zeros(8000), 16000)
    run(*quiet)
    found = json.loads(capsys.readouterr().out)["methods"]
    assert all("silent" in found[name]["trail"]["reason"] for name in FOUR)


def test_settings_are_checked_before_any_network_is_loaded_of_methods_that_do_not_run_too(scene, capsys):
    refused = {
        "classify.top_k=-1": "classify.top_k must be a whole number from 1 up; found -1",
        "classify.volume=1": 'the method classify has no setting "volume"',
        "text_inversion.decoding=image": "text_inversion.decoding must be one of auto, embedding, nearest_word",
        "cross_modal.noun_parser=magic": 'cross_modal.noun_parser must be "hanta" or an installed spaCy pipeline',
        "image_only.noun_parser=3": 'image_only.noun_parser must be "hanta" or an installed spaCy pipeline',
        "cross_modal.min_similarity=.nan": "cross_modal.min_similarity must be a number from -1 up; found nan",
    }
    for setting, sentence in refused.items():
        name, _, value = setting.partition("=")
        Path("mine.yaml").write_text(f"methods: {{{name.replace('.', ': {')}: {value}}}}}")
        for arguments in (["--set", setting], ["--config", "mine.yaml"]):
            with pytest.raises(UserError) as error:
                run(*arguments)
            assert sentence in str(error.value)
    with pytest.raises(UserError, match="classify.top_k must be"):
        inference_demo.main(["--config", "pocket", "--set", "classify.top_k=0"])
    assert scene.loaded == []


def test_settings_threshold_and_the_alias_method(scene):
    demo = run("--method", "classify", "--set", "classify.prompt=the {}", "--threshold", "0.95")
    assert demo.answers["classify"].prediction.queries[0].text == "the violin"
    assert not demo.answers["classify"].mask.any()


def test_what_is_special_about_the_sound_is_said(scene, capsys):
    tone = 0.5 * np.sin(np.arange(8000) / 3)
    write("against.wav", np.stack([tone, -0.9 * tone], 1), 8000)
    inference_demo.main(["--config", "fake.yaml", "--img_path", "input.png", "--wav_path", "against.wav"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    about = "1.0 s, 8000 Hz, loudest moment -9 dBFS, its channels cancel, so channel 1 alone is heard"
    assert lines[2] == f"sound against.wav ({about})"


def labels(capsys):
    """The labels of the lines."""
    return {line[:LABEL_WIDTH].strip() for line in capsys.readouterr().out.splitlines()}


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
    overlay = np.asarray(answer.overlay).astype(int)
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
    run("--methods", "nothing")  # a baseline finds no more with other networks
    assert "or try" not in labels(capsys)
    run("--threshold", "0.95", "--json")
    assert json.loads(capsys.readouterr().out)["methods"]["cross_modal"]["mask_share"] == 0
    for nothing in (np.zeros((0, 2)), np.array([0.5, -0.5])):
        write("input.wav", nothing, 16000)
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


@pytest.mark.parametrize(
    ("place", "mode", "sentence"),
    [
        ("image", 0o000, "there is no permission for image/input.png"),
        ("image/input.png", 0o000, "cannot read the image image/input.png: "),
        ("wav", 0o000, "there is no permission for wav/input.wav"),
        ("wav/input.wav", 0o000, "cannot read the sound wav/input.wav: "),
        ("config", 0o000, "there is no permission for config/mine.yaml"),
        ("config/mine.yaml", 0o000, "there is no permission for config/mine.yaml"),
        ("words.txt", 0o000, "there is no permission for words.txt"),
        ("out", 0o555, "the folder out cannot be written to"),
        ("out", 0o666, "the folder out cannot be written to"),
    ],
)
def test_no_permission_is_one_sentence(scene, unprivileged, monkeypatch, capsys, place, mode, sentence):
    monkeypatch.chdir(unprivileged)
    for folder in ("image", "wav", "config", "out"):
        Path(folder).mkdir()
    Image.fromarray(scene.sample.image).save("image/input.png")
    write("wav/input.wav", scene.sample.waveform, scene.sample.sampling_rate)
    Path("config/mine.yaml").write_text("methods: {text_inversion: {vocabulary: words.txt}}")
    Path("words.txt").write_text("dog\n")
    arguments = ["--config", "config/mine.yaml", "--img_path", "image/input.png", "--wav_path", "wav/input.wav"]
    arguments += ["--output", "out", "--methods", "text_inversion"]
    assert run_script(lambda: inference_demo.main(arguments)) == 0
    capsys.readouterr()
    Path(place).chmod(mode)
    assert run_script(lambda: inference_demo.main(arguments)) == 2
    printed = capsys.readouterr().err
    assert sentence in printed and printed.count("\n") == 1


def test_what_is_answered_otherwise_replaces_nothing_and_the_same_replaces_itself(scene):
    first = run("--methods", "cross_modal", "caption")
    before = first.answers["cross_modal"].files["mask"].read_bytes()
    again = run("--methods", "cross_modal", "caption")
    assert again.answers["cross_modal"].files == first.answers["cross_modal"].files
    assert again.comparison == first.comparison
    otherwise = [["--threshold", "0.95"], ["--set", "cross_modal.prompt=the {}"]]
    paths = {tuple(run(*words).answers["cross_modal"].files.values()) for words in otherwise}
    Path("other").mkdir()
    Image.new("RGB", (200, 120), "red").save("other/input.png")
    arguments = ["--config", "fake.yaml", "--img_path", "other/input.png", "--wav_path", "input.wav"]
    paths.add(tuple(inference_demo.main(arguments).answers["cross_modal"].files.values()))
    assert len({path for three in paths for path in three}) == 9
    assert first.answers["cross_modal"].files["mask"].read_bytes() == before
    letter = Path("outputs/demo/letter_cross_modal_mask.png")
    letter.write_text("Dear Sir or Madam,")
    shutil.copy("input.png", "letter.png"), shutil.copy("input.wav", "letter.wav")
    inference_demo.main(["--config", "fake.yaml", "--img_path", "letter.png", "--wav_path", "letter.wav"])
    assert letter.read_text() == "Dear Sir or Madam,"


@pytest.mark.parametrize("threshold", ["1", "-0.1", "half"])
def test_a_threshold_is_a_share(scene, capsys, threshold):
    with pytest.raises(SystemExit) as exit_:
        run(f"--threshold={threshold}")
    assert exit_.value.code == 2
    assert "expected a number from 0 to below 1" in capsys.readouterr().err


def test_help_answers_at_once_and_lists_the_methods():
    done = subprocess.run([sys.executable, "inference_demo.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    names = "caption, centre, classify, consensus, cross_modal, everything, image_only,"
    assert done.returncode == 0 and names in " ".join(done.stdout.split())
    assert "\n  classify        Audio classification: the sound's class" in done.stdout
    assert done.stdout.rstrip().split("examples:\n")[1].count("  python inference_demo.py") == 3
    code = "import sys, inference_demo; print({'torch', 'transformers', 'librosa', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_files_beside_a_page_are_not_passed_over():
    with pytest.raises(UserError, match="expected --serve or --space alone"):
        inference_demo.main(["--serve", "--video", "clip.mp4"])
