import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from models.segmenter.crops import (
    Placement,
    cut,
    cut_masks,
    letterboxed,
    mute_background,
    placed,
    resize_by_area,
    squares_around,
)


@pytest.mark.parametrize(
    ("box", "context", "square"),
    [
        ([10, 20, 30, 24], 0.0, [10, 12, 20]),
        ([10, 20, 30, 24], 0.5, [5, 7, 30]),
        ([0, 0, 1, 1], 0.0, [0, 0, 1]),
        ([2, 2, 2.2, 2.1], 0.0, [2, 2, 1]),
        ([0, 0, 5, 100], 0.2, [-58, -10, 120]),
    ],
)
def test_squares_around_boxes(box, context, square):
    assert squares_around(torch.tensor([box], dtype=torch.float32), context).tolist() == [square]
    assert squares_around(torch.zeros(0, 4), context).shape == (0, 3)


def test_what_lies_beyond_the_image_has_one_colour():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    crop = np.array(cut(Image.fromarray(pixels), [-2, 3, 5], (1, 2, 3)))
    np.testing.assert_array_equal(crop[:3, 2:], pixels[3:6, :3])
    assert (crop[3:] == (1, 2, 3)).all() and (crop[:, :2] == (1, 2, 3)).all()
    np.testing.assert_array_equal(cut(Image.fromarray(pixels), [1, 2, 4], (0, 0, 0)), pixels[2:6, 1:5])


def test_masks_are_cut_with_the_same_squares():
    masks = torch.rand(2, 20, 30)
    squares = torch.tensor([[4, 6, 8], [-4, -4, 8]])
    found = cut_masks(masks, squares, (1.0, 1.0), 8)
    torch.testing.assert_close(found[0, 0], masks[0, 6:14, 4:12])
    torch.testing.assert_close(found[1, 0, 5:, 5:], masks[1, 1:4, 1:4])
    assert found.shape == (2, 1, 8, 8) and not found[1, 0, :3].any() and not found[1, 0, :, :3].any()
    halved = cut_masks(masks, squares[:1] * 2, (0.5, 0.5), 8)  # masks half the image's size
    torch.testing.assert_close(halved[0, 0], masks[0, 6:14, 4:12])
    doubled = cut_masks(masks, squares[:1], (1.0, 1.0), 16)
    expected = interpolate(masks[:1, None], scale_factor=2, mode="bilinear")[0, 0, 12:28, 8:24]
    torch.testing.assert_close(doubled[0, 0], expected)


def test_only_the_background_is_muted():
    crops, masks = torch.randn(2, 3, 32, 32), torch.zeros(2, 1, 32, 32)
    masks[:, :, 8:24, 8:24] = 1
    for background in ("blur", "mean"):
        muted = mute_background(crops, masks, background)
        torch.testing.assert_close(muted[..., 8:24, 8:24], crops[..., 8:24, 8:24])
    assert not mute_background(crops, masks, "mean")[..., :8, :].any()
    blurred = mute_background(crops, torch.zeros_like(masks), "blur")
    assert blurred.std() < 0.4 * crops.std()
    torch.testing.assert_close(blurred.mean(dim=(2, 3)), crops.mean(dim=(2, 3)), atol=0.05, rtol=0)
    flat = torch.full((1, 3, 5, 5), 0.7)
    torch.testing.assert_close(mute_background(flat, torch.zeros(1, 1, 5, 5), "blur"), flat)


@pytest.mark.parametrize(
    ("size", "placement"),
    [
        ((480, 640), Placement(52, 0, 312, 416)),
        ((640, 480), Placement(0, 52, 416, 312)),
        ((300, 417), Placement(58, 0, 299, 416)),
        ((1, 1), Placement(0, 0, 416, 416)),
        ((1, 5000), Placement(207, 0, 1, 416)),
    ],
)
def test_the_middle_of_the_square_with_the_images_aspect(size, placement):
    assert placed(size, 416) == placement


def test_whole_areas_are_averaged():
    image = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)
    expected = np.rint(image.reshape(4, 2, 4, 3, 3).mean(axis=(1, 3)))
    np.testing.assert_array_equal(resize_by_area(image, (4, 4)), expected)
    np.testing.assert_array_equal(resize_by_area(image, (8, 12)), image)
    np.testing.assert_array_equal(resize_by_area(image, (16, 36)), image.repeat(2, axis=0).repeat(3, axis=1))


def test_areas_that_cut_pixels_weigh_their_parts():
    row = np.array([[10, 20, 40]], np.uint8)[..., None]
    np.testing.assert_array_equal(resize_by_area(row, (1, 2))[0, :, 0], [13, 33])  # (10 + 20 / 2) / 1.5, ...
    # OpenCV 5.0: cv2.resize(image, (3, 2), interpolation=cv2.INTER_AREA)
    image = (np.arange(20).reshape(4, 5) ** 2 % 251).astype(np.uint8)[..., None]
    np.testing.assert_array_equal(resize_by_area(image, (2, 3))[..., 0], [[15, 27, 44], [123, 91, 140]])


def test_around_the_image_is_the_colour():
    image = np.full((10, 20, 3), 200, np.uint8)
    square = letterboxed(image, placed((10, 20), 40), 40, (1, 2, 3))
    assert square.shape == (40, 40, 3) and (square[10:30] == 200).all()
    assert (square[:10] == (1, 2, 3)).all() and (square[30:] == (1, 2, 3)).all()
