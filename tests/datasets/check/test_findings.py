"""Every fault that is planted in one folder is named in one pass, with its files and what it is worth."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import datasets.check as check
from datasets.check import check_contents
from datasets.folder import FolderDataset
from datasets.manifest import write_manifest
from tests.datasets.check.check_folders import (
    SIZE,
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

FAULTS = {  # kind: (severity, what the line says)
    "two_image_folders": ("error", "both folders image and img; remove or rename one"),
    "stray": ("error", r"1 stray name in wav \(notes.txt\); move them away or convert them to one of .*\.wav"),
    "stem_twice": ("error", r"1 stem with several files in image \(twice.jpg and twice.png\); keep one"),
    "no_partner": ("error", r"1 file in image without a partner in wav \(alone\)"),
    "stray_ignore": ("error", r"1 file in gt_ignore without a partner in gt_seg \(stray\); remove"),
    "unreadable_images": (
        "error",
        r"3 images that cannot be read \(image/chunk.png: broken .*, image/cut.jpg: image file is truncated.*, "
        r"image/zero.png: it is empty \(0 bytes\)\); copy or download",
    ),
    "unreadable_sounds": (
        "error",
        r"2 sounds that cannot be read \(wav/garbage.wav: .*, wav/infinite.wav: values that are not finite numbers\)",
    ),
    "unreadable_masks": ("error", r"1 mask that cannot be read \(gt_seg/nomask.png: it is no image Pillow knows\)"),
    "cut_sounds": (
        "error",
        r"1 sound shorter than the header says \(wav/cutsound.wav: 8000 of 16000 bytes are there\)",
    ),
    "empty_sounds": ("error", r"1 sound without a single sample \(wav/empty.wav\)"),
    "masks_across": ("error", r"1 mask with width and height swapped .*\(gt_seg/across.png: 48x64 over 64x48\); turn"),
    "masks_of_other_shape": ("error", r"1 mask of another shape than the image \(gt_seg/square.png: 48x48 over 64x48"),
    "ignores_of_other_shape": ("error", r"1 gt_ignore file of another shape .*gt_ignore/shape.png: 30x48 over 64x48"),
    "labels_and_255": ("error", r"1 mask with labels and the highest value.*\(gt_seg/trap.png: 0 17 255\); .*ignore"),
    "grey_labels": ("error", r"1 mask with areas of grey below and above .*\(gt_seg/voc.png: 0 34 147\); save"),
    "bright_background": ("error", r"1 mask of a palette whose number 0, .*\(gt_seg/palette.png: 0 255\); save"),
    "lossy_labels": ("error", r"1 mask compressed with loss and too dark .*\(gt_seg/dark.jpg"),
    "ignores_everything": ("error", r"1 gt_ignore file without a pixel left to score .*\(gt_ignore/all.png\)"),
    "lost_samples": ("error", r"1 sample that manifest.json names and the folder lacks \(gone\)"),
    "unknown_samples": ("error", r"1 sample that manifest.json does not name \(unknown\)"),
    "wrong_blank_flags": ("error", r"3 samples whose .* \(blank: blank, dark: blank, flagged: not blank\)"),
    "tiny_images": ("warning", r"1 image of less than 32 pixels on a side \(image/tiny.png\)"),
    "turned_images": ("warning", r"1 image turned by EXIF \(image/turned.jpg\)"),
    "broken_exif": ("warning", r"1 image with EXIF that cannot be read.*\(image/exif.png\); see whether they lie upr"),
    "masks_resized": ("warning", r"1 mask of another size than the image.*\(gt_seg/double.png: 128x96 over 64x48\)"),
    "label_maps": ("warning", r"1 mask with numbers below 128, read as a label map: .*\(gt_seg/labels.png: 0 17 18\)"),
    "soft_masks": ("warning", r"1 mask with grey levels, cut in the middle .*\(gt_seg/soft.png: 0 64 200 255\)"),
    "colour_masks": ("warning", r"1 mask in colour, where every colour but black is .*\(gt_seg/colour.png\)"),
    "lossy_masks": ("warning", r"1 mask compressed with loss, cut at 128 \(gt_seg/lossy.jpg"),
    "blank_masks": ("warning", r"1 mask without foreground \(gt_seg/blank.png\); J and F"),
    "full_masks": ("warning", r"1 mask covering the whole image \(gt_seg/full.png\)"),
    "inverted_masks": ("warning", r"1 mask with foreground along most of the border \(gt_seg/inverted.png\); see"),
    "lost_foreground": ("warning", r"1 mask with so little foreground that none is left .*\(gt_seg/lost.png\)"),
    "short_sounds": ("warning", r"1 sound shorter than 0.5 s \(wav/short.wav\)"),
    "too_short_sounds": (
        "warning",
        r"1 sound shorter than 0.05 s, of which nothing .*\(wav/instant.wav\); methods answer",
    ),
    "cancelling_channels": ("warning", r"1 sound whose channels cancel, .*\(wav/cancel.wav: channel 1\); turn"),
    "misnamed_sounds": ("warning", r"1 sound called .wav, .*\(wav/misnamed.wav: PCM_S16LE in QuickTime / MOV\)"),
    "clipped_sounds": ("warning", r"1 sound clipped at full scale \(wav/clipped.wav\)"),
    "silent_sounds": ("warning", r"1 sound with nothing to hear \(wav/silent.wav\)"),
    "same_sample": ("warning", r"1 sample there under several names \(again = good\); keep one"),
    "same_image": ("warning", r"1 image shared by samples of different groups \(image1 = image2\)"),
    "same_sound": ("warning", r"1 sound shared by samples of different groups \(clip_1 = sound\)"),
    "left_out": ("warning", r"1 sample left out by the importer \(bad: its image cannot be read\)"),
    "other_counts": ("warning", r"other counts than published: \d+ samples, published 99;"),
    "known_blank_masks": ("note", r"2 masks without foreground, as the manifest says \(gt_seg/known.png, gt_seg/quiet"),
    "silent_and_blank": ("note", r"1 silent sound with a blank mask, as expected \(wav/quiet.wav\)"),
    "zero_one_masks": ("note", r"1 mask of 0 and 1, where 1 is foreground \(gt_seg/zeroone.png: 0 1\)"),
    "same_image_in_group": ("note", "1 image shared within a group, as expected"),
    "same_sound_in_group": ("note", "1 sound shared within a group, as expected"),
    "same_sample_in_group": ("note", "1 sample shared within a group, as expected"),
    "sampling_rates": ("note", r"sampling rates: 8000 Hz \(\d+ sounds\), 16000 Hz \(1 sound\)"),
    "scenarios": ("note", "scenarios: 1 offscreen"),
}
STEMS = """
    good again twice alone chunk cut zero garbage infinite nomask cutsound empty across square shape trap dark all
    unknown flagged tiny turned double labels soft colour lossy blank full lost short clipped silent image1 image2
    clip_1 sound pair_x pair_y take_1 take_2 still_1 still_2 known quiet zeroone rate voc palette exif inverted
    instant cancel misnamed
