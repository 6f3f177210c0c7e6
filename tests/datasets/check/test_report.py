"""What a report says of a folder as a whole: silence where all is well, numbers, a digest."""

import hashlib
import os
import shutil

import numpy as np
import pytest

import datasets.check as check
from datasets.check import check_contents, check_headers
from datasets.check.pictures import PictureFacts
from datasets.check.sounds import sound_content
from datasets.manifest import write_manifest
from tests.datasets.check.check_folders import (
    add_sample,
    kill_the_process,
    left_half,
    manifest_of,
    noise,
    picture,
    save_mask,
    save_sound,
    sound_folder,
)
from utils.errors import UserError
from utils.types import Entry


def kinds(report, *severities):
    return [finding.kind for finding in report.findings if finding.severity in severities]


def text_of(report, kind):
    (found,) = [finding for finding in report.findings if finding.kind == kind]
    return found.text()


@pytest.mark.parametrize("check", [check_contents, check_headers])
def test_a_sound_folder_is_fit_and_without_a_fault(tmp_path, check):
    sound_folder(tmp_path)
    report = check(tmp_path)
    assert (kinds(report, "error", "warning"), report.samples) == ([], 3)
    assert report.verdict.startswith("fit for eval.py: 3 samples, 0 warnings")


def test_img_and_suffixes_in_capitals_are_accepted(tmp_path):
    add_sample(tmp_path, "a", 0, "img", ".PNG")
    add_sample(tmp_path, "b", 1, "img", ".jpg")
    (tmp_path / "wav" / "a.wav").rename(tmp_path / "wav" / "a.WAV")
    assert kinds(check_contents(tmp_path), "error", "warning") == []


def test_facts_are_told_as_numbers(tmp_path):
    sound_folder(tmp_path)
    picture(9, (480, 640)).save(tmp_path / "image" / "b.png")
    save_mask(tmp_path, "b", left_half((480, 640), background=255, foreground=255) * (np.arange(640) < 64))
    save_sound(tmp_path, "c", noise(9, 2.5))
    report = check_contents(tmp_path)
    assert text_of(report, "samples") == "3 samples, 3 with a mask, 0 with ignored pixels"
    assert text_of(report, "image_sizes") == "images: 64 x 48 to 640 x 480 (median 64 x 48) pixels"
    assert text_of(report, "sound_lengths") == "sounds: 1.0 to 2.5 (median 1.0) s"
    assert text_of(report, "sampling_rates") == "sampling rates: 8000 Hz"
    assert text_of(report, "foreground") == "foreground of masks that have one: 10 to 50 (median 50) % of the image"


def test_the_digest_can_be_had_with_common_tools(tmp_path):
    sound_folder(tmp_path, ("b", "a"))
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n" for name in files]
    report = check_contents(tmp_path)
    assert report.digest == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert f"\ndigest {report.digest[:16]}\nfit for eval.py" in report.text()


def test_the_digest_changes_with_a_byte_and_a_name_and_nothing_else(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    add_sample(one, "a_1", 0)
    add_sample(one, "a_2", 1)
    add_sample(other, "a_2", 1, "img")
    add_sample(other, "a_1", 0, "img")
    for root in (one, other):
        (root / "wav" / "a_2.wav").unlink()
    (one / "wav" / "a_2.wav").write_bytes((one / "wav" / "a_1.wav").read_bytes())
    os.link(other / "wav" / "a_1.wav", other / "wav" / "a_2.wav")
    write_manifest(manifest_of(("a_1", "a_2")), other)
    digest = check_contents(one).digest
    assert check_contents(other).digest == digest
    changed = bytearray((one / "wav" / "a_2.wav").read_bytes())
    changed[-1] ^= 1
    (one / "wav" / "a_2.wav").write_bytes(changed)
    assert check_contents(one).digest != digest
    for folder in ("img", "wav", "gt_seg"):
        (path,) = (other / folder).glob("a_2.*")
        path.rename(path.with_stem("a_3"))
    assert check_contents(other).digest != digest


def test_hard_links_are_read_once(tmp_path, monkeypatch):
    sound_folder(tmp_path, ("a_1", "a_2", "b"))
    for stem in ("a_2", "b"):
        (tmp_path / "wav" / f"{stem}.wav").unlink()
        os.link(tmp_path / "wav" / "a_1.wav", tmp_path / "wav" / f"{stem}.wav")
    seen = []
    monkeypatch.setitem(check.CONTENTS, "sounds", lambda path: seen.append(path) or sound_content(path))
    report = check_contents(tmp_path)
    assert len(seen) == 1
    assert text_of(report, "same_sound").startswith("1 sound shared by samples of different groups (a_1 = b);")


def test_frames_of_a_clip_share_their_sound(tmp_path):
    sound_folder(tmp_path, ("clip_1", "clip_2"))
    (tmp_path / "wav" / "clip_2.wav").write_bytes((tmp_path / "wav" / "clip_1.wav").read_bytes())
    report = check_contents(tmp_path)
    assert (kinds(report, "warning"), text_of(report, "same_sound_in_group")[:7]) == ([], "1 sound")
    write_manifest(manifest_of(("clip_1", "clip_2")), tmp_path)  # which says that they are two groups
    assert kinds(check_contents(tmp_path), "warning") == ["same_sound"]
    together = manifest_of(())
    together.samples.update({stem: Entry("one") for stem in ("clip_1", "clip_2")})
    write_manifest(together, tmp_path)
    assert kinds(check_contents(tmp_path), "warning") == []


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [("manifest.unfinished.json", "{}", "unfinished_import"), ("manifest.json", "[]", "strange_manifest")],
)
def test_a_manifest_that_cannot_be_used_is_an_error(tmp_path, name, content, kind):
    sound_folder(tmp_path)
    (tmp_path / name).write_text(content)
    report = check_contents(tmp_path)
    assert (kinds(report, "error"), kinds(report, "warning")) == ([kind], [])
    assert name in text_of(report, kind)


