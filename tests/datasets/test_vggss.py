"""The VGG-SS importer on a miniature of its layout: names, frames, boxes, what is missing, resuming, scores."""

import json
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

import eval as evaluation
from datasets import importing, vggss
from datasets.folder import FolderDataset
from datasets.importing import run_import
from datasets.manifest import UNFINISHED, read_manifest
from utils.errors import UserError, run_script

RATE = 16000
SIZE = (6, 10)  # (H, W)
ANNOTATIONS = [
    {"file": "zpWuikVorYg_000032", "class": "elk bugling", "bbox": [[0.4, 0.25, 0.6, 0.75]]},
    {"file": "-o_SzD8P2Bt_000120", "class": "dog barking", "bbox": [[-0.1, 0.5, 0.31, 1.2], [0.2, 0, 0.5, 0.6]]},
    {"file": "UyCw7pCgYg8_000055", "class": "tap dancing", "bbox": [[0.5, 0.4, 0.7, 0.7], [0.006, 0.02, 0.006, 0.02]]},
    {"file": "M1P1xla8rg0_000000", "class": "playing tambourine", "bbox": [[0.26875, 1.0, 0.753125, 1.0]]},
    {"file": "GoneVideo_1_000010", "class": "dog barking", "bbox": [[0.1, 0.1, 0.9, 0.9]]},
]
MASKS = {  # rows of 6 x 10 pixels whose centres lie in a box
    "zpWuikVorYg_000032": ["0000000000"] + ["0000110000"] * 3 + ["0000000000"] * 2,
    "-o_SzD8P2Bt_000120": ["0011100000"] * 3 + ["1111100000"] + ["1110000000"] * 2,
    "UyCw7pCgYg8_000055": ["0000000000"] * 2 + ["0000011000"] * 2 + ["0000000000"] * 2,
    "M1P1xla8rg0_000000": ["0000000000"] * 6,
}


def save_image(path, value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), value, np.uint8)).save(path)


def save_sound(path, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((RATE, channels), 0.25), RATE, subtype="PCM_16")


@pytest.fixture
def source(tmp_path):
    """Four of five annotated videos: names in seconds and in milliseconds, a file and folders of frames."""
    root = tmp_path / "source"
    save_image(root / "frames/zpWuikVorYg_000032.jpg")
    save_sound(root / "audio/zpWuikVorYg_000032.wav")
    for number in range(1, 12):  # 1 .. 11 without leading zeros: 6 is the middle, and "10" sorts before "2" as text
        save_image(root / f"frames/-o_SzD8P2Bt_120000_130000/image_{number}.png", value=10 * number)
    save_sound(root / "audio/-o_SzD8P2Bt_120000_130000.wav", channels=2)
    save_image(root / "frames/UyCw7pCgYg8_000055/image_050.jpg", value=50)
    save_sound(root / "audio/UyCw7pCgYg8_000055.wav")
    save_image(root / "frames/M1P1xla8rg0_0_10000.jpg")
    save_sound(root / "audio/M1P1xla8rg0_000000.wav")
    save_image(root / "frames/NotInTheJso_000001.jpg")
    (root / "vggss.json").write_text(json.dumps(ANNOTATIONS))
    return root


def run(source, out, *more):
    return vggss.main(
        ["--source", str(source), "--annotations", str(source / "vggss.json"), "--out", str(out), *map(str, more)]
    )


def rewrite(source, change):
    annotations = json.loads(json.dumps(ANNOTATIONS))
    change(annotations)
    (source / "vggss.json").write_text(json.dumps(annotations))


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def rows(mask):
    return ["".join("1" if pixel else "0" for pixel in row) for row in mask]


def test_imports_what_is_here_with_the_exact_masks(source, tmp_path, capsys):
    before = content(source)
    run(source, tmp_path / "out")
    dataset = FolderDataset(tmp_path / "out")
    assert {sample.id: rows(sample.gt_mask) for sample in dataset} == MASKS
    assert content(source) == before
    printed = capsys.readouterr().out
    assert "VGG-SS: 4 samples in 4 groups, 4 categories, 1 blank masks" in printed
    assert "counts: 4 samples, published 5158" in printed
    assert "4 of 5 annotated videos are here" in printed
    assert "IoU, J and F against it reward boxes" in printed


