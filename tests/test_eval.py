"""The evaluation script end to end: right answers score 1, nothing depends on batches."""

import json
import os
import re
import shutil
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eval as script
import methods
from datasets.folder import FolderDataset
from datasets.manifest import Manifest, write_manifest
from tests.eval_scenes import CONFIG, SCENES, evaluate, rows_of, save_scenes
from utils.errors import UserError, run_script
from utils.media.images import resize_mask
from utils.runs.results import SCHEMA, SampleRecord
from utils.types import Entry

ROOT = Path(script.__file__).resolve().parent
pytestmark = pytest.mark.usefixtures("fake_models")


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
        ("negatives", "N-acc", 1),
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


def test_neither_batches_nor_processes_change_a_number(data, tmp_path):
    names = ["--methods", "cross_modal", "classify", "caption"]
    one = evaluate(data, tmp_path / "one", *names)
    for further in (["--batch_size", "1"], ["--batch_size", "4", "--num_workers", "2"]):
        other = evaluate(data, tmp_path / "_".join(further), *names, *further)
        assert one.scores == other.scores, further
        assert rows_of(tmp_path / "one") == rows_of(tmp_path / "_".join(further)), further


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


def test_labels_reach_every_file_of_a_run_in_parts_too(fakes, tmp_path, capsys):
    data, output = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    save_scenes(data, fakes)
    rows = [
        f"{stem};{sounding or ''};{stem[0]};{'on' if sounding in seen else 'off'}"
        for stem, (sounding, seen, _) in SCENES.items()
    ]
    (data / "labels.csv").write_text("\n".join(["stem;category;group;scenario", *rows]), encoding="utf-8-sig")
    further = ("--set", "cross_modal.min_similarity=0.3", "--audio_control", "offscreen")
    for part in ("--shard=2/2", "--shard=1/2"):
        assert evaluate(data, output, *further, part) is None
    results = evaluate(data, output, *further)
    known = {row["id"]: (row["group"], row["category"], row["scenario"]) for row in rows_of(output)}
    assert known["a.mp4_2"] == ("a", "violin", "on") and known["d"] == ("d", "", "off") and len(known) == len(SCENES)
    assert results.scenarios["off"]["samples"] == 2 and results.categories["drum"]["samples"] == 2
    assert {one["id"] for one in results.gallery if one["blank"]} == {"d", "e"}
    written = capsys.readouterr().out.rstrip().rpartition(f"written to {output}: ")[2].split(", ")
    assert {*written} == {f"{path.name}/" if path.is_dir() else path.name for path in output.iterdir()}
    (data / "labels.csv").write_text("stem,category\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"fit for scoring at .*: labels.csv with no row, 6 samples that labels.csv"):
        evaluate(data, output)
