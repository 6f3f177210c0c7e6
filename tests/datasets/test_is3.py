"""IS3 becomes a dataset folder: files paired by name, two samples to a picture, and what does not fit is said."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

import eval as evaluation
from datasets import is3
from datasets.folder import FolderDataset
from datasets.importing.ground_truth import MaskFile
from datasets.manifest import read_manifest
from utils.errors import UserError, run_script

SIZE = (64, 64)
RATE = 16000
PICTURES = {  # picture -> its two categories
    "accordion_baby_10467": ("accordion", "baby"),
    "fireworks_subwaytrain_10415": ("fireworks", "subway"),  # spelled otherwise in the name of the picture
    "babylaughter_oceanburbling": ("baby", "ocean"),  # no number
}
STEMS = [f"{picture}_{category}" for picture, pair in PICTURES.items() for category in pair]


def half(right=False):
    mask = np.zeros(SIZE, bool)
    mask[:, 32:] = right
    mask[:, :32] = not right
    return mask


def add(root, stem, right=False, image_suffix=".jpg", mask_suffix=".jpg", sounds="audio_waw"):
    """One sample: a grey image, 1 s of sound, and a mask of the left or right half with JPEG noise around 0 and 255."""
    for folder in ("images", sounds, "gt_segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (90, 90, 90)).save(root / "images" / f"{stem}{image_suffix}")
    soundfile.write(root / sounds / f"{stem}.wav", np.full(RATE, 0.1), RATE, subtype="PCM_16")
    noise = np.random.default_rng(len(stem)).integers(0, 100, SIZE)
    values = np.where(half(right), 255 - noise, noise).astype(np.uint8)
    Image.fromarray(values).save(root / "gt_segmentation" / f"{stem}{mask_suffix}", quality=95)


@pytest.fixture
def source(tmp_path):
    """The archive in miniature, unpacked into a folder of its own."""
    root = tmp_path / "download" / "IS3"
    for index, stem in enumerate(STEMS):
        add(root, stem, right=index % 2 == 1)
    names = [f"/mnt/published/visual_frames/{stem}.jpg" for stem in STEMS]
    records = [{"image": name, "audio": name, "gt_box": [47.0, 99.0, 154.0, 185.0]} for name in names]
    (root / "IS3_annotation.json").write_text(json.dumps(records))
    return root


def convert(source, out, *options):
    return is3.main(["--source", str(source), "--out", str(out), *options])


def files_of(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_each_object_of_a_picture_is_a_sample(source, tmp_path, capsys):
    manifest = convert(source, tmp_path / "out")
    data = FolderDataset(tmp_path / "out")
    assert data.ids == sorted(STEMS)
    for sample in data:  # noise up to 100 around 0 and 255 is cut at 128
        np.testing.assert_array_equal(sample.gt_mask, half(right=STEMS.index(sample.id) % 2 == 1))
        assert (sample.gt_ignore, sample.sampling_rate, len(sample.waveform)) == (None, RATE, RATE)
    found = {stem: (entry.group, *entry.categories) for stem, entry in manifest.samples.items()}
    assert found == {f"{picture}_{name}": (picture, name) for picture, pair in PICTURES.items() for name in pair}
    assert manifest.samples["accordion_baby_10467_baby"].details == {"gt_box": [47.0, 99.0, 154.0, 185.0]}
    assert manifest.counts == {"samples": 6, "groups": 3, "categories": 5, "blank_masks": 0, "left_out": 0}
    printed = capsys.readouterr().out
    assert "pairs: 3 pictures with both objects" in printed
    assert "counts: 6 samples, published 6480; 3 groups, published 3240" in printed
    assert "note: Names without a number: 2." in printed
    assert "IS3_annotation.json names 6 samples" in manifest.notes[3]


def test_images_and_sounds_are_linked_and_the_source_stays_as_it_was(source, tmp_path):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in source.rglob("*") if path.is_file()}
    convert(source, tmp_path / "out")
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in source.rglob("*") if path.is_file()}
    assert after == before
    for folder, published, suffix in (("image", "images", ".jpg"), ("wav", "audio_waw", ".wav")):
        for stem in STEMS:
            assert (tmp_path / "out" / folder / f"{stem}{suffix}").samefile(source / published / f"{stem}{suffix}")


def test_the_folder_above_and_the_other_name_of_the_sounds_are_found(source, tmp_path):
    (source / "audio_waw").rename(source / "audio_wav")
    assert convert(source.parent, tmp_path / "out").counts["samples"] == 6


def test_suffixes_of_any_case_and_kind(tmp_path):
    add(tmp_path / "IS3", "lion_car_1_lion", image_suffix=".JPG", mask_suffix=".PNG")
    add(tmp_path / "IS3", "lion_car_1_car", right=True, image_suffix=".JPEG", mask_suffix=".png")
    manifest = convert(tmp_path / "IS3", tmp_path / "out")
    assert FolderDataset(tmp_path / "out").ids == ["lion_car_1_car", "lion_car_1_lion"]
    assert "No annotation file (IS3_annotation.json or " in manifest.notes[3]


def test_pictures_without_both_objects_are_named(source, tmp_path, capsys):
    for folder in ("images", "audio_waw", "gt_segmentation"):
        next((source / folder).glob("accordion_baby_10467_baby.*")).unlink()
    manifest = convert(source, tmp_path / "out")
    assert "Pictures without two objects: 1 (accordion_baby_10467); no metric" in manifest.notes[-1]
    printed = capsys.readouterr().out
    assert f"note: {manifest.notes[-1]}" in printed
    assert "pairs: 2 pictures with both objects" in printed
    assert (manifest.counts["samples"], manifest.counts["groups"]) == (5, 3)


def test_what_does_not_fit_is_left_out_by_name(source, tmp_path, capsys):
    (source / "audio_waw" / f"{STEMS[0]}.wav").unlink()
    (source / "gt_segmentation" / f"{STEMS[1]}.png").write_bytes(b"a second mask")
    (source / "images" / f"{STEMS[2]}.jpg").write_bytes((source / "images" / f"{STEMS[2]}.jpg").read_bytes()[:300])
    for stray in ("images/readme.txt", "images/.DS_Store", "gt_segmentation/Thumbs.db"):
        (source / stray).write_bytes(b"\0")
    assert run_script(lambda: convert(source, tmp_path / "out")) == 2
    said = capsys.readouterr()
    assert f"found 3 that cannot be read, which are left out ({STEMS[0]}: " in said.err
    assert "note: Files passed over, being no image, sound or mask: 2 (" in said.out
    assert "gt_segmentation/Thumbs.db, images/readme.txt" in said.out
    assert "pairs: 1 pictures with both objects" in said.out
    manifest = read_manifest(tmp_path / "out")
    expected = "expected one image, one sound and one mask, found "
    assert manifest.left_out[STEMS[0]] == expected + "no sound in audio_waw"
    assert manifest.left_out[STEMS[1]] == expected + f"{STEMS[1]}.jpg and {STEMS[1]}.png in gt_segmentation"
    assert manifest.left_out[STEMS[2]].startswith("cannot read the image ")
    assert FolderDataset(tmp_path / "out").ids == sorted(STEMS[3:])


@pytest.mark.parametrize("text", ["{broken", '{"a": 1}', '[["image"]]', "[]"])
def test_an_annotation_file_of_another_kind_is_no_obstacle(source, tmp_path, text):
    (source / "IS3_annotation.json").write_text(text)
    manifest = convert(source, tmp_path / "out")
    assert manifest.counts["samples"] == 6
    assert manifest.notes[3].startswith("IS3_annotation.json " + ("names 0" if text == "[]" else "cannot be read ("))


def test_an_interrupted_import_ends_like_an_undisturbed_one(source, tmp_path, monkeypatch):
    convert(source, tmp_path / "undisturbed")
    read, calls = MaskFile.read, []

    def interrupted(self, size):
        calls.append(self)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return read(self, size)

    with monkeypatch.context() as patch:
        patch.setattr(MaskFile, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(source, tmp_path / "out")
    convert(source, tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")


@pytest.mark.parametrize("out", ["", "out", "images", "new/deep"])
def test_an_import_into_its_own_source_is_refused(source, out):
    before = files_of(source)
    (source.parent / "link").symlink_to(source)
    for root in (source, source.parent / "link"):
        with pytest.raises(UserError, match="expected --out outside of --source, found .*, which is only read"):
            convert(source, root / out)
    assert files_of(source) == before


def test_a_source_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"expected the folders images, audio_waw or audio_wav, gt_segmentation in "):
        convert(tmp_path, tmp_path.with_name("elsewhere"))
    with pytest.raises(UserError, match="expected the unpacked archive at .*nowhere, found no such folder"):
        convert(tmp_path / "nowhere", tmp_path / "out")


def test_it_can_be_evaluated(source, random_config, tmp_path):
    convert(source, tmp_path / "out")
    options = ["--config", str(random_config), "--methods", "cross_modal", "--limit", "4", "--device", "cpu"]
    options += ["--test_data_path", str(tmp_path / "out"), "--output_dir", str(tmp_path / "results")]
    results = evaluation.main(options)
    data = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))["data"]
    assert (data["samples"], data["gt_empty"], data["gt_ignore"]) == (4, 0, 0)
    assert results.scores["everything"]["paper"]["J"]["value"] == 0.5
    assert results.intervals["unit"] == "image"
    assert "iIoU (fixed)" in results.scores["cross_modal"]["pairs"]
