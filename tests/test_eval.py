"""The evaluation script end to end: right answers score 1, nothing depends on batches, mistakes end in one sentence."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import eval as script
import methods
import models.loading
from datasets.folder import FolderDataset
from datasets.manifest import Manifest, write_manifest
from utils.cli import DEFAULT_CONFIG as DEFAULT
from utils.errors import UserError, run_script
from utils.media.images import resize_mask
from utils.runs.results import SCHEMA, SampleRecord
from utils.types import Entry

ROOT = Path(script.__file__).resolve().parent
CONFIG = "tests/fakes.yaml"
SCENES = {  # stem: (what sounds, what is in view, (H, W))
    "a.mp4_1": ("dog", ("dog", "violin"), (48, 80)),
    "a.mp4_2": ("violin", ("dog", "violin"), (61, 47)),
    "b": ("drum", ("drum", "sea lion", "dog"), (224, 224)),
    "c": ("sea lion", ("sea lion",), (300, 260)),
    "d": (None, ("dog",), (40, 40)),
    "e": ("drum", ("dog", "violin"), (64, 64)),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory, fakes):
    """Six scenes of the fake world on disk; in "d" nothing sounds, in "e" what sounds is not in view."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("image", "wav", "gt_seg"):
        (root / folder).mkdir()
    for stem, (sounding, visible, size) in SCENES.items():
        sample = fakes.make_sample(sounding, visible, size)
        Image.fromarray(sample.image).save(root / "image" / f"{stem}.png")
        soundfile.write(root / "wav" / f"{stem}.wav", sample.waveform, sample.sampling_rate)
        Image.fromarray(sample.gt_mask).save(root / "gt_seg" / f"{stem}.png")
    return root


@pytest.fixture(autouse=True)
def fake_models(monkeypatch, fakes):
    """Every config's networks are the fakes, and what the segmenter was given is kept."""
    played = fakes.make_models()
    played["segmenter"].provenance = {"id": "fake", "sha256": "0" * 64}
    monkeypatch.setattr(
        models.loading,
        "load_models",
        lambda config, roles, *_, **__: {role: played[role] for role in sorted(set(roles))},
    )
    return played


def evaluate(data, output, *further):
    options = ["--config", CONFIG, "--device", "cpu", "--draws", "50"]
    return script.main(["--test_data_path", str(data), "--output_dir", str(output), *options, *further])


