"""Dataset folders with one thing in them that is not as it should be, or that may be taken for something else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.manifest import write_manifest
from tests.attacks.case import OUT, Judge, Make, Words
from tests.attacks.endings import finds, fit, suspects
from tests.attacks.pictures import png_with
from tests.attacks.sounds import patched, with_pyav
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

DATA = "data"
STEMS = ("a", "b", "c")
BAD = "b"  # in the middle
Change = Callable[[Path], object]  # of a dataset folder


def checking(*further: str, data: str = DATA) -> Words:
    """A command line of the checker."""
    return [data, "--num_workers", "0", "--json", f"{OUT}/check.json", *further]


def evaluating(*further: str, data: str = DATA) -> Words:
    """A command line of the evaluation, of a method that needs no network."""
    words = ["--test_data_path", data, "--output_dir", OUT, "--device", "cpu", "--draws", "0", "--num_workers", "0"]
    return [
        *words,
        "--baselines",
        "nothing",
        *(further if "--methods" in further else ("--methods", "centre", *further)),
    ]


def folder_with(change: Change, words: Words) -> Make:
    """A folder with nothing wrong but one thing."""

    def make(folder: Path) -> Words:
        change(sound_folder(folder / DATA, STEMS))
        return words

    return make


def untouched(root: Path) -> None:
    """Changes nothing."""


def with_manifest(root: Path, blank: Sequence[str] = (), **values: Any) -> None:
    """Adds a manifest that names all samples."""
    manifest = manifest_of(STEMS)
    samples = {stem: replace(entry, blank=stem in blank) for stem, entry in manifest.samples.items()}
    write_manifest(replace(manifest, samples=samples, **values), root)


def mask(values: np.ndarray, suffix: str = ".png", folder: str = "gt_seg") -> Change:
    """Gives the middle sample another mask."""
    return lambda root: save_mask(root, BAD, values, suffix, folder)


def sounding(waveform: np.ndarray, subtype: str = "PCM_16") -> Change:
    """Gives the middle sample another sound."""
    return lambda root: save_sound(root, BAD, waveform, subtype=subtype)


def holding(path: str, content: bytes) -> Change:
    """Writes a file of the folder."""
    return lambda root: (root / path).write_bytes(content)


def without(path: str) -> Change:
    return lambda root: shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()


def both(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]


def moved(old: str, new: str) -> Change:
    return lambda root: (root / old).rename(root / new)


def copied(old: str, new: str) -> Change:
    return lambda root: shutil.copy(root / old, root / new)


def labels(*values: int) -> np.ndarray:
    """(H, W) uint8 of stripes."""
    stripes = np.repeat(np.array(values, np.uint8), -(-SIZE[1] // len(values)))[: SIZE[1]]
    return np.tile(stripes, (SIZE[0], 1))


def spoilt(root: Path) -> None:
    """Turns a bit of the middle image, whose header stays."""
    path = root / "image" / f"{BAD}.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: str, keep: float) -> Change:
    def change(root: Path) -> None:
        content = (root / path).read_bytes()
        (root / path).write_bytes(content[: int(keep * len(content))])

    return change


def with_a_value(value: float) -> np.ndarray:
    waveform = noise(1)
    waveform[1000] = value
    return waveform


def turned(root: Path) -> None:
    (root / "image" / f"{BAD}.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(4, SIZE[::-1]).save(root / "image" / f"{BAD}.jpg", exif=exif)


def large(root: Path) -> None:
    """An image whose only pixel of foreground is lost where scores are taken."""
    picture(2, (480, 640)).save(root / "image" / f"{BAD}.png")
    values = np.zeros((480, 640), np.uint8)
    values[0, 0] = 255
    save_mask(root, BAD, values)


def palette(values: np.ndarray, colours: Sequence[int], folder: str = "gt_seg") -> Change:
    """Gives the middle sample a mask of palette indices."""

    def change(root: Path) -> None:
        image = Image.frombytes("P", values.shape[::-1], values.tobytes())
        image.putpalette(colours)
        (root / folder).mkdir(exist_ok=True)
        image.save(root / folder / f"{BAD}.png")

    return change


def misnamed(root: Path) -> None:
    """A film's sound called WAV, as some downloaders save it."""
    with_pyav("adts", "aac")(root / WAV)


def with_broken_exif(root: Path) -> None:
    (root / "image" / f"{BAD}.png").write_bytes(png_with(b"eXIf", b"no such thing", picture(1)))


