"""IS3 and IS3+ become dataset folders: as annotated, else by name, and what does not fit is said."""

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


NEGATIVES = (  # image, sound, gt_box of what the miniature of IS3+ has beside that of IS3
    (f"{STEMS[0]}.jpg", "silence.wav", None),
    (f"{STEMS[0]}.jpg", "noise.wav", []),
    (f"{STEMS[0]}.jpg", f"{STEMS[3]}.wav", []),  # a subway, which is not in that picture
)


def annotate(root, *further, boxes=(47.0, 99.0, 154.0, 185.0)):
    """Writes the annotation of all samples, and of further images, sounds and boxes; their sounds, where new."""
    records = [{"image": f"/mnt/frames/{stem}.jpg", "audio": f"/mnt/wav/{stem}.wav", "gt_box": boxes} for stem in STEMS]
    for image, sound, box in further:
        records.append({"image": f"/mnt/frames/{image}", "audio": f"/mnt/wav/{sound}", "gt_box": box})
        if not (root / "audio_waw" / sound).exists():
            soundfile.write(root / "audio_waw" / sound, np.zeros(RATE), RATE, subtype="PCM_16")
    (root / "IS3_annotation.json").write_text(json.dumps(records))


@pytest.fixture
def source(tmp_path):
    """The archive in miniature, unpacked into a folder of its own."""
    root = tmp_path / "download" / "IS3"
    for index, stem in enumerate(STEMS):
        add(root, stem, right=index % 2 == 1)
    annotate(root)
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
    assert manifest.samples["accordion_baby_10467_baby"].details == {"gt_boxes_224": [[47, 99, 154, 185]]}
    assert {entry.scenario for entry in manifest.samples.values()} == {""}
    assert manifest.counts == {"samples": 6, "groups": 3, "categories": 5, "blank_masks": 0, "left_out": 0}
    printed = capsys.readouterr().out
    assert "pairs: 3 pictures with both objects" in printed
    assert "counts: 6 samples, published 6480; 3 groups, published 3240" in printed
    assert "note: Names without a number: 2 (babylaughter_oceanburbling_baby, " in printed
    assert manifest.notes[3].startswith("IS3_annotation.json names 6 samples;")


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
    assert manifest.notes[-1] == "Pictures without two objects, of no metric over pairs: 1 (accordion_baby_10467)."
    assert "Annotated images that are not here: 1 (accordion_baby_10467_baby)." in manifest.notes
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
    expected = "expected one image and one sound and one mask, found "
    assert manifest.left_out[STEMS[0]] == expected + f"no sound {STEMS[0]} in audio_waw"
    assert manifest.left_out[STEMS[1]] == expected + f"{STEMS[1]}.jpg and {STEMS[1]}.png in gt_segmentation"
    assert manifest.left_out[STEMS[2]].startswith("cannot read the image ")
    assert FolderDataset(tmp_path / "out").ids == sorted(STEMS[3:])


@pytest.mark.parametrize("text", ["{broken", '{"a": 1}', '[["image"]]', '[{"image": "a.jpg", "n": NaN}]', "[]"])
def test_an_annotation_file_of_another_kind_is_no_obstacle(source, tmp_path, text):
    (source / "IS3_annotation.json").write_text(text)
    manifest = convert(source, tmp_path / "out")
    assert manifest.counts["samples"] == 6
    assert manifest.notes[3].startswith("IS3_annotation.json " + ("names 0" if text == "[]" else "cannot be read ("))
    assert text == "[]" or "): files are paired by name, and the samples have no boxes" in manifest.notes[3]


def test_an_interrupted_import_ends_like_an_undisturbed_one(source, tmp_path, monkeypatch):
    annotate(source, *NEGATIVES)
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
    annotate(source, ("other.jpg", "other.wav", [0, 0, 1, 1]))
    with pytest.raises(UserError, match=r"expected an empty folder or one begun by .*found IS3\+ \(annotation_sha256 "):
        convert(source, tmp_path / "out")