def rows_of(output):
    with (output / "per_sample.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def value(results, method, protocol, column):
    return results.scores[method][protocol][column]["value"]


def test_right_answers_score_as_computed_by_hand(data, tmp_path):
    results = evaluate(data, tmp_path, "--set", "cross_modal.min_similarity=0.3")
    # Four of six scenes are answered right; two have an empty ground truth and get an empty answer.
    # Bilinear edges of maps and nearest edges of masks differ by a pixel at most.
    for protocol, column, expected in (
        ("paper", "J", 4 / 6),
        ("paper", "F", 4 / 6),
        ("avsbench", "IoU", 1),
        ("avsbench", "F max (whole set)", 1),
        ("dataset", "set IoU", 1),
        ("negatives", "abstained", 1),
        ("negatives", "missed", 0),
        ("negatives", "false area", 0),
    ):
        assert value(results, "cross_modal", protocol, column) == pytest.approx(expected, abs=2e-3), column
    assert value(results, "nothing", "paper", "J") == 0
    assert value(results, "nothing", "avsbench", "IoU") == pytest.approx(2 / 6)
    assert [results.methods[name]["listens"] for name in ("cross_modal", "nothing")] == [True, False]
    data_of = results.data
    assert {key: data_of[key] for key in ("path", "limit", "samples", "gt_empty", "gt_ignore", "manifest")} == {
        "path": str(data),
        "limit": None,
        "samples": 6,
        "gt_empty": 2,
        "gt_ignore": 0,
        "manifest": None,
    }
    rows = [row for row in rows_of(tmp_path) if row["method"] == "cross_modal"]
    assert [float(row["iou_fixed"]) for row in rows] == pytest.approx([1, 1, 1, 1, 0, 0], abs=1e-3)
    assert [float(row["avsbench_iou"]) for row in rows] == pytest.approx([1] * 6, abs=1e-3)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "cross_modal" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_the_whole_image_scores_the_share_of_the_foreground(data, tmp_path):
    masks = [resize_mask(sample.gt_mask, (224, 224)) for sample in FolderDataset(data)]
    assert value(evaluate(data, tmp_path), "everything", "paper", "J") == pytest.approx(np.mean(masks))


def test_results_json_tells_how_the_numbers_came_about(data, tmp_path):
    results = evaluate(data, tmp_path, "--set", "cross_modal.min_similarity=0.2", "--seed", "7", "--group_size", "2")
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert found["command"].startswith(f"python eval.py --test_data_path {data} ")
    assert found["schema"] == SCHEMA
    assert found["scores"]["cross_modal"]["paper"]["J"]["value"] == value(results, "cross_modal", "paper", "J")
    assert "F max (per clip of 2)" in found["scores"]["cross_modal"]["avsbench"]
    assert (found["intervals"]["unit"], found["intervals"]["units"]) == ("clip", 3)
    assert (found["config"]["name"], found["config"]["path"]) == ("fakes", CONFIG)
    assert found["config"]["roles"]["segmenter"]["family"] == "clipseg"
    assert found["config"]["methods"]["cross_modal"]["min_similarity"] == 0.2
    assert found["config"]["methods"]["cross_modal"]["prompt"] == "A photo of {}"  # defaults are told too
    assert found["models"]["segmenter"] == {"id": "fake", "sha256": "0" * 64}
    assert sorted(found["models"]) == ["audio_text", "image_captioner", "segmenter"]
    assert (found["measurement"]["resolution"], found["measurement"]["threshold"]) == ([224, 224], 0.5)
    assert (found["seeds"], found["device"]) == ({"given": 7, "audio_controls": 7, "bootstrap": 0}, "cpu")
    assert set(found["seconds"]["methods"]["cross_modal"]) == {"propose", "segment"}
    assert len(found["data"]["contents_sha256"]) == 64
    assert set(found) >= {"date", "commit", "versions"}


def test_the_seed_reaches_the_methods_that_draw(data, tmp_path):
    words = "text_inversion.vocabulary=[dog,violin,drum,sea lion]"
    options = ["--methods", "text_inversion", "--limit", "1", "--set", words, "text_inversion.steps=3"]
    assert evaluate(data, tmp_path / "a", *options, "--seed", "7").config["methods"]["text_inversion"]["seed"] == 7
    assert evaluate(data, tmp_path / "b", *options).config["methods"]["text_inversion"]["seed"] == 0
    options += ["text_inversion.seed=5"]
    assert evaluate(data, tmp_path / "c", *options).config["methods"]["text_inversion"]["seed"] == 5


@pytest.mark.parametrize("further", [["--batch_size", "1"], ["--batch_size", "4"], ["--num_workers", "2"]])
def test_neither_batches_nor_processes_change_a_number(data, tmp_path, further):
    names = ["--methods", "cross_modal", "classify", "caption"]
    one, other = evaluate(data, tmp_path / "one", *names), evaluate(data, tmp_path / "other", *names, *further)
    assert one.scores == other.scores
    assert (tmp_path / "one" / "per_sample.csv").read_bytes() == (tmp_path / "other" / "per_sample.csv").read_bytes()


def test_a_batch_that_does_not_fit_into_memory_is_halved(data, tmp_path, monkeypatch, fake_models, capsys):
    names = ["--methods", "cross_modal", "classify"]
    evaluate(data, tmp_path / "one", *names)
    segment = fake_models["segmenter"].segment

    def small(images, queries):
        if len(images) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return segment(images, queries)

    fake_models["segmenter"].segment = small
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # which takes long among the objects of many tests
    evaluate(data, tmp_path / "other", *names)
    assert f"{len(SCENES)} samples at a time do not fit" in capsys.readouterr().err
    assert (tmp_path / "one" / "per_sample.csv").read_bytes() == (tmp_path / "other" / "per_sample.csv").read_bytes()


def test_records_name_sample_method_query_and_reason(data, tmp_path):
    evaluate(data, tmp_path, "--method", "cross_modal", "classify", "cross_modal", "--baselines")
    rows = rows_of(tmp_path)
    assert list(rows[0]) == [field.name for field in fields(SampleRecord)]
    assert [(row["id"], row["method"]) for row in rows] == [(s, m) for s in SCENES for m in ("cross_modal", "classify")]
    assert rows[0]["query"] == "A photo of dog"
    assert (rows[0]["reason"], rows[0]["gt_empty"], rows[0]["prediction_empty"]) == ("", "False", "False")
    assert "silent" in rows[8]["reason"]
    assert (rows[8]["query"], rows[8]["gt_empty"], rows[8]["prediction_empty"]) == ("", "True", "True")


def test_limit_and_threshold(data, tmp_path, capsys):
    results = evaluate(data, tmp_path, "--limit", "2", "--threshold", "0.95")
    assert results.data["samples"] == 2
    assert value(results, "cross_modal", "paper", "J") == 0
    assert results.controls["original"]["cross_modal"]["empty"]["value"] == 1
    printed = capsys.readouterr().out
    assert "config fakes: networks that are right by construction" in printed
    assert "oracle: the threshold is chosen with the ground truth" in printed
    (definition,) = [one for one in results.protocols["paper"]["columns"] if one["title"] == "J"]
    assert "0.95" in definition["definition"]


def test_visualizations_have_the_image_size(data, tmp_path):
    evaluate(data, tmp_path, "--limit", "3", "--save_visualizations")
    for stem in list(SCENES)[:3]:
        with Image.open(tmp_path / "visualizations" / "cross_modal" / f"{stem}.jpg") as overlay:
            assert overlay.size == SCENES[stem][2][::-1]


def test_the_gallery_shows_what_was_predicted_and_asks_no_method_again(data, tmp_path, fake_models):
    results = evaluate(data, tmp_path, "--baselines", "nothing")
    assert len(fake_models["segmenter"].queries) == len(SCENES)
    assert len(results.gallery) == 6
    for one in results.gallery:
        record = next(r for r in rows_of(tmp_path) if (r["id"], r["method"]) == (one["id"], "cross_modal"))
        answer = one["methods"]["cross_modal"]
        assert (answer["area"], one["blank"]) == (float(record["area"]), record["gt_empty"] == "True")
        assert ["asked", f'"{record["query"]}"'] in answer["trail"] or not record["query"]
        for path in (one["image"], one["truth"], answer["map"], one["methods"]["nothing"]["map"]):
            assert (tmp_path / path).is_file()


@pytest.mark.parametrize("size", ["0", "-1", "inf", "nan", "much"])
def test_a_cache_without_a_size_is_refused(size, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(["--test_data_path", "x", "--cache", "y", "--cache_gb", size])
    assert f"expected a number above 0, found {size!r}" in capsys.readouterr().err.replace('"', "'")


class Nosy:
    """A method that answers the ground truth where it is given it."""

    listens = True

    def __init__(self):
        self.models = {}

    def prepare(self):
        pass

    def predict(self, samples):
        from utils.types import Prediction

        nothing = [np.zeros(sample.image.shape[:2], np.float32) for sample in samples]
        masks = [nothing[i] if sample.gt_mask is None else sample.gt_mask for i, sample in enumerate(samples)]
        return [Prediction(mask.astype(np.float32)) for mask in masks]


def test_the_ground_truth_never_reaches_a_method(data, tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "create", lambda name, models, values, memory: Nosy())
    results = evaluate(data, tmp_path, "--baselines")
    assert results.controls["original"]["cross_modal"]["empty"]["value"] == 1


class Wrong(Nosy):
    """A method whose score maps are all of one size."""

    def predict(self, samples):
        from utils.types import Prediction

        return [Prediction(np.zeros((5, 5), np.float32)) for _ in samples]


def test_score_maps_of_another_size_than_the_image_are_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "create", lambda name, models, values, memory: Wrong())
    with pytest.raises(ValueError, match=r"expected a score map of \(48, 80\) for sample a.mp4_1, found \(5, 5\)"):
        evaluate(data, tmp_path)


def test_a_run_that_stops_keeps_its_records(data, tmp_path, monkeypatch, fake_models, capsys):
    evaluate(data, tmp_path, "--baselines")
    before = (tmp_path / "results.json").read_bytes()
    segment, calls = fake_models["segmenter"].segment, []

    def stop_at_the_third(images, queries):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return segment(images, queries)

    monkeypatch.setattr(fake_models["segmenter"], "segment", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        evaluate(data, tmp_path, "--batch_size", "1", "--baselines")
    assert (tmp_path / "results.json").read_bytes() == before
    assert len(rows_of(tmp_path)) == 6  # the older, complete file
    assert len(list((tmp_path / "unfinished").glob("batch_*.json"))) == 2
    said = capsys.readouterr().err
    assert re.search(
        r"stopped early: 2 of \d batches are measured, and kept in .*unfinished; the same command goes on\n$", said
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--test_data_path", "nowhere"], "expected a dataset folder at nowhere, found none"),
        (["--methods", "telepathy"], "telepathy.*cross_modal"),
        (["--config", "gigantic"], f"no config 'gigantic'.*{DEFAULT}"),
        (["--set", "segmenter.colour=red"], "colour"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--output_dir", str(ROOT / "eval.py")], "cannot make the folder .*eval.py"),
        (["--protocols", "iou"], 'no protocol "iou"; choose from: paper, avsbench, ssl, pairs, dataset, negatives'),
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


def test_only_the_protocols_asked_for_are_shown(data, tmp_path, capsys):
    results = evaluate(data, tmp_path, "--protocols", "paper", "pairs", "--baselines", "centre")
    assert list(results.protocols) == ["paper", "pairs"]
    assert list(results.scores) == ["cross_modal", "centre"]
    assert "pairs: not shown, it needs images that are heard with several sounds" in capsys.readouterr().out


def test_columns_are_explained_without_any_data(capsys):
    assert script.main(["--explain", "negatives"]) is None
    printed = capsys.readouterr().out
    assert "false area  [honest, lower is better]" in printed
    assert "mIoU" not in printed
    with pytest.raises(UserError, match='no protocol "iou"'):
        script.main(["--explain", "iou"])


def test_native_resolution_is_said_and_used(data, tmp_path):
    results = evaluate(data, tmp_path, "--set", "cross_modal.min_similarity=0.3", "--resolution", "native")
    assert results.measurement["resolution"] == "native"
    rows = [float(row["iou_fixed"]) for row in rows_of(tmp_path) if row["method"] == "cross_modal"]
    assert rows == [1, 1, 1, 1, 0, 0]  # no resizing, no soft edges
    shares = [sample.gt_mask.mean() for sample in FolderDataset(data)]
    assert value(results, "everything", "paper", "J") == pytest.approx(np.mean(shares))


def test_without_the_sound_a_method_that_listens_finds_nothing(data, tmp_path):
    options = ["--audio_control", "silence", "noise", "--set", "cross_modal.min_similarity=0.3"]
    results = evaluate(data, tmp_path, *options)
    assert list(results.controls) == ["original", "silence", "noise"]
    silence = results.controls["silence"]
    assert list(silence) == ["cross_modal"]  # baselines hear nothing anyway
    assert (silence["cross_modal"]["empty"]["value"], silence["cross_modal"]["area"]["value"]) == (1, 0)
    assert silence["cross_modal"]["change"]["value"] == pytest.approx(-4 / 6, abs=2e-3)
    controls = {(row["control"], row["method"]) for row in rows_of(tmp_path)}
    assert ("silence", "cross_modal") in controls
    assert ("silence", "nothing") not in controls


def test_the_manifest_says_what_belongs_together(data, tmp_path):
    root = tmp_path / "data"
    for folder in ("image", "wav", "gt_seg"):
        (root / folder).mkdir(parents=True)
        for path in (data / folder).iterdir():
            (root / folder / path.name).symlink_to(path)
    entries = {
        stem: Entry(stem.split(".")[0], (sounding,) if sounding in visible else (), blank=sounding not in visible)
        for stem, (sounding, visible, _) in SCENES.items()
    }
    write_manifest(Manifest("toy", {}, {}, entries, group_unit="image"), root)
    results = evaluate(root, tmp_path / "out", "--audio_control", "swap", "offscreen")
    assert (results.intervals["unit"], results.intervals["units"]) == ("image", 5)
    assert value(results, "cross_modal", "pairs", "iIoU (fixed)") == 1  # the two sounds of image "a"
    assert value(results, "image_only", "pairs", "iIoU (fixed)") == 0
    assert {name: one["samples"] for name, one in results.categories.items()} == {
        "dog": 1,
        "drum": 1,
        "sea lion": 1,
        "violin": 1,
    }
    assert results.controls["swap"]["cross_modal"]["change"]["value"] < -0.3
    assert results.data["manifest"]["benchmark"] == "toy"
    assert {row["group"] for row in rows_of(tmp_path / "out")} == {"a", "b", "c", "d", "e"}
    with pytest.raises(UserError, match="groups from --group_size or from the manifest, found both"):
        evaluate(root, tmp_path / "out", "--group_size", "2")


@pytest.mark.parametrize(
    ("stems", "manifest", "controls"),
    [
        (["a.mp4_1", "a.mp4_2", "b"], True, "silence noise swap offscreen"),
        (["a.mp4_1", "a.mp4_2", "b"], False, "silence noise swap"),
        (["a.mp4_1"], False, "silence noise"),
        (["a.mp4_1"], True, "silence noise"),
    ],
)
def test_what_a_report_advises_the_same_folder_accepts(data, tmp_path, capsys, stems, manifest, controls):
    root = tmp_path / "data"
    for folder, suffix in (("image", "png"), ("wav", "wav"), ("gt_seg", "png")):
        (root / folder).mkdir(parents=True)
        for stem in stems:
            shutil.copy(data / folder / f"{stem}.{suffix}", root / folder)
    if manifest:
        write_manifest(Manifest("toy", {}, {}, {stem: Entry(stem, (SCENES[stem][0],)) for stem in stems}), root)
    first = evaluate(root, tmp_path / "first", "--baselines")
    texts = [(tmp_path / "first" / name).read_text(encoding="utf-8") for name in ("report.md", "report.html")]
    texts = [text.split("</style>")[-1].replace(first.command, "") for text in (*texts, capsys.readouterr().out)]
    advised = {words for text in texts for words in re.findall(r" (--[a-z_]+(?: [a-z_]+)*)", text)}
    assert advised == {f"--audio_control {controls}", "--explain"}
    again = evaluate(root, tmp_path / "again", "--baselines", "--audio_control", *controls.split())
    assert [*again.controls] == ["original", *controls.split()]
    assert script.main(["--explain"]) is None
    for control in {"swap", "offscreen"} - {*controls.split()}:
        with pytest.raises(UserError) as caught:
            evaluate(root, tmp_path / "refused", "--audio_control", control)
        reason = str(caught.value).removesuffix(", or leave the control out")
        assert f"T{reason[1:]}." in re.sub(r"\\(.)", r"\1", texts[0])  # said beforehand


def test_a_floor_of_minus_infinity_is_a_setting_like_any_other(data, tmp_path):
    floor = ["--set", *(f"{name}.silence_db=-.inf" for name in ("cross_modal", "classify"))]
    evaluate(data, tmp_path, *floor, "--methods", "cross_modal", "classify", "--limit", "2")

    def refuse(name):
        raise AssertionError(name)

    found = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    assert found["config"]["methods"]["classify"]["silence_db"] == "-.inf"
    assert found["config"]["methods"]["classify"]["top_k"] == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_an_output_folder_may_have_a_name_that_is_not_utf_8(data, tmp_path, capsys):
    output = tmp_path / os.fsdecode(b"caf\xe9")
    assert run_script(lambda: evaluate(data, output, "--limit", "2", "--save_visualizations")) == 0
    assert {path.name for path in output.iterdir()} >= {"results.json", "report.html", "report.md", "per_sample.csv"}
    assert json.loads((output / "results.json").read_text())["command"].count("\udce9") == 1
    assert "caf\\udce9" in (output / "report.md").read_text() and "caf\\udce9" in capsys.readouterr().out


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


def test_names_as_long_as_file_systems_take_are_drawn(data, tmp_path):
    stems = [120 * "\u00e9" + end for end in ("ab", "ac")]
    for folder, suffix in (("image", "png"), ("wav", "wav"), ("gt_seg", "png")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for stem in stems:
            shutil.copy(data / folder / f"b.{suffix}", tmp_path / "data" / folder / f"{stem}.{suffix}")
    results = evaluate(tmp_path / "data", tmp_path / "out", "--save_visualizations", "--baselines")
    pictures = {path for one in results.gallery for path in (one["image"], one["truth"])}
    assert len(pictures) == 4 and all((tmp_path / "out" / path).is_file() for path in pictures)
    assert len(list((tmp_path / "out" / "visualizations" / "cross_modal").iterdir())) == 2


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
