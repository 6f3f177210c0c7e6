"""The folder layout is read as written down, and what is not in it is refused by name."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from datasets.batches import iterate_batches
from datasets.check import check_contents
from datasets.findings import Finding
from datasets.folder import FolderDataset, faults_of_samples
from datasets.layout import read_layout
from utils.errors import UserError
from utils.media import images

SIZE = (12, 20)  # (H, W)


def add_sample(root: Path, stem: str, image="image", image_suffix=".png", wav_suffix=".wav", mask_size=SIZE) -> None:
    """Writes one sample whose image has one grey level, whose mask is its left half and whose sound is 1 s of 0.25."""
    for folder in (image, "wav", "gt_seg"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1], (90, 90, 90)).save(root / image / f"{stem}{image_suffix}")
    soundfile.write(root / "wav" / f"{stem}{wav_suffix}", np.full((8000, 2), 0.25), 8000)
    mask = np.zeros(mask_size, np.uint8)
    mask[:, : mask_size[1] // 2] = 255
    Image.fromarray(mask).save(root / "gt_seg" / f"{stem}.png")


@pytest.fixture
def root(tmp_path):
    for stem in ("b", "a.mp4_2", "a.mp4_1"):
        add_sample(tmp_path, stem)
    return tmp_path


def test_a_sample_is_read_as_the_types_say(root):
    dataset = FolderDataset(root)
    assert (len(dataset), dataset.ids, dataset.has_gt) == (3, ["a.mp4_1", "a.mp4_2", "b"], True)
    sample = dataset[2]
    assert (sample.id, sample.sampling_rate) == ("b", 8000)
    assert (sample.image.shape, sample.image.dtype, set(sample.image.ravel())) == ((12, 20, 3), np.uint8, {90})
    assert (sample.waveform.shape, sample.waveform.dtype) == ((8000,), np.float32)
    assert sample.waveform == pytest.approx(0.25, abs=1e-4)
    assert (sample.gt_mask.dtype, sample.gt_mask.sum(0).tolist()) == (bool, [12] * 10 + [0] * 10)


def test_the_img_folder_and_any_case_of_suffixes_are_read(tmp_path):
    add_sample(tmp_path, "a", image="img", image_suffix=".JPG", wav_suffix=".WAV")
    add_sample(tmp_path, "b", image="img", image_suffix=".jpeg", wav_suffix=".flac")
    assert [sample.id for sample in FolderDataset(tmp_path)] == ["a", "b"]


def test_limit_keeps_the_first_by_name(root):
    assert FolderDataset(root, limit=2).ids == ["a.mp4_1", "a.mp4_2"]
    assert len(FolderDataset(root, limit=99)) == 3


def test_hidden_and_left_behind_files_are_passed_over(root):
    for name in (".DS_Store", "._b.png", "Thumbs.db"):
        (root / "image" / name).write_bytes(b"\0")
    assert len(FolderDataset(root)) == 3


def test_without_ground_truth_masks_are_none(root):
    for path in (root / "gt_seg").iterdir():
        path.unlink()
    (root / "gt_seg").rmdir()
    dataset = FolderDataset(root)
    assert (dataset.has_gt, dataset[0].gt_mask) == (False, None)


def test_stems_that_differ_only_in_unicode_form_are_one(root):
    add_sample(root, "caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    (sound,) = (root / "wav").glob("caf*")
    sound.rename(root / "wav" / "cafe\N{COMBINING ACUTE ACCENT}.wav")
    assert "caf\N{LATIN SMALL LETTER E WITH ACUTE}" in FolderDataset(root).ids


def test_a_mask_of_another_size_is_brought_to_its_image(tmp_path):
    add_sample(tmp_path, "a", mask_size=(24, 40))
    np.testing.assert_array_equal(FolderDataset(tmp_path)[0].gt_mask.sum(0), [12] * 10 + [0] * 10)


def test_a_large_image_and_its_mask_are_brought_to_the_size_that_is_worked_on(tmp_path, monkeypatch):
    add_sample(tmp_path, "a", mask_size=(24, 40))
    monkeypatch.setattr(images, "LONGEST_SIDE", 10)
    sample = FolderDataset(tmp_path)[0]
    assert (sample.image.shape, sample.own_size) == ((6, 10, 3), SIZE)
    np.testing.assert_array_equal(sample.gt_mask, np.arange(10)[None].repeat(6, 0) < 5)


def test_a_mask_that_lies_across_its_image_is_refused(tmp_path):
    add_sample(tmp_path, "a", mask_size=SIZE[::-1])
    with pytest.raises(UserError, match=r"a.png to be 20x12 pixels like its upright image, found 12x20; rotate it"):
        FolderDataset(tmp_path)[0]


def test_missing_partners_are_counted_and_named(root):
    for stem in ("c", "d", "e", "f"):
        add_sample(root, stem)
        (root / "wav" / f"{stem}.wav").unlink()
    (root / "gt_seg" / "b.png").unlink()
    with pytest.raises(
        UserError, match=r"4 files in image without a partner in wav \(c, d, e and 1 more\); add what is"
    ):
        FolderDataset(root)
    for stem in ("c", "d", "e", "f"):
        (root / "image" / f"{stem}.png").unlink()
    with pytest.raises(UserError) as caught:
        FolderDataset(root)
    assert str(caught.value) == (
        f"expected a dataset folder at {root}, found 1 file in image without a partner in gt_seg (b); "
        f"add what is missing or remove them (and 1 further fault; python -m datasets.check {root} names them all)"
    )


def test_two_files_of_one_stem_are_refused(root):
    add_sample(root, "b", image_suffix=".jpg")
    with pytest.raises(UserError, match=r"1 stem with several files in image \(b.jpg and b.png\); keep one"):
        FolderDataset(root)


def test_files_of_another_kind_and_folders_are_refused(root):
    (root / "wav" / "notes.txt").touch()
    with pytest.raises(UserError, match=r"found 1 stray name in wav \(notes.txt\); move them away or .*\.wav"):
        FolderDataset(root)
    (root / "wav" / "notes.txt").unlink()
    (root / "image" / "dog").mkdir()
    (root / "image" / "cat.png").symlink_to("nowhere")
    names = r"\(cat.png: a link that leads nowhere, dog: a folder\)"
    with pytest.raises(UserError, match=rf"2 stray names in image {names}"):
        FolderDataset(root)


def test_wrong_roots_are_refused_with_what_is_there(root, tmp_path_factory):
    with pytest.raises(UserError, match=r"expected a dataset folder at .*nowhere, found none"):
        FolderDataset(root / "nowhere")
    with pytest.raises(
        UserError, match=r"expected the folders image, wav, gt_seg in .*wav, found a.mp4_1.wav, a.mp4_2.wav"
    ):
        FolderDataset(root / "wav")
    (root / "img").mkdir()
    with pytest.raises(UserError, match="found both folders image and img; remove or rename one"):
        FolderDataset(root)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(UserError, match="found nothing; see the data layout"):
        FolderDataset(empty)
    (empty / "image").mkdir()
    with pytest.raises(UserError, match=r"expected a dataset folder at .*, found no folder wav in .*; see the data"):
        FolderDataset(empty)
    (empty / "wav").mkdir()
    with pytest.raises(UserError, match="found no file of a known kind in image; see the data layout"):
        FolderDataset(empty)


@pytest.mark.parametrize("name", ["image", "img", "wav", "gt_seg", "gt_ignore"])
def test_a_file_in_a_folder_s_place_is_refused(root, name):
    shutil.rmtree(root / name, ignore_errors=True)
    (root / name).write_text("no folder")
    with pytest.raises(UserError, match=f"found a file in the place of the folder {root / name}; see the data"):
        FolderDataset(root)
    (root / name).unlink()
    (root / name).symlink_to(root / "nowhere")
    with pytest.raises(UserError, match=f"found a link that leads nowhere in the place of .*{name}; see the data"):
        FolderDataset(root)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_come_in_order_for_any_number_of_processes(root, num_workers):
    batches = list(iterate_batches(FolderDataset(root), [range(2), range(2, 3)], num_workers))
    assert [[sample.id for sample in batch] for batch in batches] == [["a.mp4_1", "a.mp4_2"], ["b"]]
    assert batches[1][0].gt_mask.sum() == 120


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_cannot_be_read_has_its_own_sentence_in_its_place(root, num_workers):
    (root / "gt_seg" / "a.mp4_2.png").write_bytes(b"not what the name says")
    batches = iterate_batches(FolderDataset(root), [range(2), (2,)], num_workers)
    (first, fault), (last,) = batches
    assert [first.id, last.id] == ["a.mp4_1", "b"] and isinstance(fault, UserError)
    assert re.match(r"^cannot read the image .*a.mp4_2.png: it is no image Pillow knows; [^\n]*$", str(fault))


def test_what_a_data_set_is_lies_in_names_and_contents(root, tmp_path_factory):
    dataset = FolderDataset(root)
    before = dataset.describe()["contents_sha256"]
    assert before == check_contents(root).digest
    copy = tmp_path_factory.mktemp("copy") / "set"
    shutil.copytree(root, copy, copy_function=shutil.copy)  # with other time stamps
    for path in copy.rglob("*.png"):
        os.utime(path, (0, 0))
    (copy / "image").rename(copy / "img")
    assert FolderDataset(copy).digests == dataset.digests
    assert FolderDataset(copy).describe()["contents_sha256"] == before
    sound = bytearray((copy / "wav" / "b.wav").read_bytes())
    status = (copy / "wav" / "b.wav").stat()
    sound[-1] ^= 1
    (copy / "wav" / "b.wav").write_bytes(sound)  # as long as before, and as old
    os.utime(copy / "wav" / "b.wav", ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = FolderDataset(copy)
    assert changed.describe()["contents_sha256"] == check_contents(copy).digest != before
    assert [stem for stem in dataset.ids if changed.digests[stem] != dataset.digests[stem]] == ["b"]


def test_a_file_that_cannot_be_read_is_named(root):
    dataset = FolderDataset(root)
    (root / "wav" / "b.wav").unlink()
    with pytest.raises(UserError, match=r"^cannot read .*b.wav: No such file or directory; mend it or take the sample"):
        dataset.describe()


def test_samples_are_left_out_and_their_faults_told_from_those_of_the_folder(root):
    found = [
        Finding("error", "cut_sounds", "1 sound shorter than the header says", ("wav/b.wav: 3 of 9 bytes",)),
        Finding("error", "unknown_samples", "2 samples that manifest.json does not name", ("a.mp4_2", "b")),
    ]
    faults, others = faults_of_samples(found, read_layout(root))
    assert others == []
    assert faults == {
        "a.mp4_2": "unknown samples (a.mp4_2)",
        "b": "cut sounds (wav/b.wav: 3 of 9 bytes); unknown samples (b)",
    }
    assert FolderDataset(root, skipped=faults).ids == ["a.mp4_1"]
    for names in ((), ("c",), ("image",), ("wav/b.mp3: cut", "b")):
        of_folder = Finding("error", "no_folder", "no folder", names)
        assert faults_of_samples([*found, of_folder], read_layout(root)) == (faults, [of_folder])


def test_a_sample_that_is_left_out_moves_no_other_into_another_group(tmp_path):
    for stem in "abcdef":
        add_sample(tmp_path, stem)
    for skipped in ({}, {"b": "cut"}, {"a": "cut", "f": "cut"}):
        entries, unit = FolderDataset(tmp_path, skipped=skipped).entries(group_size=3)
        assert {stem: entry.group for stem, entry in entries.items()} == {
            stem: "a" if stem < "d" else "d" for stem in "abcdef" if stem not in skipped
        }
        assert unit == "clip"


def test_pixels_to_be_ignored_are_read_where_there_are_any(root):
    (root / "gt_ignore").mkdir()
    ignore = np.zeros(SIZE, np.uint8)
    ignore[0] = 255
    Image.fromarray(ignore).save(root / "gt_ignore" / "b.png")
    first, _, last = FolderDataset(root)
    assert first.gt_ignore is None
    assert (last.gt_ignore.dtype, last.gt_ignore.sum(1).tolist()) == (bool, [20] + [0] * 11)
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(root / "gt_ignore" / "b.png")
    with pytest.raises(UserError, match=r"expected pixels that count in .*b.png, found none; remove the sample"):
        FolderDataset(root)[2]
    (root / "gt_ignore" / "b.png").rename(root / "gt_ignore" / "c.png")
    with pytest.raises(UserError, match=r"found 1 file in gt_ignore without a partner in gt_seg \(c\); remove them"):
        FolderDataset(root)


def test_a_folder_whose_import_was_not_finished_is_refused(root):
    (root / "manifest.unfinished.json").write_text("{}")
    with pytest.raises(UserError, match="expected a finished import .* run the import's command again"):
        FolderDataset(root)