MIDDLE = np.pad(np.full((24, 32), 1, np.uint8), ((12, 12), (16, 16)))  # a thing that is seen whole
WHITE_BEHIND = palette(MIDDLE, [255, 255, 255, 0, 0, 0])
GREY = MIDDLE * 147
GREY[:10, :20] = 34
SOFT = left_half()
SOFT[0, :2] = 64, 200
TRAP = labels(0, 17, 255)
ALL = np.full(SIZE, 255, np.uint8)
PNG, WAV = f"gt_seg/{BAD}.png", f"wav/{BAD}.wav"
NO_IMAGE = b"not what the name says"
# kind of finding: (severity, what is named, the change). `datasets/check/findings.csv` has most of them.
FOUND: dict[str, tuple[str, str, Change]] = {
    "unreadable_images": ("error", "image/b.png", spoilt),
    "unreadable_sounds": ("error", WAV, holding(WAV, NO_IMAGE)),
    "unreadable_masks": ("error", PNG, holding(PNG, NO_IMAGE)),
    "tiny_images": (
        "warning",
        "image/b.png",
        both(lambda root: picture(3, (20, 20)).save(root / "image/b.png"), mask(left_half((20, 20)))),
    ),
    "turned_images": ("warning", "image/b.jpg", turned),
    "broken_exif": ("warning", "image/b.png", with_broken_exif),
    "labels_and_255": ("error", PNG, mask(TRAP)),
    "grey_labels": ("error", PNG, mask(GREY)),
    "bright_background": ("error", PNG, WHITE_BEHIND),
    "lossy_labels": ("error", "gt_seg/b.jpg", mask(left_half(foreground=17), ".jpg")),
    "label_maps": ("warning", PNG, mask(labels(0, 17, 18))),
    "soft_masks": ("warning", PNG, mask(SOFT)),
    "colour_masks": ("warning", PNG, mask(np.stack([left_half(), left_half() // 2, left_half() * 0], 2))),
    "lossy_masks": ("warning", "gt_seg/b.jpg", mask(left_half(), ".jpg")),
    "zero_one_masks": ("note", PNG, mask(left_half(foreground=1))),
    "masks_across": ("error", PNG, mask(left_half(SIZE[::-1]))),
    "masks_of_other_shape": ("error", PNG, mask(left_half((48, 48)))),
    "masks_resized": ("warning", PNG, mask(left_half((96, 128)))),
    "unreadable_ignores": (
        "error",
        "gt_ignore/b.png",
        both(mask(SOFT, folder="gt_ignore"), holding("gt_ignore/b.png", b"x")),
    ),
    "labels_and_255_in_ignore": ("error", "gt_ignore/b.png", mask(TRAP, folder="gt_ignore")),
    "grey_labels_in_ignore": ("error", "gt_ignore/b.png", mask(GREY, folder="gt_ignore")),
    "bright_background_in_ignore": (
        "error",
        "gt_ignore/b.png",
        both(palette(MIDDLE, [255, 255, 255, 0, 0, 0], "gt_ignore")),
    ),
    "lossy_labels_in_ignore": ("error", "gt_ignore/b.jpg", mask(left_half(foreground=17), ".jpg", "gt_ignore")),
    "label_maps_in_ignore": ("warning", "gt_ignore/b.png", mask(labels(0, 17, 18), folder="gt_ignore")),
    "soft_masks_in_ignore": ("warning", "gt_ignore/b.png", mask(SOFT, folder="gt_ignore")),
    "colour_masks_in_ignore": (
        "warning",
        "gt_ignore/b.png",
        mask(np.stack([left_half(), left_half() // 2, left_half() * 0], 2), folder="gt_ignore"),
    ),
    "lossy_masks_in_ignore": ("warning", "gt_ignore/b.jpg", mask(left_half(), ".jpg", "gt_ignore")),
    "zero_one_masks_in_ignore": ("note", "gt_ignore/b.png", mask(left_half(foreground=1), folder="gt_ignore")),
    "ignores_across": ("error", "gt_ignore/b.png", mask(left_half(SIZE[::-1]), folder="gt_ignore")),
    "ignores_of_other_shape": ("error", "gt_ignore/b.png", mask(left_half((48, 30)), folder="gt_ignore")),
    "ignores_resized": ("warning", "gt_ignore/b.png", mask(left_half((96, 128)), folder="gt_ignore")),
    "ignores_everything": ("error", "gt_ignore/b.png", mask(ALL, folder="gt_ignore")),
    "blank_masks": ("warning", PNG, mask(ALL * 0)),
    "known_blank_masks": ("note", PNG, both(mask(ALL * 0), partial(with_manifest, blank=[BAD]))),
    "full_masks": ("warning", PNG, mask(ALL)),
    "inverted_masks": ("warning", PNG, mask(255 - 255 * MIDDLE)),
    "lost_foreground": ("warning", PNG, large),
    "cut_sounds": ("error", WAV, cut(WAV, 0.5)),
    "empty_sounds": ("error", WAV, sounding(np.zeros(0))),
    "too_short_sounds": ("warning", WAV, sounding(np.array([0.5, -0.5]))),
    "cancelling_channels": ("warning", WAV, sounding(np.stack([noise(1), -noise(1)], 1))),
    "misnamed_sounds": ("warning", WAV, misnamed),
    "short_sounds": ("warning", WAV, sounding(noise(5, 0.3))),
    "clipped_sounds": ("warning", WAV, sounding((noise(6) * 30).clip(-1, 1))),
    "silent_sounds": ("warning", WAV, sounding(np.zeros(8000))),
    "silent_and_blank": ("note", WAV, both(sounding(np.zeros(8000)), mask(ALL * 0))),
    "same_sample": (
        "warning",
        "a = b",
        both(copied("image/a.png", "image/b.png"), copied("wav/a.wav", WAV), copied("gt_seg/a.png", PNG)),
    ),
    "same_image": ("warning", "a = b", copied("image/a.png", "image/b.png")),
    "same_sound": ("warning", "a = b", copied("wav/a.wav", WAV)),
    "lost_samples": (
        "error",
        "gone",
        lambda root: write_manifest(manifest_of((*STEMS, "gone")), root),
    ),
    "unknown_samples": ("error", BAD, lambda root: write_manifest(manifest_of(("a", "c")), root)),
    "lost_labels": ("error", "gone", holding("labels.csv", b"stem,category\na,x\nb,x\nc,y\ngone,y\n")),
    "unlabelled_samples": ("error", BAD, holding("labels.csv", b"stem,category\na,x\nc,y\n")),
    "unread_columns": ("warning", "kind", holding("labels.csv", b"stem,group,kind\na,x,\nb,x,\nc,y,\n")),
    "wrong_blank_flags": ("error", BAD, partial(with_manifest, blank=[BAD])),
    "left_out": ("warning", "bad", partial(with_manifest, left_out={"bad": "its image cannot be read"})),
    # not of the table
    "other_counts": ("warning", "published 99", partial(with_manifest, published={"samples": 99})),
    "two_image_folders": ("error", "img", lambda root: (root / "img").mkdir()),
    "no_folder": ("error", "wav", without("wav")),
    "no_files": ("error", "wav", both(without("wav"), lambda root: (root / "wav").mkdir())),
    "no_partner": ("error", BAD, without(WAV)),
    "no_gt": ("error", "gt_seg", without("gt_seg")),
    "stray": ("error", "notes.txt", holding("wav/notes.txt", b"")),
    "stray_ignore": ("error", "alone", lambda root: save_mask(root, "alone", left_half(), folder="gt_ignore")),
    "stem_twice": ("error", "b.jpg and b.png", lambda root: picture(0).save(root / "image" / "b.jpg")),
    "strange_labels": ("error", "labels.csv", holding("labels.csv", b"stem;category\na;x\na;y\nb;\nc;\n")),
    "unfinished_import": ("error", "manifest.unfinished.json", holding("manifest.unfinished.json", b"{}")),
}


READ_OTHERWISE: dict[str, tuple[Change, Judge]] = {  # what the checker says of masks that look well
    "white behind, in a palette": (WHITE_BEHIND, suspects(PNG)),
    "VOC's colours as grey": (mask(GREY), suspects(PNG, unless=["soft_masks"])),
    "16 bits": (
        lambda root: Image.fromarray(left_half().astype(np.uint16) * 257).save(root / PNG),
        fit(),
    ),
    "grey as RGB": (mask(np.stack([left_half()] * 3, 2)), fit()),
    "one bit": (lambda root: Image.fromarray(left_half()).convert("1").save(root / PNG), fit()),
    "with alpha": (
        lambda root: Image.merge("LA", [Image.fromarray(left_half()), Image.fromarray(ALL)]).save(root / PNG),
        fit(),
    ),
}
HEARD_OTHERWISE: dict[str, tuple[Change, Judge]] = {
    "no number in it": (sounding(with_a_value(np.nan), "FLOAT"), finds("error", "unreadable_sounds", WAV)),
    "infinite": (sounding(with_a_value(np.inf), "FLOAT"), finds("error", "unreadable_sounds", WAV)),
    "a rate of 0": (holding(WAV, patched(24, 0)), finds("error", "unreadable_sounds", WAV)),
    "streamed, a size of 0": (holding(WAV, patched(40, 0, and_riff=0)), fit(without=["empty_sounds", "error"])),
}
