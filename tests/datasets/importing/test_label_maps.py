"""Label maps are read by their numbers, ignored pixels are kept apart, and what is no label map is refused."""

import pickle

import numpy as np
import pytest
from PIL import Image

from datasets.importing.label_maps import LabelMap
from utils.errors import UserError

LABELS = np.array([[0, 18, 18, 255], [17, 17, 255, 0]], np.uint8)
CATEGORIES = (17, 18, 92)


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
