"""The archives as published, in miniature, become dataset folders; what they lack is said and counted."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import eval as evaluation
from datasets import avsbench
from datasets.avsbench import find_archive, main, read_clips
from datasets.folder import FolderDataset
from datasets.manifest import MANIFEST, UNFINISHED, read_manifest
from utils.errors import UserError, run_script

ROOT = Path(avsbench.__file__).resolve().parent.parent
S4_CLIPS = [
    ("-a.b_c", 0, "dog_barking", "test"),
    ("UvHjKXLqmC8", 3, "helicopter", "test"),
    ("UvHjKXLqmC8_1", 5, "helicopter", "test"),
    ("_val-1", 1, "dog_barking", "val"),
    ("train.1", 2, "dog_barking", "train"),
    ("train.2", 0, "race_car", "train"),
]
MS3_CLIPS = [("jME9QyhHS_0_1", "test"), ("-b.mp4_1", "test"), ("mbGrFe9TUbI", "val"), ("mbGrFe9TUbI_1", "train")]
LEFT_BEHIND = (".DS_Store", "Thumbs.db", "._a.png")
SIZE = 224


def foreground(k: int) -> np.ndarray:
    """(224, 224) bool: 20 k columns from the left."""
    return np.broadcast_to(np.arange(SIZE) < 20 * k, (SIZE, SIZE))


def save_frame(path: Path, k: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.linspace(0, 255, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint8)
    Image.fromarray(np.stack([grey, np.where(foreground(k), 200, 40).astype(np.uint8), grey.T], axis=2)).save(path)


def save_mask(path: Path, mask: np.ndarray, mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    if mode == "objects":  # two colours through a palette
        labels = mask.astype(np.uint8)
        labels[SIZE // 2 :] *= 2
        image = Image.fromarray(labels)
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        mode = "P"
    elif mode == "colours":
        image = Image.fromarray(mask[..., None] * np.array([64, 0, 32], np.uint8))
        mode = "RGB"
    image.convert(mode).save(path)


def save_sound(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = np.random.default_rng(seed).integers(-12000, 12000, (5 * 16000, 2), np.int16)
    soundfile.write(path, channels, 16000, subtype="PCM_16")


def leave_behind(root: Path) -> None:
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in LEFT_BEHIND:
            (folder / name).write_bytes(b"\0\1")


def write_list(path: Path, rows) -> None:
    lines = [",".join(map(str, row)) for row in rows]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, ""]).encode())


@pytest.fixture
def s4(tmp_path):
    root = tmp_path / "AVSBench-object" / "Single-source"
    data = root / "s4_data"
    for number, (clip, _, category, split) in enumerate(S4_CLIPS):
        folder = Path(split, category, clip)
        for k in range(1, 6):
            save_frame(data / "visual_frames" / folder / f"{clip}_{k}.png", k)
            if split != "train" or k == 1:
                save_mask(
                    data / "gt_masks" / folder / f"{clip}_{k}.png", foreground(k), ("L", "1", "LA", "RGB", "P")[k - 1]
                )
        save_sound(data / "audio_wav" / split / category / f"{clip}.wav", number)
    write_list(root / "s4_meta_data.csv", [("name", "start", "category", "split"), *S4_CLIPS])
    leave_behind(root)
    return root


@pytest.fixture
def ms3(tmp_path):
    """The first frame of each clip has a blank mask, so has the second of "jME9QyhHS_0_1"."""
    root = tmp_path / "AVSBench-object" / "Multi-sources"
    data = root / "ms3_data"
    for number, (clip, split) in enumerate(MS3_CLIPS):
        for k in range(1, 6):
            save_frame(data / "visual_frames" / clip / f"{clip}.mp4_{k}.png", k)
            blank = k == 1 or (clip, k) == ("jME9QyhHS_0_1", 2)
            mode = ("L", "P", "objects", "colours", "LA")[k - 1]
            save_mask(data / "gt_masks" / split / clip / f"{clip}_{k}.png", foreground(0 if blank else k), mode)
        save_sound(data / "audio_wav" / split / f"{clip}.wav", number)
    write_list(root / "ms3_meta_data.csv", [("video_id", "split"), *MS3_CLIPS])
    leave_behind(root)
    return root


def run(subset, source, out, *further):
    return main(["--subset", subset, "--source", str(source), "--out", str(out), *further])


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def states(root: Path) -> dict[str, tuple]:
    found = {path.relative_to(root): path.stat() for path in root.rglob("*") if path.is_file()}
    return {str(path): (state.st_ino, state.st_mtime_ns, state.st_size) for path, state in found.items()}


def test_s4_has_five_samples_a_clip(s4, tmp_path):
    manifest = run("s4", s4, tmp_path / "out")
    clips = ("-a.b_c", "UvHjKXLqmC8", "UvHjKXLqmC8_1")
    dataset = FolderDataset(tmp_path / "out")
    assert dataset.ids == sorted(f"{clip}_{k}" for clip in clips for k in range(1, 6))
    assert manifest == read_manifest(tmp_path / "out")
    assert manifest.counts == {"samples": 15, "groups": 3, "categories": 2, "blank_masks": 0, "left_out": 0}
    entry = manifest.samples["UvHjKXLqmC8_1_1"]  # the first frame of UvHjKXLqmC8_1
    assert (entry.group, entry.categories) == ("UvHjKXLqmC8_1", ("helicopter",))
    assert manifest.samples["UvHjKXLqmC8_1"].group == "UvHjKXLqmC8"
    assert (manifest.benchmark, manifest.options) == ("AVSBench-S4", {"subset": "s4", "split": "test"})
    for sample in dataset:
        np.testing.assert_array_equal(sample.gt_mask, foreground(int(sample.id[-1])))


def test_ms3_keeps_blank_masks_and_knows_no_categories(ms3, tmp_path):
    manifest = run("ms3", ms3, tmp_path / "out")
    dataset = FolderDataset(tmp_path / "out")
    assert dataset.ids == [f"{clip}_{k}" for clip in ("-b.mp4_1", "jME9QyhHS_0_1") for k in range(1, 6)]
    assert manifest.counts == {"samples": 10, "groups": 2, "categories": 0, "blank_masks": 3, "left_out": 0}
    blank = ["-b.mp4_1_1", "jME9QyhHS_0_1_1", "jME9QyhHS_0_1_2"]
    assert sorted(stem for stem, entry in manifest.samples.items() if entry.blank) == blank
    for sample in dataset:
        np.testing.assert_array_equal(sample.gt_mask, foreground(0 if sample.id in blank else int(sample.id[-1])))
    assert any("blank" in note for note in manifest.notes)


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_masks_are_0_and_255_whatever_their_mode_was(subset, s4, ms3, tmp_path):
    run(subset, {"s4": s4, "ms3": ms3}[subset], tmp_path / "out")
    values = set()
    for path in (tmp_path / "out" / "gt_seg").iterdir():
        mask = Image.open(path)
        assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (SIZE, SIZE))
        values |= set(np.unique(mask).tolist())
    assert values == {0, 255}


def test_a_training_clip_of_s4_has_one_sample(s4, tmp_path):
    manifest = run("s4", s4, tmp_path / "out", "--split", "train")
    assert sorted(manifest.samples) == ["train.1_1", "train.2_1"] == FolderDataset(tmp_path / "out").ids
    assert any(note.startswith("Only the first frame") for note in manifest.notes)
    assert manifest.published == {"samples": 3452, "groups": 3452}


@pytest.mark.parametrize(("split", "clip"), [("val", "mbGrFe9TUbI"), ("train", "mbGrFe9TUbI_1")])
def test_a_clip_is_not_taken_for_a_frame_of_another(ms3, tmp_path, split, clip):
    run("ms3", ms3, tmp_path / "out", "--split", split)
    assert FolderDataset(tmp_path / "out").ids == [f"{clip}_{k}" for k in range(1, 6)]


def test_sounds_are_the_mean_of_both_channels_and_shared_by_the_frames(s4, tmp_path):
    out = tmp_path / "out"
    run("s4", s4, out)
    channels, _ = soundfile.read(s4 / "s4_data/audio_wav/test/dog_barking/-a.b_c.wav", dtype="int16")
    written, rate = soundfile.read(out / "wav/-a.b_c_4.wav", dtype="int16")
    np.testing.assert_array_equal(written, np.rint(channels.mean(1)))
    info = soundfile.info(out / "wav/-a.b_c_4.wav")
    assert (rate, info.subtype, info.channels, info.duration) == (16000, "PCM_16", 1, 5)
    assert len({(out / f"wav/-a.b_c_{k}.wav").stat().st_ino for k in range(1, 6)}) == 1
    assert (out / "image/-a.b_c_4.png").samefile(s4 / "s4_data/visual_frames/test/dog_barking/-a.b_c/-a.b_c_4.png")
    assert (out / "gt_seg/-a.b_c_1.png").samefile(s4 / "s4_data/gt_masks/test/dog_barking/-a.b_c/-a.b_c_1.png")


def test_the_archive_stays_as_it_was(s4, ms3, tmp_path):
    archive = tmp_path / "AVSBench-object"
    before, bytes_before = states(archive), contents(archive)
    for subset in ("s4", "ms3"):
        for further in ([], ["--copy"]):
            run(subset, archive, tmp_path / "_".join([subset, *further]), *further)
    assert (states(archive), contents(archive)) == (before, bytes_before)
    assert contents(tmp_path / "s4") == contents(tmp_path / "s4_--copy")
    copies = [path for path in (tmp_path / "ms3_--copy").rglob("*") if path.is_file()]
    assert {path.stat().st_nlink for path in copies} == {1}


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_the_source_may_be_any_folder_around_the_data(s4, ms3, tmp_path, subset):
    root = {"s4": s4, "ms3": ms3}[subset]
    data, clip_list = root / f"{subset}_data", root / f"{subset}_meta_data.csv"
    for source in (data, root, root.parent, root.parent.parent):
        assert find_archive(source, subset) == (data, clip_list)
    clip_list.rename(data / clip_list.name)
    assert find_archive(root, subset) == (data, data / clip_list.name)
    (tmp_path / "__MACOSX" / data.name / "gt_masks").mkdir(parents=True)  # what unpacking on a Mac leaves
    assert find_archive(tmp_path, subset)[0] == data


def test_an_archive_that_is_not_whole_is_refused(s4, ms3, tmp_path):
    with pytest.raises(UserError, match="expected the unpacked archive at .*nowhere, found no folder"):
        find_archive(tmp_path / "nowhere", "s4")
    with pytest.raises(
        UserError, match=r"expected one folder s4_data with gt_masks .* found none .*Multi-sources holds .*ms3_data"
    ):
        find_archive(ms3, "s4")
    (s4 / "s4_meta_data.csv").rename(tmp_path / "list.csv")
    with pytest.raises(UserError, match=r"expected the list s4_meta_data\.csv beside .*s4_data or in it, found none"):
        find_archive(s4, "s4")
    (s4 / "s4_data/audio_wav").rename(s4 / "s4_data/audio_log_mel")
    with pytest.raises(UserError, match="found no audio_wav; masks alone are not the whole archive"):
        find_archive(s4, "s4")
    (tmp_path / "another/s4_data/gt_masks").mkdir(parents=True)
    with pytest.raises(UserError, match=r"found several \(.*another/s4_data, .*Single-source/s4_data\)"):
        find_archive(tmp_path, "s4")


@pytest.mark.parametrize(
    "text",
    [
        "name,start,category,split\nx,0,dog,test\n",
        "Video Name;start;Category;Split\r\nx;0;dog;Test\r\n\r\n",
        "clip\tseconds\twhat\tsplit\nx\t0\tdog\ttest",
        ",name,start,category,split\n0,x,0,dog,test\n",
    ],
)
def test_lists_of_other_headers_and_separators_are_read(tmp_path, text):
    (tmp_path / "list.csv").write_text(text, newline="")
    assert read_clips(tmp_path / "list.csv", "s4") == [avsbench.Clip("x", "test", "dog")]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (
            b"name,start,category\nx,0,dog\n",
            "columns for clip, start, category and split .* found 'name,start,category'",
        ),
        (b"", "in the first line of .*list.csv, found ''"),
        (b"video_id,split\nx,test\n", "columns for clip, start, category and split"),
        (b"name,start,category,split\nx,0\n", "expected 4 values in line 2 of .*list.csv, found 'x,0'"),
        ("name,split\n".encode("utf-16"), "expected a list in UTF-8"),
    ],
)
def test_what_is_no_list_is_refused_with_what_was_found(tmp_path, data, match):
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(UserError, match=match):
        read_clips(tmp_path / "list.csv", "s4")


def test_a_split_that_the_list_does_not_have_is_refused(ms3, tmp_path):
    write_list(ms3 / "ms3_meta_data.csv", [("video_id", "split"), ("a", "train"), ("b", "valid")])
    with pytest.raises(UserError, match="expected clips of the split test in .*, found train, valid"):
        run("ms3", ms3, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_broken_or_missing_is_left_out_named_and_ends_in_2(s4, tmp_path, capsys):
    frames, masks, sounds = (s4 / "s4_data" / name / "test" for name in avsbench.FOLDERS)
    frame = frames / "dog_barking/-a.b_c/-a.b_c_2.png"
    frame.write_bytes(frame.read_bytes()[:200])
    (masks / "dog_barking/-a.b_c/-a.b_c_4.png").unlink()
    (sounds / "helicopter/UvHjKXLqmC8.wav").write_text("<html>Sign in</html>")
    (sounds / "helicopter/UvHjKXLqmC8_1.wav").unlink()
    rows = [("name", "start", "category", "split"), *S4_CLIPS, ("gone", 0, "race_car", "test")]
    write_list(s4 / "s4_meta_data.csv", rows)
    out = tmp_path / "out"
    assert run_script(lambda: run("s4", s4, out)) == 2
    said = capsys.readouterr()
    assert "counts: 3 samples, published 3700; 1 groups, published 740\n" in said.out
    assert "error: expected to read all 20 samples, found 17 that cannot be read, which are left out (" in said.err
    assert "-a.b_c_2: " in said.err and "Traceback" not in said.err
    left_out = read_manifest(out).left_out
    reasons = {
        "-a.b_c_2": "cannot read the image .*-a.b_c_2.png",
        "-a.b_c_4": "expected an image file at .*gt_masks.*-a.b_c_4.png, found nothing",
        "UvHjKXLqmC8_3": "cannot read the sound .*UvHjKXLqmC8.wav",
        "UvHjKXLqmC8_1_3": "expected a sound file at .*UvHjKXLqmC8_1.wav, found nothing",
        "gone_5": "expected an image file at .*visual_frames.*gone_5.png, found nothing",
    }
    for stem, reason in reasons.items():
        with pytest.raises(UserError, match=reason):
            raise UserError(left_out[stem])
    assert FolderDataset(out).ids == ["-a.b_c_1", "-a.b_c_3", "-a.b_c_5"]


def test_clips_that_the_list_does_not_name_are_said(s4, tmp_path, capsys):
    write_list(s4 / "s4_meta_data.csv", [("name", "start", "category", "split"), *S4_CLIPS[1:]])
    manifest = run("s4", s4, tmp_path / "out")
    note = "Clip folders that s4_meta_data.csv does not name are left alone: 1 (dog_barking/-a.b_c)."
    assert manifest.notes[-1] == note
    assert f"note: {note}\n" in capsys.readouterr().out
    assert manifest.counts["groups"] == 2


def test_published_counts_are_printed_where_they_differ(ms3, tmp_path, capsys, monkeypatch):
    run("ms3", ms3, tmp_path / "out")
    assert "counts: 10 samples, published 320; 2 groups, published 64\n" in capsys.readouterr().out
    monkeypatch.setitem(avsbench.PUBLISHED, ("ms3", "test"), (2, 5))
    run("ms3", ms3, tmp_path / "out")
    assert "counts: as published\n" in capsys.readouterr().out


def test_processes_change_nothing(ms3, tmp_path):
    (ms3 / "ms3_data/visual_frames/-b.mp4_1/-b.mp4_1.mp4_3.png").write_bytes(b"no image")
    for workers in ("0", "2"):
        with pytest.raises(UserError, match="found 1 that cannot be read"):
            run("ms3", ms3, tmp_path / workers, "--num_workers", workers)
    assert contents(tmp_path / "0") == contents(tmp_path / "2")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_import_goes_on_to_the_same_bytes_and_a_second_run_does_nothing(ms3, tmp_path):
    out = tmp_path / "out"
    script = (
        "import os, signal, sys; from datasets.avsbench import main\n"
        "replace, left = os.replace, [13]\n"
        "def counted(*paths):\n"
        "    left[0] -= 1\n"
        "    replace(*paths) if left[0] else os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = counted\n"
        f"main(['--subset', 'ms3', '--source', {str(ms3)!r}, '--out', {str(out)!r}])"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (out / UNFINISHED).exists() and len(list((out / "wav").glob("*.wav"))) < 10
    run("ms3", ms3, out)
    run("ms3", ms3, tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")
    before = states(out)
    run("ms3", ms3, out)
    changed = {name for name, state in states(out).items() if before.get(name) != state}
    assert changed == {MANIFEST} and contents(out) == contents(tmp_path / "undisturbed")


def test_another_split_does_not_mix_with_what_is_there(ms3, tmp_path):
    run("ms3", ms3, tmp_path / "out")
    with pytest.raises(UserError, match=r"found AVSBench-MS3 \(subset ms3, split test\); choose another --out"):
        run("ms3", ms3, tmp_path / "out", "--split", "val")
    assert len(FolderDataset(tmp_path / "out")) == 10


def test_mistakes_end_in_one_sentence_and_2(tmp_path, capsys):
    assert run_script(lambda: run("s4", tmp_path / "nowhere", tmp_path / "out")) == 2
    assert capsys.readouterr().err.startswith("error: expected the unpacked archive at ")
    with pytest.raises(SystemExit) as ended:
        run("s5", tmp_path, tmp_path / "out")
    assert ended.value.code == 2


def test_an_imported_clip_is_evaluated(ms3, fake_models, tmp_path):
    write_list(ms3 / "ms3_meta_data.csv", [("video_id", "split"), MS3_CLIPS[0]])
    out, results = tmp_path / "out", tmp_path / "results"
    run("ms3", ms3, out)
    arguments = ["--methods", "cross_modal", "--test_data_path", str(out), "--draws", "50"]
    evaluation.main([*arguments, "--output_dir", str(results), "--device", "cpu"])
    found = json.loads((results / "results.json").read_text(encoding="utf-8"))
    assert (found["data"]["samples"], found["data"]["gt_empty"]) == (5, 2)
    assert "F max (per clip of 5)" in found["scores"]["cross_modal"]["avsbench"]
