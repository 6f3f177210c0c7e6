"""An import writes each sample whole or not at all, goes on where it was killed, and never touches its source."""

import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from datasets.folder import FolderDataset
from datasets.importing import Entry, Item, Sound, import_and_report, run_import
from datasets.importing.ground_truth import MaskFile
from datasets.layout import read_layout
from datasets.manifest import MANIFEST, UNFINISHED, Manifest, read_manifest
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
RATE = 8000


class Halves:
    """A mask source without a file: the left half is foreground, of the right half nothing counts."""

    def read(self, size):
        mask = np.zeros(size, bool)
        mask[:, : size[1] // 2] = True
        return mask, ~mask


class AllIgnored:
    def read(self, size):
        return np.zeros(size, bool), np.ones(size, bool)


@pytest.fixture
def source(tmp_path):
    """Two clips of three frames; the sound of "a" is stereo, that of "b.c" needs no change."""
    root = tmp_path / "source"
    root.mkdir()
    rng = np.random.default_rng(0)
    for clip in ("a", "b.c"):
        for k in (1, 2, 3):
            Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(root / f"{clip}_{k}.png")
            mask = Image.fromarray(np.where(np.arange(12) < 3 * k, 255, 0).astype(np.uint8)[None].repeat(9, 0))
            (mask if k == 1 else mask.convert("RGB")).save(root / f"{clip}_{k}_mask.png")
        samples = rng.integers(-9000, 9000, (RATE, 2 if clip == "a" else 1), np.int16)
        soundfile.write(root / f"{clip}.wav", samples, RATE, subtype="PCM_16")
    return root


def items_of(root, clips=("a", "b.c")):
    return [
        Item(
            f"{clip}_{k}",
            root / f"{clip}_{k}.png",
            Sound((root / f"{clip}.wav",)),
            MaskFile(root / f"{clip}_{k}_mask.png"),
            Entry(group=clip, categories=("thing",)),
        )
        for clip in clips
        for k in (1, 2, 3)
    ]


def manifest_of(**values):
    return Manifest(**{"benchmark": "Toy", "source": {}, "options": {"split": "test"}, "samples": {}, **values})


def arguments_of(out):
    return Namespace(out=out, copy=False, num_workers=0)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def states(root: Path) -> dict[str, tuple]:
    found = {path.relative_to(root): path.stat() for path in root.rglob("*") if path.is_file()}
    return {str(path): (state.st_ino, state.st_mtime_ns, state.st_size) for path, state in found.items()}


def test_every_sample_and_its_manifest_are_written(source, tmp_path):
    out = tmp_path / "out"
    manifest = run_import(items_of(source), manifest_of(published={"samples": 6, "groups": 2}), out)
    stems = ["a_1", "a_2", "a_3", "b.c_1", "b.c_2", "b.c_3"]
    assert sorted(manifest.samples) == stems == read_layout(out).stems
    assert manifest == read_manifest(out)
    assert manifest.counts == {"samples": 6, "groups": 2, "categories": 1, "blank_masks": 0, "left_out": 0}
    assert manifest.differences == []
    assert sorted(path.name for path in out.iterdir()) == ["gt_seg", "image", MANIFEST, "wav"]
    for item, sample in zip(items_of(source), FolderDataset(out), strict=True):
        np.testing.assert_array_equal(sample.image, np.array(Image.open(item.image)))
        assert sample.gt_mask.sum(1).tolist() == [3 * int(item.id[-1])] * 9


def test_masks_are_8_bit_grey_of_0_and_255(source, tmp_path):
    run_import(items_of(source), manifest_of(), tmp_path / "out")
    for path in (tmp_path / "out" / "gt_seg").iterdir():
        mask = Image.open(path)
        assert (mask.format, mask.mode, set(np.unique(mask))) == ("PNG", "L", {0, 255})


def test_sounds_are_mono_and_shared(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out)
    written, rate = soundfile.read(out / "wav" / "a_1.wav", dtype="int16")
    channels, _ = soundfile.read(source / "a.wav", dtype="int16")
    np.testing.assert_array_equal(written, np.rint(channels.mean(1)))
    info = soundfile.info(out / "wav" / "a_1.wav")
    assert (rate, info.channels, info.subtype, info.format) == (RATE, 1, "PCM_16", "WAV")
    for clip in ("a", "b.c"):
        assert len({(out / "wav" / f"{clip}_{k}.wav").stat().st_ino for k in (1, 2, 3)}) == 1


def test_what_needs_no_change_is_a_hard_link(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out)
    for written, original in (
        ("image/a_2.png", "a_2.png"),
        ("gt_seg/a_1.png", "a_1_mask.png"),
        ("wav/b.c_2.wav", "b.c.wav"),
    ):
        assert (out / written).samefile(source / original)
    assert not (out / "gt_seg/a_2.png").samefile(source / "a_2_mask.png")  # RGB


def test_copies_are_no_links(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out, copy=True)
    assert all(path.stat().st_nlink == 1 for path in out.rglob("*") if path.is_file())
    run_import(items_of(source), manifest_of(), tmp_path / "linked")
    assert contents(out) == contents(tmp_path / "linked")


def test_where_links_are_impossible_files_are_copied(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    run_import(items_of(source), manifest_of(), tmp_path / "out")
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert len(FolderDataset(tmp_path / "out")) == 6


def test_the_source_is_only_read(source, tmp_path):
    before, bytes_before = states(source), contents(source)
    for copy in (False, True):
        run_import(items_of(source), manifest_of(), tmp_path / f"out{copy}", copy=copy)
    assert (states(source), contents(source)) == (before, bytes_before)


def test_links_in_the_source_lead_to_the_file_itself(source, tmp_path):
    (source / "a_1.png").rename(source / "elsewhere.png")
    (source / "a_1.png").symlink_to("elsewhere.png")
    run_import(items_of(source), manifest_of(), tmp_path / "out")
    assert not (tmp_path / "out/image/a_1.png").is_symlink()
    assert (tmp_path / "out/image/a_1.png").samefile(source / "elsewhere.png")


def test_processes_change_nothing(source, tmp_path):
    (source / "a_2.png").write_bytes(b"no image")
    for workers in (0, 2):
        run_import(items_of(source), manifest_of(), tmp_path / str(workers), num_workers=workers)
    assert contents(tmp_path / "0") == contents(tmp_path / "2")
    assert len(FolderDataset(tmp_path / "2")) == 5


def test_a_second_run_writes_no_sample_again(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out)
    before, bytes_before = states(out), contents(out)
    run_import(items_of(source), manifest_of(), out)
    after = states(out)
    assert contents(out) == bytes_before
    assert {name: state for name, state in after.items() if name != MANIFEST} == {
        name: state for name, state in before.items() if name != MANIFEST
    }


def test_options_that_json_writes_otherwise_are_still_the_same(source, tmp_path):
    for _ in range(2):
        manifest = run_import(items_of(source), manifest_of(options={"splits": ("a", "b")}), tmp_path / "out")
    assert manifest.counts["samples"] == 6


KILLED_IMPORT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_items as tests
replace, left = os.replace, [{replacements}]
def counted(source, target):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = counted
tests.run_import(tests.items_of(Path({source!r})), tests.manifest_of(), Path({out!r}))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("replacements", [0, 6, 18])
def test_a_killed_import_goes_on_to_the_same_bytes(source, tmp_path, replacements):
    out = tmp_path / "out"
    tests = str(Path(__file__).parent)
    script = KILLED_IMPORT.format(tests=tests, replacements=replacements, source=str(source), out=str(out))
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    if replacements:
        with pytest.raises(UserError, match=r"expected a finished import .* found manifest\.unfinished\.json"):
            read_manifest(out)
        assert sum(path.suffix == ".partial" for path in out.rglob(".*")) == 1
    run_import(items_of(source), manifest_of(), out)
    run_import(items_of(source), manifest_of(), tmp_path / "undisturbed")
    found = contents(out)
    found.pop(f"{UNFINISHED}.partial", None)
    assert found == contents(tmp_path / "undisturbed")


def test_an_import_stopped_at_any_file_goes_on_to_the_same_bytes(source, tmp_path, monkeypatch):
    run_import(items_of(source), manifest_of(), tmp_path / "undisturbed")
    replace = os.replace
    for stop in range(21):  # 18 files, the unfinished manifest before and the manifest after them
        out, left = tmp_path / str(stop), stop

        def counted(source, target):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", counted)
        if stop < 20:
            with pytest.raises(KeyboardInterrupt):
                run_import(items_of(source), manifest_of(), out)
        monkeypatch.setattr(os, "replace", replace)
        run_import(items_of(source), manifest_of(), out)
        found = contents(out)
        found.pop(f"{UNFINISHED}.partial", None)
        assert found == contents(tmp_path / "undisturbed"), stop


def test_other_options_are_refused_and_what_is_there_stays_as_it_was(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out)
    before = states(out)
    for other in (manifest_of(options={"split": "val"}), manifest_of(benchmark="Other")):
        with pytest.raises(UserError, match=r"begun by this command .* found Toy \(split test\); choose another --out"):
            run_import(items_of(source), other, out)
    assert states(out) == before


def test_other_options_do_not_pass_an_unfinished_import_off_as_finished(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out)
    (out / MANIFEST).rename(out / UNFINISHED)
    with pytest.raises(UserError, match="choose another --out"):
        run_import(items_of(source), manifest_of(options={"split": "val"}), out)
    with pytest.raises(UserError, match="expected a finished import"):
        read_manifest(out)


def test_a_folder_with_other_data_is_refused(source, tmp_path):
    (tmp_path / "out" / "image").mkdir(parents=True)
    with pytest.raises(UserError, match=r"found a data set without manifest\.json"):
        run_import(items_of(source), manifest_of(), tmp_path / "out")
    assert not (tmp_path / "out" / UNFINISHED).exists()


@pytest.mark.parametrize("broken", ["a_2.png", "a_2_mask.png", "a.wav"])
@pytest.mark.parametrize("how", ["missing", "empty", "no such file type"])
def test_what_cannot_be_read_is_left_out_and_the_rest_is_written(source, tmp_path, capsys, broken, how):
    if how == "missing":
        (source / broken).unlink()
    else:
        (source / broken).write_bytes(b"" if how == "empty" else b"This is a text, whatever its name says. " * 9)
    out = tmp_path / "out"
    manifest = run_import(items_of(source), manifest_of(published={"samples": 6}), out)
    gone = ["a_1", "a_2", "a_3"] if broken == "a.wav" else ["a_2"]
    assert sorted(manifest.left_out) == gone
    assert all(str(source / broken) in reason for reason in manifest.left_out.values())
    assert FolderDataset(out).ids == sorted({item.id for item in items_of(source)} - set(gone))
    assert manifest == read_manifest(out)
    with pytest.raises(UserError, match=rf"expected to read all 6 samples, found {len(gone)} .*{gone[0]}: "):
        import_and_report(items_of(source), manifest_of(published={"samples": 6}), arguments_of(out))
    assert f"counts: {6 - len(gone)} samples, published 6\n" in capsys.readouterr().out


def test_a_truncated_image_is_left_out(source, tmp_path):
    whole = (source / "a_1.png").read_bytes()
    (source / "a_1.png").write_bytes(whole[: len(whole) // 2])
    assert list(run_import(items_of(source), manifest_of(), tmp_path / "out").left_out) == ["a_1"]


def test_a_sound_without_samples_is_left_out_even_if_its_kind_is_right(source, tmp_path):
    soundfile.write(source / "b.c.wav", np.zeros(0, np.int16), RATE, subtype="PCM_16")
    manifest = run_import(items_of(source), manifest_of(), tmp_path / "out")
    assert sorted(manifest.left_out) == ["b.c_1", "b.c_2", "b.c_3"]
    assert "found a file without samples" in manifest.left_out["b.c_1"]


def test_a_mended_source_fills_the_gap(source, tmp_path):
    out = tmp_path / "out"
    whole = (source / "a_1.png").read_bytes()
    (source / "a_1.png").write_bytes(b"broken")
    assert list(run_import(items_of(source), manifest_of(), out).left_out) == ["a_1"]
    (source / "a_1.png").write_bytes(whole)
    assert run_import(items_of(source), manifest_of(), out).left_out == {}
    run_import(items_of(source), manifest_of(), tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert (out / "wav/a_1.wav").samefile(out / "wav/a_3.wav")


def test_a_source_that_is_gone_harms_nothing_that_is_written(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out, copy=True)
    (out / "gt_seg/a_1.png").unlink()
    for name in ("a_1.png", "b.c.wav", "b.c_1.png"):
        (source / name).unlink()
    assert run_import(items_of(source), manifest_of(), out).counts["samples"] == 6


def test_left_out_before_the_import_stays_left_out(source, tmp_path):
    manifest = run_import(items_of(source, ["a"]), manifest_of(left_out={"b.c_1": "no sound"}), tmp_path / "out")
    assert (manifest.left_out, manifest.counts["left_out"]) == ({"b.c_1": "no sound"}, 1)


def test_pixels_to_be_ignored_have_a_file_of_their_own(source, tmp_path):
    out = tmp_path / "out"
    items = items_of(source)
    items[0] = Item("a_1", items[0].image, items[0].sound, Halves(), items[0].entry)
    items[1] = Item("a_2", items[1].image, items[1].sound, AllIgnored(), items[1].entry)
    manifest = run_import(items, manifest_of(), out)
    assert "nothing is left to score" in manifest.left_out["a_2"]
    assert [path.name for path in (out / "gt_ignore").iterdir()] == ["a_1.png"]
    sample = FolderDataset(out)[0]
    assert sample.gt_mask.sum(0).tolist() == [9] * 6 + [0] * 6
    np.testing.assert_array_equal(sample.gt_ignore, ~sample.gt_mask)


def test_a_mask_without_a_size_gets_that_of_the_upright_image(source, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (12, 8)).save(source / "a_1.jpg", exif=exif)
    item = Item("a_1", source / "a_1.jpg", Sound((source / "a.wav",)), Halves(), Entry("a"))
    run_import([item], manifest_of(), tmp_path / "out")
    assert FolderDataset(tmp_path / "out")[0].gt_mask.shape == (12, 8)


def test_blank_masks_are_found_out_in_every_run(source, tmp_path):
    Image.new("L", (12, 9)).save(source / "a_1_mask.png")
    for _ in range(2):
        manifest = run_import(items_of(source), manifest_of(), tmp_path / "out")
        assert [stem for stem, entry in manifest.samples.items() if entry.blank] == ["a_1"]


def test_nothing_to_import_is_said(tmp_path):
    with pytest.raises(UserError, match="expected samples of Toy for split test, found none"):
        run_import([], manifest_of(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_samples_of_one_name_are_refused(source, tmp_path):
    with pytest.raises(UserError, match=r"found some twice \(a_1, a_2, a_3\)"):
        run_import([*items_of(source), *items_of(source, ["a"])], manifest_of(), tmp_path / "out")


@pytest.mark.parametrize("name", ["../a_1", ".a_1", "a/1", ""])
def test_names_that_lead_elsewhere_or_hide_are_refused(source, tmp_path, name):
    first = items_of(source)[0]
    with pytest.raises(UserError, match="expected names that can be file names, found 1"):
        run_import([Item(name, first.image, first.sound, first.mask, first.entry)], manifest_of(), tmp_path / "out")


def test_the_summary_says_what_was_written_and_what_is_next(source, tmp_path, capsys):
    out = tmp_path / "out"
    manifest = manifest_of(published={"samples": 6, "groups": 2})
    written = import_and_report(items_of(source), manifest, arguments_of(out), lambda written: ["first: " + MANIFEST])
    assert written == read_manifest(out)
    assert capsys.readouterr().out == (
        f"first: {MANIFEST}\nToy: 6 samples in 2 groups, 1 categories, 0 blank masks, written to {out}\n"
        f"counts: as published\nnext: python -m datasets.check {out}\n"
    )


def test_the_manifest_counts_what_is_in_the_folder(source, tmp_path):
    run_import(items_of(source), manifest_of(), tmp_path / "out")
    written = json.loads((tmp_path / "out" / MANIFEST).read_text(encoding="utf-8"))
    assert written["counts"]["samples"] == len(written["samples"]) == 6


def test_samples_that_are_gone_from_the_source_go_from_the_folder(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out)
    manifest = run_import(items_of(source, ["a"]), manifest_of(), out)
    assert FolderDataset(out).ids == sorted(manifest.samples) == ["a_1", "a_2", "a_3"]


def test_an_image_that_is_of_another_kind_now_takes_the_place_of_the_old_one(source, tmp_path):
    run_import(items_of(source), manifest_of(), tmp_path / "out")
    Image.open(source / "a_1.png").save(source / "a_1.bmp")
    first, *others = items_of(source)
    run_import([replace(first, image=source / "a_1.bmp"), *others], manifest_of(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/image").glob("a_1.*")) == ["a_1.bmp"]


def test_a_source_that_lacks_what_is_there_is_refused(source, tmp_path):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(source={"folder": "one"}), out)
    before = contents(out)
    with pytest.raises(UserError, match="found 3 that it does not have .*b.c_1.* come from one; choose another --out"):
        run_import(items_of(source, ["a"]), manifest_of(source={"folder": "other"}), out)
    assert contents(out) == before
    run_import(items_of(source), manifest_of(source={"folder": "one that was moved"}), out)


def test_folders_of_others_are_no_obstacle(source, tmp_path):
    run_import(items_of(source), manifest_of(), tmp_path / "out")
    (tmp_path / "out/image/.ipynb_checkpoints").mkdir()
    assert run_import(items_of(source), manifest_of(), tmp_path / "out").counts["samples"] == 6


@pytest.mark.parametrize("name", ["caf\udce9", "n" * 250, "\u00e9" * 125])
def test_names_in_an_older_encoding_or_too_long_are_refused(source, tmp_path, name):
    item = replace(items_of(source)[0], id=name)
    with pytest.raises(UserError, match="expected names that can be file names, found 1 that cannot"):
        run_import([item], manifest_of(), tmp_path / "out")


class Killer:
    """A mask source that kills the process it is read in, as a machine short of memory does."""

    def read(self, size):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_ends_in_a_sentence(source, tmp_path):
    items = [Item(item.id, item.image, item.sound, Killer(), item.entry) for item in items_of(source)]
    with pytest.raises(UserError, match="found one killed, .* take fewer with --num_workers"):
        run_import(items, manifest_of(), tmp_path / "out", num_workers=2)


def later(path):
    """As if the file had been changed in an hour."""
    time = path.stat().st_mtime + 3600
    os.utime(path, (time, time))


def test_what_was_changed_in_the_source_is_written_again(source, tmp_path, capsys):
    out = tmp_path / "out"
    run_import(items_of(source), manifest_of(), out)
    assert "there already" not in capsys.readouterr().out
    run_import(items_of(source), manifest_of(), out)
    assert "6 of 6 samples were there already, no older than their sources, and are kept" in capsys.readouterr().out
    Image.new("L", (12, 9), 0).save(source / "a_2_mask.png")
    (source / "b.c.wav").unlink()  # else it would be the linked file itself that changes
    soundfile.write(source / "b.c.wav", np.full(RATE, 0.5), RATE)
    (source / "a_3.png").unlink()
    Image.new("RGB", (12, 9), "red").save(source / "a_3.png")
    for name in ("a_2_mask.png", "b.c.wav", "a_3.png"):
        later(source / name)
    manifest = run_import(items_of(source), manifest_of(), out)
    assert "1 of 6 samples were there already" in capsys.readouterr().out
    assert [stem for stem, entry in manifest.samples.items() if entry.blank] == ["a_2"]
    dataset = FolderDataset(out)
    heard = {sample.id: sample.waveform.max() for sample in dataset}
    assert [heard[f"b.c_{k}"] for k in (1, 2, 3)] == pytest.approx([0.5] * 3, abs=1e-3)
    assert dataset[dataset.ids.index("a_3")].image[0, 0].tolist() == [255, 0, 0]


def test_an_older_sources_ignored_pixels_go_with_it(source, tmp_path):
    out = tmp_path / "out"
    items = [Item(item.id, item.image, item.sound, Halves(), item.entry) for item in items_of(source)]
    run_import(items, manifest_of(), out)
    assert len(list((out / "gt_ignore").iterdir())) == 6
    for k in (1, 2, 3):
        later(source / f"a_{k}_mask.png")
    run_import(items_of(source), manifest_of(), out)
    assert sorted(path.stem for path in (out / "gt_ignore").iterdir()) == ["b.c_1", "b.c_2", "b.c_3"]
