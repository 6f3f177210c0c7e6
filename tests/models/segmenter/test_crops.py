import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from models.segmenter.crops import cut, cut_masks, mute_background, squares_around


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
