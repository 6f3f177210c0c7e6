"""Boxes as masks: the rasterisation rule, the union, agreement, and what is no box."""

import pickle

import numpy as np
import pytest

from datasets.importing.boxes import Boxes, files_by_stem, read_box
from utils.errors import UserError


def drawn(*boxes, size, agreement=1):
    """The mask as rows of 0 and 1."""
    mask, ignore = Boxes(boxes, agreement).read(size)
    assert ignore is None
    assert mask.dtype == bool
    return ["".join("1" if pixel else "0" for pixel in row) for row in mask]


def test_box_covers_pixels_whose_centre_it_holds():
    """Of 4 x 8 pixels: columns 2..4 have centres 0.3125, 0.4375, 0.5625; rows 0 and 1 have 0.125, 0.375."""
    assert drawn((0.3125, 0.0, 0.6, 0.5), size=(4, 8)) == ["00111000", "00111000", "00000000", "00000000"]


def test_right_and_lower_edges_are_open():
    assert drawn((0.0, 0.125, 0.0625, 0.375), size=(4, 8)) == ["00000000"] * 4
    assert drawn((0.0, 0.125, 0.0626, 0.3751), size=(4, 8)) == ["10000000", "10000000", "00000000", "00000000"]


def test_whole_image_and_beyond():
    assert drawn((0, 0, 1, 1), size=(2, 3)) == ["111", "111"]
    assert drawn((-0.2, -3, 0.34, 1.5), size=(2, 3)) == ["100", "100"]
    assert drawn((1.1, 0, 1.5, 1), size=(2, 3)) == ["000", "000"]


@pytest.mark.parametrize(
    "box", [(0.00625, 0.015625, 0.00625, 0.015625), (0.26875, 1.0, 0.753125, 1.0), (0.9, 0.1, 0.2, 0.8)]
)
def test_box_without_area_or_with_exchanged_corners_covers_nothing(box):
    """The first two are published boxes of VGG-SS."""
    assert drawn(box, size=(2, 3)) == ["000", "000"]


def test_several_boxes_are_united():
    boxes = ((0, 0, 0.5, 0.5), (0.25, 0.25, 0.75, 0.75))
    assert drawn(*boxes, size=(4, 8)) == ["11110000", "11111100", "00111100", "00000000"]


def test_agreement_counts_boxes():
    boxes = ((0, 0, 0.5, 1), (0.25, 0, 0.75, 1), (0.375, 0, 1, 1))
    assert drawn(*boxes, size=(1, 8), agreement=1) == ["11111111"]
    assert drawn(*boxes, size=(1, 8), agreement=2) == ["00111100"]
    assert drawn(*boxes, size=(1, 8), agreement=3) == ["00010000"]
    assert drawn(*boxes, size=(1, 8), agreement=4) == ["00000000"]


def test_area_is_right_within_one_row_and_column():
    mask, _ = Boxes(((0.1234, 0.25, 0.777, 0.9),)).read((240, 321))
    assert mask.sum() == 156 * 209  # rows 60..215, columns 40..248
    assert np.argwhere(mask).min(axis=0).tolist() == [60, 40]
    assert np.argwhere(mask).max(axis=0).tolist() == [215, 248]


def test_travels_to_other_processes():
    boxes = Boxes(((0.0, 0.0, 0.5, 0.5),), 2)
    assert pickle.loads(pickle.dumps(boxes)) == boxes


def test_reads_boxes_in_pixels_of_a_square():
    assert read_box([0, 64, 128, 256], 256) == (0.0, 0.25, 0.5, 1.0)


@pytest.mark.parametrize(
    "values",
    [None, 3, "0123", [0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 1, "1"], [0, 0, 1, None], [0, 0, 1, True], [[0], 0, 1, 1],
     [0, 0, float("nan"), 1], [0, 0, float("inf"), 1], [0, 0, 10**400, 1], {"x0": 0}],
)  # fmt: skip
def test_what_is_no_box_is_refused(values):
    with pytest.raises(UserError, match="expected a box of four numbers x0, y0, x1, y1, found .*; mend the annotation"):
        read_box(values)


def test_files_by_stem(tmp_path):
    for name in ("b.JPG", "a.1.png", "._b.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    found = files_by_stem(tmp_path, {".jpg", ".png"})
    assert {stem: path.name for stem, path in found.items()} == {"b": "b.JPG", "a.1": "a.1.png"}
