import numpy as np
import pytest
import torch

from models.segmenter.low_res_maps import stretched, strongest_in_frame, within_aspect


def test_maps_are_stretched_over_the_whole_image():
    low_res = torch.tensor([[0.0, 1.0]])
    np.testing.assert_allclose(stretched(low_res, (2, 4)), [[0, 0.25, 0.75, 1]] * 2)
    np.testing.assert_allclose(strongest_in_frame(torch.stack([low_res, 0.5 - low_res / 2]), (1, 2)), [[0.5, 1]])
    assert not strongest_in_frame(torch.zeros(0, 5, 5), (3, 4)).any()


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        ((3, 7), (3, 7)),
        ((16, 1), (16, 1)),
        ((2, 33), (3, 33)),
        ((1, 4000), (250, 4000)),
        ((320, 5), (320, 20)),
    ],
)
def test_very_long_images_are_filled_up_and_pixels_keep_their_places(size, padded):
    image = np.random.default_rng(0).integers(1, 256, (*size, 3), dtype=np.uint8)
    seen = within_aspect(image)
    assert seen.shape == (*padded, 3) and seen.dtype == np.uint8
    np.testing.assert_array_equal(seen[: size[0], : size[1]], image)
    assert seen.sum() == image.sum()