def test_the_annotation_pairs_images_and_sounds_by_its_own_names(source, tmp_path):
    """Each picture of accordion and baby is heard with a sound whose name is another's; its mask stays the image's."""
    accordion, baby = STEMS[:2]
    for stem, value in ((accordion, 0.25), (baby, 0.5)):
        soundfile.write(source / "audio_waw" / f"{stem}.wav", np.full(RATE, value), RATE, subtype="PCM_16")
    (source / "audio_waw" / f"{baby}.wav").rename(source / "audio_waw" / "clip_7.wav")
    pairs = ((accordion, accordion), (baby, "clip_7"))
    records = [{"image": f"{image}.jpg", "audio": f"{sound}.wav", "gt_box": [1, 2, 3, 4]} for image, sound in pairs]
    (source / "IS3_annotation.json").write_text(json.dumps(records))
    manifest = convert(source, tmp_path / "out")
    data = FolderDataset(tmp_path / "out")
    assert data.ids == sorted(STEMS)  # the others by name
    assert {stem: data[data.ids.index(stem)].waveform[0] for stem in STEMS[:2]} == {accordion: 0.25, baby: 0.5}
    np.testing.assert_array_equal(data[data.ids.index(baby)].gt_mask, half(right=True))
    assert manifest.samples[baby].categories == ("baby",)
    assert manifest.samples[baby].details == {"audio": "clip_7", "gt_boxes_224": [[1, 2, 3, 4]]}
    strange = (
        "Sounds named after something else than the mask they are annotated with: 1 (accordion_baby_10467_baby with"
    )
    assert any(note.startswith(strange) for note in manifest.notes)


@pytest.mark.parametrize(
    ("gt_box", "boxes"),
    [
        ([47.0, 99.0, 154.0, 185.0], [[47, 99, 154, 185]]),
        ([[0, 0, 224, 224], [3, 5, 4, 6]], [[0, 0, 224, 224], [3, 5, 4, 6]]),
        ([10, 20, 10, 30], None),
        ([10, 20, 5, 30], None),  # x, y, width, height
        ([0, 0, 225, 9], None),
        ([-1, 0, 9, 9], None),
        ([0.5, 0, 9, 9], None),
        ([0, 0, 9], None),
        ([[0, 0, 9, 9], [1, 2]], None),
        ("/mnt/gt_masks/a.jpg", None),
        ({"x0": 1}, None),
    ],
)
def test_boxes_are_kept_on_their_grid_or_as_they_are_with_a_note(source, tmp_path, gt_box, boxes):
    annotate(source, boxes=gt_box)
    manifest = convert(source, tmp_path / "out")
    details = [entry.details for entry in manifest.samples.values()]
    assert details == [{"gt_box": gt_box} if boxes is None else {"gt_boxes_224": boxes}] * 6
    said = [note for note in manifest.notes if "y0 < y1 in whole pixels of a 224 grid: 6 (" in note]
    assert len(said) == (boxes is None)
    assert manifest.counts["blank_masks"] == 0


def test_a_sound_that_nothing_in_view_makes_has_a_blank_mask_and_says_its_kind(source, tmp_path, capsys):
    annotate(source, *NEGATIVES)
    manifest = convert(source, tmp_path / "out")
    data, picture = FolderDataset(tmp_path / "out"), "accordion_baby_10467"
    further = {f"{STEMS[0]}_{kind}": kind for kind in ("silence", "noise", "offscreen")}
    assert data.ids == sorted([*STEMS, *further])
    for stem, kind in further.items():
        entry, sample = manifest.samples[stem], data[data.ids.index(stem)]
        assert (entry.group, entry.categories, entry.scenario, entry.blank) == (picture, (), kind, True)
        assert (sample.gt_mask.shape, sample.gt_mask.any()) == (SIZE, False)
        assert sample.waveform.any() == (kind == "offscreen")
    assert manifest.samples[f"{STEMS[0]}_offscreen"].details == {"audio": STEMS[3], "gt_boxes_224": []}
    assert {manifest.samples[stem].scenario for stem in STEMS} == {"pair"}
    assert (manifest.benchmark, manifest.published) == ("IS3+", {})
    assert manifest.counts == {"samples": 9, "groups": 3, "categories": 5, "blank_masks": 3, "left_out": 0}
    printed = capsys.readouterr().out
    assert "pairs: 3 pictures with both objects" in printed
    assert f"note: Sounds of nothing in view: 3 ({STEMS[0]}_noise, {STEMS[0]}_offscreen, " in printed
    assert not any(note.startswith("Pictures without two objects") for note in manifest.notes)