def test_manifest(source, tmp_path):
    run(source, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert manifest.left_out == {}
    assert manifest.options == {
        "annotations_sha256": vggss.read_annotations(source / "vggss.json")[2],
        "images": "frames",
        "audio": "audio",
        "frame": "middle",
    }
    dog = manifest.samples["-o_SzD8P2Bt_000120"]
    assert (dog.group, dog.categories, dog.details) == ("-o_SzD8P2Bt", ("dog barking",), {"frame": "image_6.png"})
    assert manifest.samples["M1P1xla8rg0_000000"].blank
    notes = " ".join(manifest.notes)
    assert "Blank masks, because no box has an area: 1 (M1P1xla8rg0_000000)" in notes
    assert "Images that are the middle frame of a folder of frames: 2." in notes


def test_images_and_sounds(source, tmp_path):
    """What needs no change is a link; stereo becomes one channel."""
    run(source, tmp_path / "out")
    out = tmp_path / "out"
    assert (out / "image/zpWuikVorYg_000032.jpg").samefile(source / "frames/zpWuikVorYg_000032.jpg")
    assert (out / "wav/zpWuikVorYg_000032.wav").samefile(source / "audio/zpWuikVorYg_000032.wav")
    assert np.asarray(Image.open(out / "image/-o_SzD8P2Bt_000120.png")).flat[0] == 60
    info = soundfile.info(out / "wav/-o_SzD8P2Bt_000120.wav")
    assert (info.channels, info.subtype, info.frames) == (1, "PCM_16", RATE)


@pytest.mark.parametrize(("count", "middle"), [(1, 1), (2, 1), (3, 2), (100, 50), (250, 125)])
def test_middle_frame(tmp_path, count, middle):
    for number in range(1, count + 1):
        (tmp_path / f"image_{number:03d}.jpg").touch()
    assert vggss.find_frame(tmp_path, None).name == f"image_{middle:03d}.jpg"


def test_frame_by_number(source, tmp_path):
    """A folder with fewer frames is left out by name, the rest is imported."""
    with pytest.raises(UserError, match=r"UyCw7pCgYg8_000055: expected frame 11 in .*, found 1 frames"):
        run(source, tmp_path / "out", "--frame", 11)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.samples["-o_SzD8P2Bt_000120"].details == {"frame": "image_11.png"}
    assert len(manifest.samples) == 3
    assert "Images that are frame 11 of a folder of frames: 1." in manifest.notes


def test_frame_or_sound_alone_is_left_out_by_name(source, tmp_path):
    (source / "audio/zpWuikVorYg_000032.wav").unlink()
    (source / "frames/M1P1xla8rg0_0_10000.jpg").unlink()
    (source / "frames/UyCw7pCgYg8_000055/image_050.jpg").unlink()
    with pytest.raises(UserError, match="expected to read all 4 samples, found 3 that cannot be read"):
        run(source, tmp_path / "out")
    left_out = read_manifest(tmp_path / "out").left_out
    assert left_out["zpWuikVorYg_000032"] == "expected a frame and a sound, found no sound; add it, or remove the other"
    assert left_out["M1P1xla8rg0_000000"] == "expected a frame and a sound, found no frame; add it, or remove the other"
    assert "found 0 frames" in left_out["UyCw7pCgYg8_000055"]
    assert FolderDataset(tmp_path / "out").ids == ["-o_SzD8P2Bt_000120"]


def test_unreadable_files_are_left_out_by_name(source, tmp_path):
    (source / "frames/zpWuikVorYg_000032.jpg").write_bytes(b"no image")
    (source / "audio/UyCw7pCgYg8_000055.wav").write_bytes(b"no sound")
    with pytest.raises(UserError, match="found 2 that cannot be read"):
        run(source, tmp_path / "out")
    left_out = read_manifest(tmp_path / "out").left_out
    assert "it is no image Pillow knows" in left_out["zpWuikVorYg_000032"]
    assert "cannot read the sound" in left_out["UyCw7pCgYg8_000055"]
    assert FolderDataset(tmp_path / "out").ids == ["-o_SzD8P2Bt_000120", "M1P1xla8rg0_000000"]


def test_goes_on_where_it_was_stopped(source, tmp_path, monkeypatch):
    run(source, tmp_path / "whole")

    def stop(items, manifest, out, **options):
        run_import(items[:2], manifest, out, **options)
        (out / "manifest.json").rename(out / UNFINISHED)
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "run_import", stop)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out")
    with pytest.raises(UserError, match="expected a finished import"):
        FolderDataset(tmp_path / "out")
    monkeypatch.undo()
    kept = (tmp_path / "out/gt_seg/zpWuikVorYg_000032.png").stat().st_mtime_ns
    run(source, tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert (tmp_path / "out/gt_seg/zpWuikVorYg_000032.png").stat().st_mtime_ns == kept


def test_the_same_with_two_processes(source, tmp_path):
    run(source, tmp_path / "one")
    run(source, tmp_path / "two", "--num_workers", 2, "--copy")
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_other_annotations_do_not_mix(source, tmp_path):
    run(source, tmp_path / "out")
    rewrite(source, lambda annotations: annotations[0].update(bbox=[[0, 0, 1, 1]]))
    with pytest.raises(UserError, match="choose another --out"):
        run(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bbox": []}, 'expected at least one box as "bbox", found []'),
        ({"bbox": None}, 'expected at least one box as "bbox", found None'),
        ({"bbox": [0.1, 0.2, 0.3, 0.4]}, "expected a box of four numbers x0, y0, x1, y1, found 0.1"),
        ({"bbox": [["a", 0, 1, 1]]}, "expected a box of four numbers"),
        ({"bbox": [[0, 0, float("nan"), 1]]}, "expected a box of four numbers"),
        ({"class": None}, 'expected what sounds as "class", found None'),
    ],
)
def test_malformed_annotations_are_left_out_by_name(source, tmp_path, change, reason):
    rewrite(source, lambda annotations: annotations[0].update(change))
    with pytest.raises(UserError, match="found 1 that cannot be read"):
        run(source, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert list(manifest.left_out) == ["zpWuikVorYg_000032"]
    assert reason in manifest.left_out["zpWuikVorYg_000032"]
    assert len(manifest.samples) == 3


@pytest.mark.parametrize("entry", [7, {"class": "dog"}, {"file": "../../etc/passwd", "class": "dog", "bbox": []}])
def test_annotations_without_a_name_are_left_out_by_number(source, tmp_path, entry):
    rewrite(source, lambda annotations: annotations.insert(1, entry))
    with pytest.raises(UserError, match="entry 2: expected"):
        run(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot read .* as vggss.json: Expecting"),
        ("[" * 99999, "cannot read"),
        ('{"file": 1}', "expected a list"),
    ],
)
def test_what_is_no_annotation_file_ends_in_one_sentence(source, tmp_path, text, said, capsys):
    (source / "vggss.json").write_text(text)
    assert run_script(lambda: run(source, tmp_path / "out")) == 2
    assert re.match(f"error: {said}", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_video_annotated_twice_is_refused(source, tmp_path):
    rewrite(source, lambda annotations: annotations.append(annotations[0]))
    with pytest.raises(UserError, match="expected every video once in .*, found zpWuikVorYg_000032 twice"):
        run(source, tmp_path / "out")


def test_folders(source, tmp_path):
    """Another name needs the option, two usual names a decision, and what was found is said."""
    (source / "frames").rename(source / "extend_frames")
    with pytest.raises(UserError, match=r"expected one of the folders frames, .*, found audio, extend_frames"):
        run(source, tmp_path / "out")
    run(source, tmp_path / "out", "--images", "extend_frames")
    assert len(FolderDataset(tmp_path / "out")) == 4
    (source / "images").mkdir()
    (source / "frames").mkdir()
    with pytest.raises(UserError, match="expected one folder, found .*frames and .*images; say which .* --images"):
        run(source, tmp_path / "other")
    with pytest.raises(UserError, match="expected the unpacked archive at nowhere"):
        vggss.main(["--source", "nowhere", "--annotations", str(source / "vggss.json"), "--out", str(tmp_path / "o")])


def test_nothing_that_is_annotated_says_what_was_looked_for(source, tmp_path):
    (source / "other").mkdir()
    save_image(source / "other/holiday.jpg")
    (source / "sounds").mkdir()
    with pytest.raises(UserError) as raised:
        run(source, tmp_path / "out", "--images", "other", "--audio", "sounds")
    message = str(raised.value)
    assert "named like zpWuikVorYg_000032 or zpWuikVorYg_32000_42000" in message
    assert "found holiday in" in message
    assert "no sound in" in message
    assert not (tmp_path / "out").exists()


def test_evaluation_reads_the_folder(source, fake_models, tmp_path):
    run(source, tmp_path / "out")
    options = ["--draws", "50", "--methods", "cross_modal", "--limit", "4"]
    results = evaluation.main(
        [*options, "--test_data_path", str(tmp_path / "out"), "--output_dir", str(tmp_path / "results")]
    )
    assert (results.data["samples"], results.data["gt_empty"]) == (4, 1)
    assert len((tmp_path / "results/per_sample.csv").read_text().splitlines()) == 1 + 4 * 5  # cross_modal, baselines
    assert (tmp_path / "results/results.json").is_file()
