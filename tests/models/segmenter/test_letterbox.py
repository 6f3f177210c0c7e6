import numpy as np
import pytest

from models.segmenter.letterbox import Placement, placed, put, resize_by_area


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
    square = put(image, placed((10, 20), 40), 40, (1, 2, 3))
    assert square.shape == (40, 40, 3) and (square[10:30] == 200).all()
    assert (square[:10] == (1, 2, 3)).all() and (square[30:] == (1, 2, 3)).all()