def test_negatives_of_their_own_names(source, tmp_path):
    """One that the annotation gives no box and the archive no mask, and one whose name says its kind."""
    for stem in ("fox_bus_3_tuba", "fox_bus_3_fox_offscreen"):
        add(source, stem)
        (source / "gt_segmentation" / f"{stem}.jpg").unlink()
    annotate(source, ("fox_bus_3_tuba.jpg", "fox_bus_3_tuba.wav", []))
    manifest = convert(source, tmp_path / "out")
    for stem in ("fox_bus_3_tuba", "fox_bus_3_fox_offscreen"):
        entry = manifest.samples[stem]
        assert (entry.group, entry.categories, entry.scenario, entry.blank) == ("fox_bus_3", (), "offscreen", True)


def test_what_an_annotation_of_negatives_leaves_open_is_left_out_in_a_sentence(source, tmp_path, capsys):
    annotate(source, *NEGATIVES, (f"{STEMS[0]}.jpg", f"{STEMS[4]}.wav", []), (f"{STEMS[1]}.jpg", "gone.wav", []))
    (source / "audio_waw" / "gone.wav").unlink()
    assert run_script(lambda: convert(source, tmp_path / "out")) == 2
    assert read_manifest(tmp_path / "out").left_out == {
        f"{STEMS[0]}_offscreen with {STEMS[4]}": f"annotated twice; the record with {STEMS[3]} is taken",
        f"{STEMS[1]}_offscreen": "expected one image and one sound, found no sound gone in audio_waw",
    }
    assert "pairs: 3 pictures with both objects" in capsys.readouterr().out


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


def test_it_can_be_evaluated(source, fake_models, tmp_path):
    """Masks are halves of the image: everything has IoU 0.5 where there is one, and is wrong where nothing sounds."""
    annotate(source, *NEGATIVES)
    convert(source, tmp_path / "out")
    options = ["--draws", "50", "--methods", "cross_modal", "--device", "cpu"]
    options += ["--test_data_path", str(tmp_path / "out"), "--output_dir", str(tmp_path / "results")]
    results = evaluation.main(options)
    data = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))["data"]
    assert (data["samples"], data["gt_empty"], data["gt_ignore"]) == (9, 3, 0)
    assert results.intervals["unit"] == "image"
    assert "iIoU (fixed)" in results.scores["cross_modal"]["pairs"]
    of_everything = results.scores["everything"]
    assert of_everything["paper"]["J"]["value"] == pytest.approx(6 * 0.5 / 9)
    assert of_everything["pairs"]["iIoU (fixed)"]["value"] == 1.0  # over both objects, not over further sounds
    negatives = {name: one["value"] for name, one in of_everything["negatives"].items()}
    by_kind = {f"N-acc ({kind})": 0.0 for kind in ("silence", "noise", "offscreen")}
    assert negatives == {"false area": 1.0, "N-acc": 0.0, **by_kind, "missed": 0.0, "J lost (offscreen)": None}
    scenarios = {name: part["samples"] for name, part in results.scenarios.items()}
    assert scenarios == {"pair": 6, "silence": 1, "noise": 1, "offscreen": 1}
