"""The demo on folders: records, the page, what fails among many, and nothing of another run lost."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inference_demo
from utils.errors import UserError, run_script


@pytest.fixture
def folder(scene):
    """image/ and wav/ with two pairs of the scene's picture and sound, and a picture without a sound."""
    for kind, suffix, stems in (("image", "png", ("one", "t<w>o", "mute")), ("wav", "wav", ("one", "t<w>o"))):
        Path(kind).mkdir()
        for stem in stems:
            shutil.copy(f"input.{suffix}", f"{kind}/{stem}.{suffix}")
    return scene


def run(*further: str, images: str = "image", sounds: str = "wav"):
    return inference_demo.main(["--config", "fake.yaml", "--img_path", images, "--wav_path", sounds, *further])


def rows() -> list[dict[str, str]]:
    return list(csv.DictReader(Path("outputs/demo/predictions.csv").open(encoding="utf-8")))


def test_a_folder_without_ground_truth_gives_masks_and_records(folder, capsys):
    found = run("--methods", "cross_modal", "centre")
    said = capsys.readouterr().out
    assert "left out, since there is no sound or image of the same name: image/mute.png" in said
    assert "2 of 2 pairs answered; to look through: outputs/demo/index.html" in said
    assert len(json.loads(json.dumps(found))) == 2  # no pictures: of many, they would fill the memory
    assert len(folder.loaded) == 1  # networks are loaded once
    share = folder.sample.gt_mask.mean()
    found = rows()
    assert [(row["stem"], row["method"]) for row in found[:3]] == [
        ("one", "cross_modal"), ("one", "centre"), ("t<w>o", "cross_modal")
    ]  # fmt: skip
    assert (found[0]["heard"], found[0]["asked"]) == ("a sound most like violin", "A photo of violin")
    assert float(found[0]["share"]) == pytest.approx(share, abs=1e-6) and float(found[0]["confidence"]) == 0.9
    assert found[1]["reason"] == "this baseline always takes the middle of the image" and found[1]["asked"] == ""
    mask = np.asarray(Image.open(Path("outputs/demo") / found[0]["mask"])) > 0
    np.testing.assert_array_equal(mask, folder.sample.gt_mask)


def test_the_page_opens_from_disk_and_asks_no_network(folder):
    run("--methods", "cross_modal", "centre")
    page = Path("outputs/demo/index.html").read_text(encoding="utf-8")
    assert "t&lt;w&gt;o" in page and "t<w>o" not in page
    assert not re.search(r"https?://|@import|url\(", page)
    sources = set(re.findall(r'(?:src|href)="([^"#]+)"', page)) - {"data:,"}
    assert len(sources) == 1 + 1 + 4 + 4  # a picture and a sound that both pairs share, layers, masks
    assert all((Path("outputs/demo") / source.replace("%3C", "<").replace("%3E", ">")).is_file() for source in sources)


def test_what_cannot_be_read_is_named_at_the_end_and_the_others_are_done(folder, capsys):
    Path("image/bad.png").write_text("no picture")
    shutil.copy("input.wav", "wav/bad.wav")
    assert run_script(lambda: run()) == 2
    error = capsys.readouterr().err
    assert "1 of 3 pairs could not be answered, bad.png with bad.wav: cannot read the image image/bad.png" in error
    assert error.count("\n") == 1 and [row["stem"] for row in rows()] == ["one", "t<w>o"]
    assert run_script(lambda: run("--json")) == 2
    assert [one["img_path"] for one in json.loads(capsys.readouterr().out)] == ["image/one.png", "image/t<w>o.png"]


def test_after_a_run_that_could_answer_nothing_the_folder_is_still_ours(folder):
    content = Path("input.wav").read_bytes()
    for stem in ("one", "t<w>o"):
        Path(f"wav/{stem}.wav").write_text("no sound")
    assert run_script(lambda: run()) == 2 and not rows()
    assert "No picture could be answered" in Path("outputs/demo/index.html").read_text(encoding="utf-8")
    for stem in ("one", "t<w>o"):
        Path(f"wav/{stem}.wav").write_bytes(content)
    assert len(run()) == len(rows()) == 2


def test_other_runs_into_the_folder_add_to_it_and_the_same_run_changes_nothing(folder):
    run()
    before = {path.name: path.read_bytes() for path in Path("outputs/demo").glob("*.png")}
    run()
    assert len(rows()) == 2 and len(list(Path("outputs/demo").glob("*.png"))) == len(before)
    run("--threshold", "0.95")
    assert [row["threshold"] for row in rows()] == ["0.5", "0.5", "0.95", "0.95"]
    assert all((Path("outputs/demo") / name).read_bytes() == content for name, content in before.items())
    page = Path("outputs/demo/index.html").read_text(encoding="utf-8")
    assert page.count("<article>") == 2 and "(fake, above 0.95)" in page


def test_same_names_in_other_folders_keep_their_own_files(folder):
    for kind in ("image", "wav"):
        Path("b", kind).mkdir(parents=True)
    Image.fromarray(folder.sample.image[:, ::-1]).save("b/image/one.png")
    shutil.copy("input.wav", "b/wav/one.wav")
    arguments = ["--img_path", "image", "b/image", "--wav_path", "wav", "b/wav"]
    found = inference_demo.main(["--config", "fake.yaml", *arguments])
    paths = [one["methods"]["cross_modal"]["files"]["mask"] for one in found]
    assert len(set(paths)) == 3
    flipped = np.asarray(Image.open(paths[2])) > 0
    np.testing.assert_array_equal(flipped, folder.sample.gt_mask[:, ::-1])


def test_one_sound_for_many_pictures_and_json(folder, capsys):
    run("--json", sounds="wav/one.wav")
    found = json.loads(capsys.readouterr().out)
    assert [one["img_path"] for one in found] == ["image/mute.png", "image/one.png", "image/t<w>o.png"]
    assert len(list(Path("outputs/demo/index_files").glob("*.wav"))) == 1


@pytest.mark.parametrize("name", ["index.html", "predictions.csv", "predictions.jsonl"])
def test_files_of_others_in_the_output_folder_are_refused_before_the_work(folder, name):
    Path("outputs/demo").mkdir(parents=True)
    Path("outputs/demo", name).write_text("my own")
    with pytest.raises(UserError, match=f"{name} was not written by this program"):
        run()
    assert Path("outputs/demo", name).read_text() == "my own" and not folder.loaded


def test_ctrl_c_keeps_the_records_of_what_is_done(folder, fakes, monkeypatch):
    segment, calls = fakes.FakeSegmenter.segment, []

    def interrupted(self, images, queries):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return segment(self, images, queries)

    monkeypatch.setattr(fakes.FakeSegmenter, "segment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert [row["stem"] for row in rows()] == ["one"] and Path("outputs/demo/index.html").is_file()
