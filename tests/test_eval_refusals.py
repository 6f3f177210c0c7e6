"""What the evaluation script refuses: mistakes end in one sentence, and nothing of the user's is lost."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from PIL import Image

import eval as script
import models.loading
from datasets.manifest import Manifest, write_manifest
from tests.eval_scenes import SCENES, evaluate
from utils.cli import DEFAULT_CONFIG as DEFAULT
from utils.errors import UserError, run_script
from utils.types import Entry

ROOT = Path(script.__file__).resolve().parent
pytestmark = pytest.mark.usefixtures("fake_models")


@pytest.mark.parametrize("size", ["0", "-1", "inf", "nan", "much"])
def test_a_cache_without_a_size_is_refused(size, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(["--test_data_path", "x", "--cache", "y", "--cache_gb", size])
    assert f"expected a number above 0, found {size!r}" in capsys.readouterr().err.replace('"', "'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--test_data_path", "nowhere"], "expected a dataset folder at nowhere, found none"),
        (["--methods", "telepathy"], "telepathy.*cross_modal"),
        (["--config", "gigantic"], f"no config 'gigantic'.*{DEFAULT}"),
        (["--set", "segmenter.colour=red"], "colour"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--output_dir", str(ROOT / "eval.py")], "cannot make the folder .*eval.py"),
        (
            ["--protocols", "iou"],
            'no protocol "iou"; choose from: paper, avsbench, sweep, ssl, pairs, dataset, negatives',
        ),
        (["--audio_control", "louder"], 'no audio control "louder"; choose from: original, silence, noise, swap'),
        (["--audio_control", "offscreen"], "offscreen needs to know what sounds in each sample, found no categories"),
        (["--baselines", "half"], 'no method "half"'),
    ],
)
def test_mistakes_are_answered_with_what_would_do(data, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        evaluate(data, tmp_path, *arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --test_data_path"),
        (["--test_data_path", "x", "--batch_size", "0"], "--batch_size: expected a whole number from 1 up, found '0'"),
        (["--test_data_path", "x", "--limit", "many"], "--limit: expected a whole number from 1 up, found 'many'"),
        (
            ["--test_data_path", "x", "--threshold", "50"],
            "--threshold: expected a number from 0 to below 1, found '50'",
        ),
        (["--test_data_path", "x", "--group_size", "some"], "--group_size: expected a whole number from 1 up"),
        (["--test_data_path", "x", "--resolution", "large"], "--resolution: invalid choice: 'large'"),
    ],
)
def test_wrong_arguments_end_with_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(arguments)
    assert message in capsys.readouterr().err


def test_a_dataset_without_ground_truth_is_refused(data, tmp_path):
    for folder in ("image", "wav"):
        (tmp_path / folder).symlink_to(data / folder)
    with pytest.raises(UserError, match=r"found 1 fault: no folder gt_seg in .*, and without ground truth there is no"):
        evaluate(tmp_path, tmp_path / "out")


@pytest.fixture
def copy_of_data(data, tmp_path):
    """The six scenes, free to be broken."""
    return Path(shutil.copytree(data, tmp_path / "copy"))


def test_a_broken_file_is_found_before_any_model_is_loaded(copy_of_data, tmp_path, monkeypatch):
    monkeypatch.setattr(models.loading, "load_models", lambda *_, **__: pytest.fail("models were loaded"))
    (copy_of_data / "gt_seg" / "c.png").write_bytes(b"no picture")
    with pytest.raises(UserError) as caught:
        evaluate(copy_of_data, tmp_path / "out")
    assert str(caught.value) == (
        f"expected a folder fit for scoring at {copy_of_data}, found 1 fault: 1 mask that cannot be read "
        f"(gt_seg/c.png: it is no image Pillow knows); python -m datasets.check {copy_of_data} says what to do"
    )
    script.open_dataset(copy_of_data, limit=3)  # whose files are whole


def test_several_faults_end_in_one_sentence_without_torch(copy_of_data):
    (copy_of_data / "gt_seg" / "c.png").write_bytes(b"no picture")
    (copy_of_data / "wav" / "b.wav").write_bytes((copy_of_data / "wav" / "b.wav").read_bytes()[:-100])
    (copy_of_data / "image" / "z.png").write_bytes((copy_of_data / "image" / "b.png").read_bytes())
    Image.new("L", (10, 300)).save(copy_of_data / "gt_seg" / "d.png")
    code = "import sys, eval; code = eval.run_script(eval.main); sys.exit(9 if 'torch' in sys.modules else code)"
    command = [sys.executable, "-c", code, "--test_data_path", str(copy_of_data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    found = (
        r"found 5 faults: 1 file in image without a partner in wav \(z\), 1 file in image without .* gt_seg \(z\), "
        r"1 mask that cannot be read .* and 2 more; python -m datasets.check \S+ says what to do\n$"
    )
    assert re.search(found, done.stderr)
    assert done.stderr.count("\n") == 1


def test_only_what_no_sample_can_be_left_out_for_stops_a_run_that_skips_faults(copy_of_data, tmp_path):
    """A file without its partner is of no sample; a mask of another shape is of one."""
    Image.new("L", (300, 20), 255).save(copy_of_data / "gt_seg" / "b.png")
    shutil.copy(copy_of_data / "image" / "b.png", copy_of_data / "image" / "stray.png")
    with pytest.raises(UserError, match="found 3 faults"):
        evaluate(copy_of_data, tmp_path / "out")
    with pytest.raises(UserError, match=r"found 2 faults: [^,]*\(stray\), [^,]*\(stray\);"):
        evaluate(copy_of_data, tmp_path / "out", "--skip_faults")


@pytest.mark.parametrize("place", ["image", "wav/scores", "gt_seg", "img"])
def test_results_are_not_written_among_the_samples(data, place):
    with pytest.raises(UserError, match=f"expected an --output_dir outside .*{place[:3]}.*; choose one beside"):
        script.main(["--test_data_path", str(data), "--output_dir", str(data / place)])


def test_warnings_and_samples_left_out_are_told_and_do_not_stop(copy_of_data, tmp_path, capsys):
    Image.new("RGB", (20, 20)).save(copy_of_data / "image" / "d.png")
    Image.new("L", (20, 20)).save(copy_of_data / "gt_seg" / "d.png")
    entries = {stem: Entry(stem, blank=stem in ("d", "e")) for stem in SCENES}
    manifest = Manifest("Bench", {}, {"split": "test"}, entries, {"samples": 8}, {"x": "broken", "y": "broken"})
    write_manifest(manifest, copy_of_data)
    results = evaluate(copy_of_data, tmp_path / "out", "--limit", "5")
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [
        f"data: 3 warnings; python -m datasets.check {copy_of_data} shows them",
        f"data: 2 samples left out by the importer and not scored; {copy_of_data / 'manifest.json'} names them",
    ]
    assert results.data["manifest"] == {
        "benchmark": "Bench",
        "options": {"split": "test"},
        "published": {"samples": 8},
        "differences": ["6 samples, published 8"],
        "left_out": 2,
        "sha256": hashlib.sha256((copy_of_data / "manifest.json").read_bytes()).hexdigest(),
    }
    assert json.loads((tmp_path / "out" / "results.json").read_text())["data"] == results.data


def test_scripts_end_with_one_sentence_and_a_code(capsys):
    def mistake():
        raise UserError("expected this, found that; do so")

    def interrupt():
        raise KeyboardInterrupt

    assert [run_script(main) for main in (mistake, interrupt, lambda: "done")] == [2, 130, 0]
    assert capsys.readouterr().err == "error: expected this, found that; do so\ninterrupted\n"


def test_the_script_itself_answers_a_mistake_without_a_traceback():
    command = [sys.executable, "eval.py", "--test_data_path", "nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "error: expected a dataset folder at nowhere, found none; check the path\n"


def test_arguments_and_dataset_are_checked_before_torch_is_imported(data):
    code = f"import sys, eval; eval.open_dataset(eval.Path({str(data)!r}), None); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_help_waits_for_no_heavy_library():
    done = subprocess.run([sys.executable, "eval.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    for option in ("--methods", "--test_data_path", "--config", "--save_visualizations", "cross_modal"):
        assert option in done.stdout
    code = "import sys, eval; print({'torch', 'transformers', 'librosa'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_settings_of_a_method_that_does_not_run_are_checked_before_anything_is_loaded(data, tmp_path, monkeypatch):
    monkeypatch.setattr(models.loading, "load_models", None)
    for setting in ("classify.top_k=-1", "text_inversion.steps=-1", "centre.width=.nan"):
        with pytest.raises(UserError, match=f"{setting.partition('=')[0]} must be a"):
            evaluate(data, tmp_path, "--set", setting)


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_called_unfinished_that_is_no_run_s_stops_a_run_before_it_begins(data, tmp_path, monkeypatch):
    monkeypatch.setattr(models.loading, "load_models", lambda *_, **__: pytest.fail("models were loaded"))
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "chapter3.tex").write_text("mine")
    before = files_of(tmp_path)
    with pytest.raises(UserError, match="found something else .*; move that folder away") as caught:
        evaluate(data, tmp_path, "--overwrite")
    assert str(tmp_path / "unfinished") in str(caught.value)
    assert files_of(tmp_path) == before


def test_results_of_another_run_are_replaced_where_that_is_asked_for(data, tmp_path):
    options = ["--limit", "3", "--baselines"]
    first = evaluate(data, tmp_path, *options)
    before = files_of(tmp_path)
    others = {
        "methods": ["--methods", "classify"],
        "limit, data": ["--limit", "2"],
        "methods, audio_controls": ["--audio_control", "silence", "--seed", "3", "--baselines", "centre"],
        "measurement": ["--threshold", "0.4"],
        "shown": ["--draws", "7"],
    }
    for parts, further in others.items():
        with pytest.raises(
            UserError, match=f"found those of a run with other .*{parts}.*; choose another --output_dir"
        ):
            evaluate(data, tmp_path, *options, *further)
        assert files_of(tmp_path) == before
    evaluate(data, tmp_path, *options, "--shard", "1/2")
    with pytest.raises(UserError, match="found those of a run with other shown"):  # a part of the same run is none
        evaluate(data, tmp_path, *options, "--draws", "7")
    evaluate(data, tmp_path, *options)
    assert evaluate(data, tmp_path, *options, "--batch_size", "1").scores == first.scores  # the same run
    other = evaluate(data, tmp_path, *options, "--methods", "classify", "--overwrite")
    assert json.loads((tmp_path / "results.json").read_text())["command"] == other.command


@pytest.mark.parametrize("name", ["results.json", "report.md", "report.html", "per_sample.csv", "gallery/me.jpg"])
@pytest.mark.parametrize("content", ["mine", "[]", "{}", '{"schema": 2}'])
def test_what_is_no_run_s_is_not_replaced_unasked(data, tmp_path, name, content):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"found {name.split('/')[0]} of something else; .* with --overwrite"):
        evaluate(data, tmp_path, "--limit", "1", "--baselines")
    assert files_of(tmp_path) == {tmp_path / name: content.encode()}


def test_links_in_the_output_folder_are_not_followed(data, tmp_path):
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    options = ["--limit", "1", "--baselines", "--save_visualizations"]
    evaluate(data, output, *options)
    elsewhere.mkdir()
    written = [path for path in output.rglob("*") if path.is_file()]
    for number, path in enumerate(written):
        (elsewhere / str(number)).write_text("mine")
        path.unlink()
        path.symlink_to(elsewhere / str(number))
    before = files_of(elsewhere)
    evaluate(data, output, *options, "--overwrite")
    assert files_of(elsewhere) == before and len(written) >= 8
    assert not [path for path in output.rglob("*") if path.is_symlink()]
    for name in ("gallery", "visualizations", "visualizations/cross_modal"):
        (output / name).rename(output / "away")
        (output / name).symlink_to(elsewhere)
        with pytest.raises(UserError, match=f"expected a folder at {output / name}, found a link; remove it"):
            evaluate(data, output, *options, "--overwrite")
        (output / name).unlink()
        (output / "away").rename(output / name)
    (output / "report.md").unlink()
    (output / "report.md").mkdir()
    with pytest.raises(UserError, match="expected a file at .*report.md, found a folder"):
        evaluate(data, output, *options, "--overwrite")
    assert files_of(elsewhere) == before


def test_files_beside_the_drawn_ones_are_nobody_s_business(data, tmp_path):
    options = ["--limit", "1", "--baselines", "--save_visualizations"]
    evaluate(data, tmp_path, *options)
    (tmp_path / "visualizations" / ".DS_Store").write_text("a file manager's")
    evaluate(data, tmp_path, *options)
    shutil.rmtree(tmp_path / "visualizations" / "cross_modal")
    (tmp_path / "visualizations" / "cross_modal").write_text("mine")
    with pytest.raises(UserError, match="expected a folder at .*cross_modal, found a file; remove it"):
        evaluate(data, tmp_path, *options)
    evaluate(data, tmp_path, *options, "--methods", "classify", "--overwrite")


@pytest.mark.parametrize("place", ["", "image", "wav", "gt_seg", "manifest.json", "out", "cache"])
def test_no_permission_is_one_sentence(data, tmp_path, unprivileged, capsys, fakes, place):
    root = unprivileged / "data"
    for folder in ("image", "wav", "gt_seg", "out", "cache"):
        (root / folder).mkdir(parents=True)
    sample = fakes.make_sample()
    Image.fromarray(sample.image).save(root / "image/a.png")
    Image.fromarray(sample.gt_mask).save(root / "gt_seg/a.png")
    soundfile.write(root / "wav/a.wav", sample.waveform, sample.sampling_rate)
    write_manifest(Manifest("toy", {}, {}, {"a": Entry("a")}), root)
    (root / place).chmod(0o555 if place == "out" else 0o000)
    assert run_script(lambda: evaluate(root, root / "out", "--cache", str(root / "cache"))) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1 and str(root / place) in printed
