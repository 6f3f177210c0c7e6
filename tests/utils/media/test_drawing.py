"""Pictures checked pixel by pixel: size kept, tint inside, a contour that shows on white, black and magenta."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from utils.media.drawing import (
    NARROWEST,
    PANEL,
    captioned,
    draw_layer,
    draw_overlay,
    grey,
    line_width,
    save_pictures,
    save_png,
    side_by_side,
)


def disc(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((y - height / 2) / (height / 3)) ** 2 + ((x - width / 2) / (width / 4)) ** 2 < 1


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (96, 160), (501, 333)])
def test_the_overlay_has_the_images_own_size(size):
    image = np.full((*size, 3), 90, np.uint8)
    for mask in (np.zeros(size, bool), np.ones(size, bool), disc(*size)):
        overlay = draw_overlay(image, mask)
        assert overlay.size == size[::-1] and overlay.mode == "RGB"


def test_an_empty_mask_leaves_the_image_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(draw_overlay(image, np.zeros((40, 60), bool))), image)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 144), (128, 128, 128)])
def test_inside_outside_and_contour_differ_on_any_colour(colour):
    image = np.full((200, 200, 3), colour, np.uint8)
    overlay = np.asarray(draw_overlay(image, disc(200, 200))).astype(int)
    row = overlay[100]  # crosses the contour at columns 50 and 150
    assert (row[0] == colour).all()
    assert (row == 0).all(-1).any() and (row == 255).all(-1).any()  # black rim and white line, whatever the photo
    if colour != (255, 0, 144):
        assert np.abs(row[100] - row[0]).max() > 50


def test_the_line_lies_inside_the_mask_and_its_rim_outside():
    mask = np.zeros((200, 200), bool)
    mask[50:150, 60:140] = True
    overlay = np.asarray(draw_overlay(np.full((200, 200, 3), 100, np.uint8), mask))
    assert line_width((200, 200)) == 1
    assert (overlay[50, 60:140] == 255).all() and (overlay[49, 60:140] == 0).all()
    assert (overlay[50:150, 139] == 255).all() and (overlay[50:150, 140] == 0).all()
    assert (overlay[51, 61] == overlay[100, 100]).all() and (overlay[48, 100] == 100).all()


def test_the_line_grows_with_the_image():
    assert [line_width((side, side)) for side in (20, 200, 1000, 4000)] == [1, 1, 5, 20]
    overlay = np.asarray(draw_overlay(np.full((1000, 1000, 3), 100, np.uint8), disc(1000, 1000)))
    assert (overlay[500, 240:300] == 255).all(-1).sum() == 5
    assert (overlay[500, 230:270] == 0).all(-1).sum() == 5


def test_a_score_map_sets_the_strength_of_the_tint():
    image, mask = np.zeros((40, 80, 3), np.uint8), np.zeros((40, 80), bool)
    mask[:3, 77:] = True  # its contour is far from the row that is read
    ramp = np.tile(np.linspace(0, 1, 80, dtype=np.float32), (40, 1))
    red = np.asarray(draw_overlay(image, mask, ramp))[20, :, 0].astype(int)
    assert red[0] == 0 and red[-1] == round(0.45 * 255) and (np.diff(red) >= 0).all()


@pytest.mark.parametrize("highest", [0.05, 0.3, 1])
def test_a_near_miss_is_seen_however_low_its_scores_and_has_no_contour(highest):
    image, nothing = np.full((40, 80, 3), 100, np.uint8), np.zeros((40, 80), bool)
    ramp = highest * np.tile(np.linspace(0, 1, 80, dtype=np.float32), (40, 1))
    overlay = np.asarray(draw_overlay(image, nothing, ramp)).astype(int)
    strongest = 0.6 * 0.45  # fainter than what is found
    np.testing.assert_allclose(overlay[20, -1], np.rint((1 - strongest) * 100 + strongest * np.array([255, 0, 144])))
    assert (overlay[20, 0] == 100).all() and (np.diff(overlay[20, :, 0]) >= 0).all()
    assert not (overlay == 0).all(-1).any() and not (overlay == 255).all(-1).any()
    np.testing.assert_array_equal(overlay, overlay[:1].repeat(40, axis=0))
    shown = np.asarray(draw_overlay(image, ramp > 0.9 * highest, ramp)).astype(int)
    assert (shown == 255).all(-1).any()  # a mask has its contour


def test_a_near_miss_fades_out_where_there_is_next_to_nothing():
    image, nothing = np.full((40, 80, 3), 100, np.uint8), np.zeros((40, 80), bool)
    overlay = np.asarray(draw_overlay(image, nothing, np.full((40, 80), 0.0005, np.float32))).astype(int)
    assert np.abs(overlay - 100).max() <= 1


def test_scores_of_nothing_leave_the_image_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    nothing = np.zeros((40, 60), bool)
    np.testing.assert_array_equal(np.asarray(draw_overlay(image, nothing, np.zeros((40, 60), np.float32))), image)


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"mask \(40, 79\)"):
        draw_overlay(np.zeros((40, 80, 3), np.uint8), np.zeros((40, 79), bool))


def test_masks_and_scores_in_grey():
    assert np.asarray(grey(np.array([[False, True]]))).tolist() == [[0, 255]]
    assert np.asarray(grey(np.array([[0, 0.5, 1.0]], np.float32))).tolist() == [[0, 128, 255]]
    assert grey(np.zeros((3, 5))).size == (5, 3) and grey(np.zeros((3, 5))).mode == "L"


def test_side_by_side_keeps_aspects_and_shows_titles():
    wide, tall = Image.new("RGB", (400, 100), "red"), Image.new("RGB", (50, 200), "blue")
    picture = np.asarray(side_by_side([("wide one", wide), ("tall one", tall)]))
    red = (picture == (255, 0, 0)).all(-1)
    blue = (picture == (0, 0, 255)).all(-1)
    assert red.any(0).sum() == PANEL and red.any(1).sum() == PANEL // 4
    assert blue.any(1).sum() == PANEL and blue.any(0).sum() == PANEL // 4
    above = picture[: int(np.argmax(red.any(1)))]
    assert (above < 100).all(-1).sum() > 200  # the ink of the titles


def test_many_pictures_make_a_grid_and_long_titles_wrap():
    pictures = [("a title that goes on and on until it cannot but wrap", Image.new("RGB", (10, 10), "red"))] * 5
    picture = side_by_side(pictures)
    assert picture.width < 3.2 * PANEL + 100 and picture.height > 2 * PANEL
    red = (np.asarray(picture) == (255, 0, 0)).all(-1)
    assert red.sum() == 5 * PANEL * PANEL
    with pytest.raises(ValueError, match="at least one picture"):
        side_by_side([])


def test_a_png_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = save_png(grey(np.eye(4)), tmp_path / "a.png")
    before = path.read_bytes()

    def broken(self, file, **options):
        (tmp_path / file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        save_png(grey(np.zeros((4, 4))), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("width", [NARROWEST, 500, 2048])
def test_a_caption_stands_below_its_picture(width):
    picture = Image.new("RGB", (width, 80), "red")
    found = np.asarray(captioned(picture, "cross_modal: A photo of dog " * 9))
    np.testing.assert_array_equal(found[:80], np.asarray(picture))
    below = found[80:]
    assert found.shape[1] == width and (below < 100).all(-1).sum() > 100 and len(below) <= 4.5 * max(12, 0.045 * width)
    assert (below[:, :3] == 255).all()


def test_a_picture_too_narrow_for_words_has_none():
    picture = Image.new("RGB", (NARROWEST - 1, 80), "red")
    assert captioned(picture, "a dog") is picture


def test_a_layer_over_its_image_is_the_overlay():
    image, mask = np.full((96, 160, 3), 90, np.uint8), disc(96, 160)
    layer = draw_layer(mask)
    found = Image.alpha_composite(Image.fromarray(image).convert("RGBA"), layer).convert("RGB")
    difference = np.abs(np.asarray(found).astype(int) - np.asarray(draw_overlay(image, mask)))
    assert layer.mode == "RGBA" and difference.max() <= 1


def test_pictures_replace_what_was_made_of_the_same_alone(tmp_path):
    pictures = {"mask": grey(np.eye(4)), "overlay": Image.new("RGB", (4, 4))}
    first = save_pictures(pictures, tmp_path, "a", "_m", "11111111")
    assert {kind: path.name for kind, path in first.items()} == {"mask": "a_m_mask.png", "overlay": "a_m_overlay.png"}
    assert save_pictures(pictures, tmp_path, "a", "_m", "11111111") == first
    other = save_pictures(pictures, tmp_path, "a", "_m", "22222222")
    assert other["mask"].name == "a-22222222_m_mask.png"
    first["overlay"].write_text("notes")  # one that is not ours, and all have another name
    assert save_pictures(pictures, tmp_path, "a", "_m", "11111111")["mask"].name == "a-11111111_m_mask.png"
    assert first["overlay"].read_text() == "notes"