@pytest.mark.parametrize(("missing", "kind"), [("wav", "no_folder"), ("gt_seg", "no_gt")])
def test_a_missing_folder_is_an_error_of_its_own(tmp_path, missing, kind):
    sound_folder(tmp_path)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    report = check_contents(tmp_path)
    assert kinds(report, "error") == [kind]
    assert f"no folder {missing} in {tmp_path}" in text_of(report, kind)


def test_headers_suffice_for_what_stands_in_them(tmp_path):
    sound_folder(tmp_path)
    (tmp_path / "image" / "a.png").write_bytes(b"no picture")
    (tmp_path / "wav" / "b.wav").write_bytes((tmp_path / "wav" / "b.wav").read_bytes()[:-100])
    save_mask(tmp_path, "c", left_half((48, 20)))
    report = check_headers(tmp_path)
    assert kinds(report, "error") == ["unreadable_images", "masks_of_other_shape", "cut_sounds"]
    assert kinds(check_headers(tmp_path, limit=1), "error") == ["unreadable_images"]
    assert report.digest is None


@pytest.mark.parametrize("check", [check_contents, check_headers])
def test_processes_change_nothing(tmp_path, check):
    sound_folder(tmp_path, tuple(f"s{number}" for number in range(20)))
    (tmp_path / "image" / "s3.png").write_bytes(b"no picture")
    save_mask(tmp_path, "s7", left_half() * 0)
    assert check(tmp_path, num_workers=2) == check(tmp_path)


def test_a_process_that_is_killed_ends_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(check.HEADERS, "sounds", kill_the_process)
    with pytest.raises(UserError, match="found one killed, perhaps for want of memory; take fewer with --num_workers"):
        check_headers(sound_folder(tmp_path), num_workers=1)


def test_without_every_file_there_is_no_digest(tmp_path, monkeypatch):
    monkeypatch.setitem(check.CONTENTS, "images", lambda path: PictureFacts(problem="permission denied"))
    report = check_contents(sound_folder(tmp_path))
    assert (report.digest, kinds(report, "error")) == (None, ["unreadable_images"])
    assert "digest" not in report.text()


def test_a_folder_with_every_kind_of_fault_is_told_in_one_run(tmp_path):
    """Layout, pairs, files that cannot be read and the manifest: nothing hides what comes after it."""
    sound_folder(tmp_path, ("a", "b", "c", "d"))
    (tmp_path / "gt_ignore").write_text("no folder")
    (tmp_path / "wav" / "c.wav").unlink()
    (tmp_path / "wav" / "clip.mp4").touch()
    (tmp_path / "image" / "a.png").write_bytes(b"nothing")
    (tmp_path / "gt_seg" / "b.png").write_bytes(b"")
    (tmp_path / "manifest.json").write_text("[]")
    report = check_headers(tmp_path)
    assert {one.kind for one in report.errors} == {
        *("no_folder", "stray", "no_partner", "strange_manifest", "unreadable_images", "unreadable_masks")
    }
    assert "\n         for one: ffmpeg -i wav/NAME wav/STEM.wav\n" in report.text()


def test_a_folder_without_images_is_checked_for_the_rest(tmp_path):
    sound_folder(tmp_path)
    shutil.rmtree(tmp_path / "image")
    (tmp_path / "wav" / "b.wav").write_bytes(b"")
    assert [one.kind for one in check_headers(tmp_path).errors] == ["no_folder", "unreadable_sounds"]