"""


def drawn_in_grey(left, right):
    """A thing of two levels of grey."""
    return np.repeat([0, left, right, 0], 16)[None].repeat(SIZE[0], 0).astype(np.uint8)


def bright_palette():
    """A thing of number 1, black, on number 0, white."""
    image = Image.frombytes("P", SIZE[::-1], drawn_in_grey(0, 1).tobytes())
    image.putpalette([255, 255, 255, 0, 0, 0])
    return image


def call_wav(path, waveform):
    """Writes a sound as QuickTime."""
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray((waveform * 9000).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))


def plant(root):
    """A folder with every fault that can be there beside the others, each in a sample of its own."""
    sound_folder(root, STEMS.split())
    images, sounds, masks = root / "image", root / "wav", root / "gt_seg"

    def copy(path, other):
        other.write_bytes(path.read_bytes())

    for folder, suffix in (("image", "png"), ("wav", "wav"), ("gt_seg", "png")):
        copy(root / folder / f"good.{suffix}", root / folder / f"again.{suffix}")
        copy(root / folder / f"still_1.{suffix}", root / folder / f"still_2.{suffix}")
    (root / "img").mkdir()
    (sounds / "notes.txt").touch()
    picture(0).save(images / "twice.jpg")
    (sounds / "alone.wav").unlink()
    save_mask(root, "stray", left_half(), folder="gt_ignore")

    chunk = bytearray((images / "chunk.png").read_bytes())
    chunk[len(chunk) // 2] ^= 1
    (images / "chunk.png").write_bytes(chunk)
    (images / "cut.png").unlink()
    picture(1).save(images / "cut.jpg")
    (images / "cut.jpg").write_bytes((images / "cut.jpg").read_bytes()[:-500])
    (images / "zero.png").write_bytes(b"")
    (sounds / "garbage.wav").write_bytes(b"not what the name says")
    save_sound(root, "infinite", np.array([0.1, np.inf] * 4000), subtype="FLOAT")
    (masks / "nomask.png").write_bytes(b"not what the name says")
    (sounds / "cutsound.wav").write_bytes((sounds / "cutsound.wav").read_bytes()[:-8000])
    save_sound(root, "empty", np.zeros(0))

    save_mask(root, "across", left_half(SIZE[::-1]))
    save_mask(root, "square", left_half((48, 48)))
    save_mask(root, "shape", left_half((48, 30)), folder="gt_ignore")
    save_mask(root, "double", left_half((96, 128)))
    trap = left_half(foreground=17)
    trap[:2] = 255
    save_mask(root, "trap", trap)
    save_mask(root, "dark", left_half(foreground=17), ".jpg")
    save_mask(root, "all", np.full(SIZE, 255, np.uint8), folder="gt_ignore")
    save_mask(root, "labels", left_half(background=0, foreground=17) + np.eye(*SIZE, 40, np.uint8) * 18)
    soft = left_half()
    soft[0, :2] = 64, 200
    save_mask(root, "soft", soft)
    save_mask(root, "colour", np.stack([left_half(), left_half() // 2, left_half() * 0], 2))
    save_mask(root, "lossy", left_half(), ".jpg")
    for stem in ("blank", "known", "quiet"):
        save_mask(root, stem, left_half() * 0)
    save_mask(root, "full", np.full(SIZE, 255, np.uint8))
    picture(2, (480, 640)).save(images / "lost.png")
    lost = np.zeros((480, 640), np.uint8)
    lost[0, 0] = 255
    save_mask(root, "lost", lost)
    save_mask(root, "zeroone", left_half(foreground=1))
    save_mask(root, "voc", drawn_in_grey(34, 147))
    bright_palette().save(masks / "palette.png")
    inverted = np.full(SIZE, 255, np.uint8)
    inverted[20:30, 20:30] = 0
    save_mask(root, "inverted", inverted)

    picture(3, (20, 20)).save(images / "tiny.png")
    save_mask(root, "tiny", left_half((20, 20)))
    (images / "turned.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(4, SIZE[::-1]).save(images / "turned.jpg", exif=exif)  # upright it has SIZE, as its mask
    picture(5).save(images / "exif.png", exif=b"Exif\0\0\0\x08\0\x02\x01\x12\0\x03")

    save_sound(root, "short", noise(5, 0.3))
    save_sound(root, "instant", noise(5, 0.01))
    save_sound(root, "cancel", np.stack([noise(8), -noise(8)], 1))
    call_wav(sounds / "misnamed.wav", noise(9))
    save_sound(root, "clipped", (noise(6) * 30).clip(-1, 1))
    for stem in ("silent", "quiet"):
        save_sound(root, stem, np.zeros(8000 + len(stem)))
    save_sound(root, "rate", noise(7), 16000)
    copy(images / "image1.png", images / "image2.png")
    copy(images / "pair_x.png", images / "pair_y.png")
    copy(sounds / "clip_1.wav", sounds / "sound.wav")
    copy(sounds / "take_1.wav", sounds / "take_2.wav")

    manifest = manifest_of(
        (*(stem for stem in STEMS.split() if stem != "unknown"), "gone"),
        published={"samples": 99},
        left_out={"bad": "its image cannot be read"},
    )
    changes = {
        **{stem: Entry(stem[:-2]) for stem in ("pair_x", "pair_y", "take_1", "take_2", "still_1", "still_2")},
        **{stem: Entry(stem, blank=True) for stem in ("known", "quiet", "flagged")},
        "good": Entry("good", scenario="offscreen"),
    }
    write_manifest(replace(manifest, samples={**manifest.samples, **changes}), root)


def cut(path):
    path.write_bytes(path.read_bytes()[:-500])


def say_blank(root):
    manifest = manifest_of("abc")
    write_manifest(replace(manifest, samples={**manifest.samples, "b": Entry("b", blank=True)}), root)


FULL, TRAP = np.full(SIZE, 255, np.uint8), drawn_in_grey(1, 255)
OF_ONE_FILE = {  # kind of error: what makes sample b have it
    "unreadable_images": lambda root: cut(root / "image" / "b.png"),
    "unreadable_sounds": lambda root: (root / "wav" / "b.wav").write_bytes(b"not what the name says"),
    "unreadable_masks": lambda root: (root / "gt_seg" / "b.png").write_bytes(b""),
    "unreadable_ignores": lambda root: (save_mask(root, "b", FULL, folder="gt_ignore"), cut(root / "gt_ignore/b.png")),
    "masks_across": lambda root: save_mask(root, "b", left_half(SIZE[::-1])),
    "ignores_across": lambda root: save_mask(root, "b", left_half(SIZE[::-1]), folder="gt_ignore"),
    "masks_of_other_shape": lambda root: save_mask(root, "b", left_half((48, 48))),
    "ignores_of_other_shape": lambda root: save_mask(root, "b", left_half((48, 48)), folder="gt_ignore"),
    "labels_and_255": lambda root: save_mask(root, "b", TRAP),
    "grey_labels": lambda root: save_mask(root, "b", drawn_in_grey(34, 147)),
    "bright_background": lambda root: bright_palette().save(root / "gt_seg" / "b.png"),
    "lossy_labels": lambda root: save_mask(root, "b", left_half(foreground=17), ".jpg"),
    "labels_and_255_in_ignore": lambda root: save_mask(root, "b", TRAP, folder="gt_ignore"),
    "grey_labels_in_ignore": lambda root: save_mask(root, "b", drawn_in_grey(34, 147), folder="gt_ignore"),
    "bright_background_in_ignore": lambda root: (
        save_mask(root, "b", FULL, folder="gt_ignore"),
        bright_palette().save(root / "gt_ignore" / "b.png"),
    ),
    "lossy_labels_in_ignore": lambda root: save_mask(root, "b", left_half(foreground=17), ".jpg", "gt_ignore"),
    "ignores_everything": lambda root: save_mask(root, "b", FULL, folder="gt_ignore"),
    "cut_sounds": lambda root: cut(root / "wav" / "b.wav"),
    "empty_sounds": lambda root: save_sound(root, "b", np.zeros(0)),
    "wrong_blank_flags": say_blank,
}
OF_THE_FOLDER = {
    "lost_samples",
    "unknown_samples",
    "lost_labels",
    "unlabelled_samples",
}  # errors that no file has by itself


@pytest.mark.parametrize("kind", OF_ONE_FILE)
def test_what_is_called_an_error_stops_whoever_reads_the_sample(kind, tmp_path):
    OF_ONE_FILE[kind](sound_folder(tmp_path))
    assert [finding.kind for finding in check_contents(tmp_path).errors] == [kind]
    dataset = FolderDataset(tmp_path)
    assert dataset[0].id == "a"
    with pytest.raises(UserError, match=r"[/\\]b\.(png|wav|jpg)"):
        dataset[1]


def test_every_error_of_a_file_is_held_to_it():
    table = Path(check.__file__).with_name("findings.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines())
    assert {row["kind"] for row in rows if row["severity"] == "error"} == OF_ONE_FILE.keys() | OF_THE_FOLDER


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    plant(root)
    return root


@pytest.fixture(scope="module")
def report(broken):
    return check_contents(broken)


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_planted_is_named_with_its_severity(report, kind):
    severity, words = FAULTS[kind]
    (found,) = [finding for finding in report.findings if finding.kind == kind]
    assert found.severity == severity
    assert re.search(words, found.text(None))


def test_nothing_else_is_named(report):
    facts = {"samples", "manifest", "image_sizes", "sound_lengths", "foreground"}
    assert {finding.kind for finding in report.findings} == FAULTS.keys() | facts


def test_pixels_to_be_ignored_are_judged_as_masks_are():
    table = Path(check.__file__).with_name("findings.csv").read_text(encoding="utf-8")
    rows = {row["kind"]: row for row in csv.DictReader(table.splitlines())}
    assert len(rows) == len(table.splitlines()) - 1  # no kind is there twice
    for kind, row in rows.items():
        if row["noun"] == "gt_ignore file" and kind != "ignores_everything":
            of_masks = rows[kind.removesuffix("_in_ignore").replace("ignores", "masks")]
            assert {**row, "kind": of_masks["kind"], "noun": "mask"} == of_masks
