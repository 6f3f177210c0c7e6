"""Ground truth by its rules: what a mask file, a label map and boxes make of each pixel, and what is refused."""

import pickle

import numpy as np
import pytest
from PIL import Image

from datasets.importing.ground_truth import Boxes, LabelMap, MaskFile, read_box
from utils.errors import UserError

LABELS = np.array([[0, 18, 18, 255], [17, 17, 255, 0]], np.uint8)
CATEGORIES = (17, 18, 92)


@pytest.mark.parametrize(
    ("mode", "unchanged"), [("L", True), ("1", False), ("P", False), ("RGB", False), ("LA", False), ("I;16", False)]
)
def test_a_mask_file_is_unchanged_only_as_8_bit_grey(tmp_path, mode, unchanged):
    values = np.zeros((4, 6), np.uint8)
    values[:, :2] = 255
    mask = Image.fromarray(values)
    mask = Image.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else mask.convert(mode)
    mask.save(tmp_path / "mask.png")
    source = MaskFile(tmp_path / "mask.png")
    assert source.unchanged == (tmp_path / "mask.png" if unchanged else None)
    mask, ignore = source.read((4, 6))
    assert (mask.sum(0).tolist(), ignore) == ([4, 4, 0, 0, 0, 0], None)


def test_grey_with_other_values_or_in_another_format_is_written_anew(tmp_path):
    values = np.zeros((16, 16), np.uint8)
    values[4:12, 4:12] = 254
    Image.fromarray(values).save(tmp_path / "mask.png")
    Image.fromarray(values).save(tmp_path / "mask.jpg", quality=60)
    Image.fromarray(values // 254 * 255).save(tmp_path / "clear.png", transparency=255)
    for name, foreground in (("mask.png", 64), ("mask.jpg", 64), ("clear.png", 0)):
        source = MaskFile(tmp_path / name)
        assert (source.unchanged, source.read((16, 16))[0].sum()) == (None, foreground), name


def saved(path, labels, mode="L"):
    image = Image.fromarray(labels)
    if mode == "P":  # colours that would mislead: 0 is white, everything else black
        image.putpalette([255, 255, 255] + [0, 0, 0] * 255)
    image.save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "P"])
def test_categories_become_the_mask_and_ignored_pixels_are_kept_apart(tmp_path, mode):
    path = saved(tmp_path / "a.png", LABELS, mode)
    with Image.open(path) as image:
        assert image.mode == mode
    mask, ignore = LabelMap(path, CATEGORIES, CATEGORIES).read((9, 9))
    assert (mask.dtype, ignore.dtype) == (bool, bool)
    assert mask.astype(int).tolist() == [[0, 1, 1, 0], [1, 1, 0, 0]]
    assert ignore.astype(int).tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]


@pytest.mark.parametrize(("category", "pixels"), [(18, [[0, 1, 1, 0], [0, 0, 0, 0]]), (92, [[0] * 4, [0] * 4])])
def test_one_category_is_its_own_pixels_and_blank_where_it_is_absent(tmp_path, category, pixels):
    mask, ignore = LabelMap(saved(tmp_path / "a.png", LABELS), CATEGORIES, (category,)).read((2, 4))
    assert (mask.astype(int).tolist(), ignore.sum()) == (pixels, 2)


def test_sixteen_bits_are_numbers_too(tmp_path):
    mask, ignore = LabelMap(saved(tmp_path / "a.png", LABELS.astype(np.uint16)), CATEGORIES, (17,)).read((2, 4))
    assert (mask.sum(), ignore.sum()) == (2, 2)


def test_a_map_of_background_is_blank(tmp_path):
    mask, ignore = LabelMap(saved(tmp_path / "a.png", LABELS * 0), CATEGORIES, CATEGORIES).read((2, 4))
    assert not mask.any() and not ignore.any()


def test_only_ignored_pixels_are_refused_because_a_black_and_white_mask_looks_the_same(tmp_path):
    path = saved(tmp_path / "a.png", np.where(LABELS > 0, 255, 0).astype(np.uint8))
    with pytest.raises(UserError, match=r"expected a category in the label map .*a\.png, found only 0 and 255"):
        LabelMap(path, CATEGORIES, CATEGORIES).read((2, 4))


def test_numbers_that_are_no_category_are_named(tmp_path):
    path = saved(tmp_path / "a.png", np.where(LABELS == 17, 38, LABELS).astype(np.uint8))
    with pytest.raises(UserError, match=r"expected only category numbers in the label map .*, found 38; take the file"):
        LabelMap(path, CATEGORIES, CATEGORIES).read((2, 4))


def test_lossy_and_colour_files_are_refused(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "a.jpg")
    Image.fromarray(LABELS).convert("RGB").save(tmp_path / "b.png")
    Image.fromarray(LABELS > 0).save(tmp_path / "c.png")
    for name, found in (("a.jpg", "JPEG of mode L"), ("b.png", "PNG of mode RGB"), ("c.png", "PNG of mode 1")):
        with pytest.raises(UserError, match=f"expected a label map .*{name}, found {found}"):
            LabelMap(tmp_path / name, CATEGORIES, CATEGORIES).read((2, 4))


def test_it_can_be_sent_to_another_process(tmp_path):
    source = LabelMap(saved(tmp_path / "a.png", LABELS), CATEGORIES, (17,))
    assert pickle.loads(pickle.dumps(source)) == source


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
