"""Images and masks of every file mode say the same, and resizing keeps masks and score maps in place."""

import numpy as np
import pytest
import torch
from PIL import Image

from utils.errors import UserError
from utils.media.images import mask_from_image, read_image, read_mask, resize_mask, resize_score_map

RGB = np.zeros((6, 9, 3), np.uint8)
RGB[:3, :4] = (250, 20, 30)  # top left
RGB[3:, 4:] = (10, 200, 90)  # bottom right


def grey_level(path):
    """The one grey level an image of one colour was read as."""
    image = read_image(path)
    assert image.shape == (4, 5, 3)
    (level,) = set(image.ravel().tolist())
    return level


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.tiff", "a.webp", "dotted.name.mp4_1.png"])
def test_lossless_colours_survive(name, tmp_path):
    Image.fromarray(RGB).save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    found = read_image(tmp_path / name)
    assert (found.dtype, found.flags.writeable) == (np.uint8, True)
    np.testing.assert_array_equal(found, RGB)


def test_palette_colours_are_looked_up(tmp_path):
    Image.fromarray(RGB).quantize(3).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, tmp_path):
    stored = {
        1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1],
        5: RGB.transpose(1, 0, 2), 6: np.rot90(RGB), 7: np.rot90(RGB.transpose(1, 0, 2), 2), 8: np.rot90(RGB, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_lie_on_white(mode, tmp_path):
    image = Image.new(mode, (5, 4), (40,) * (len(mode) - 1) + (0,))
    image.save(tmp_path / "a.png")
    assert grey_level(tmp_path / "a.png") == 255


def test_half_transparent_black_is_half_grey(tmp_path):
    Image.new("RGBA", (5, 4), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert grey_level(tmp_path / "a.png") == 127


def test_a_transparent_palette_entry_lies_on_white(tmp_path):
    image = Image.new("P", (5, 4), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.save(tmp_path / "a.png", transparency=1)
    assert grey_level(tmp_path / "a.png") == 255


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((4, 5), 65535, np.uint16), 255),
        (np.full((4, 5), 32896, np.uint16), 128),
        (np.full((4, 5), 255, np.uint16), 1),
        (np.full((4, 5), 200, np.int32), 200),
        (np.full((4, 5), 65535, np.int32), 255),
        (np.full((4, 5), 0.5, np.float32), 128),
        (np.full((4, 5), 77.0, np.float32), 77),
        (np.full((4, 5), -3.0, np.float32), 0),
        (np.full((4, 5), np.nan, np.float32), 0),
    ],
)
def test_deep_grey_is_scaled_to_8_bit(values, expected, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert grey_level(tmp_path / "a.tiff") == expected


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_becomes_three_equal_channels(mode, tmp_path):
    Image.new(mode, (5, 4), 255).save(tmp_path / "a.png")
    assert grey_level(tmp_path / "a.png") == 255


def test_cmyk_jpeg_is_rgb(tmp_path):
    Image.new("RGB", (5, 4), (200, 40, 40)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - (200, 40, 40)).max() <= 3


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (5, 4), level) for level in ("white", "black")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert grey_level(tmp_path / "a.gif") == 255


def test_a_truncated_image_is_refused_by_name(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cannot read the image .*cut.png: .*; save it again as PNG or JPEG"):
        read_image(tmp_path / "cut.png")


MASK = np.zeros((16, 24), bool)
MASK[4:10, 8:20] = True
GREY = MASK.astype(np.uint8) * 255
COLOUR = np.where(MASK[..., None], np.array([64, 0, 0], np.uint8), np.uint8(0))  # one label colour of a palette


def palette_image(colours):
    image = Image.fromarray(MASK.astype(np.uint8))
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(colours)
    return image


def with_alpha(mode):
    layers = [Image.new("L", MASK.shape[::-1], 255)] * (len(mode) - 1)
    return Image.merge(mode, [*layers, Image.fromarray(GREY)])


LOSSLESS = {
    "grey": Image.fromarray(GREY),
    "grey of 0 and 1": Image.fromarray(MASK.astype(np.uint8)),
    "grey of 0 and a category id": Image.fromarray(MASK.astype(np.uint8) * 94),
    "1 bit": Image.fromarray(GREY).convert("1"),
    "grey as RGB": Image.fromarray(GREY).convert("RGB"),
    "colour": Image.fromarray(COLOUR),
    "palette, black and white": palette_image([0, 0, 0, 255, 255, 255]),
    "palette, a label colour": palette_image([0, 0, 0, 64, 0, 0]),
    "opaque white on transparent white, RGBA": with_alpha("RGBA"),
    "opaque white on transparent white, LA": with_alpha("LA"),
    "16 bit": Image.fromarray(MASK.astype(np.uint16) * 65535),
    "16 bit of 0 and 255": Image.fromarray(MASK.astype(np.uint16) * 255),
    "16 bit of 0 and 1": Image.fromarray(MASK.astype(np.uint16)),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_png_masks_of_any_mode_read_the_same(kind, tmp_path):
    LOSSLESS[kind].save(tmp_path / "mask.png")
    found = read_mask(tmp_path / "mask.png")
    assert found.dtype == bool
    np.testing.assert_array_equal(found, MASK)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(MASK.astype(np.float32)),
        Image.fromarray(MASK.astype(np.int32) * 255),
        LOSSLESS["grey"].convert("CMYK"),
    ],
    ids=["float", "32 bit", "CMYK"],
)
def test_tiff_masks_of_any_mode_read_the_same(image, tmp_path):
    image.save(tmp_path / "mask.tiff")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.tiff"), MASK)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", ["mask.jpg", "mask.JPEG", "really_a_jpeg.png"])
def test_jpeg_noise_is_cut_at_the_middle(mode, name, tmp_path):
    big = Image.fromarray(GREY.repeat(5, 0).repeat(5, 1)).convert(mode)
    big.save(tmp_path / name, format="JPEG", quality=60)
    with Image.open(tmp_path / name) as image:
        noisy = np.asarray(image.convert("L"))
    assert ((noisy > 0) & (noisy < 255)).any()
    np.testing.assert_array_equal(read_mask(tmp_path / name), MASK.repeat(5, 0).repeat(5, 1))


def test_faint_jpeg_noise_alone_is_an_empty_mask(tmp_path):
    noise = np.random.default_rng(0).integers(0, 20, (32, 32), np.uint8)
    Image.fromarray(noise).save(tmp_path / "mask.jpg")
    assert np.count_nonzero(read_mask(tmp_path / "mask.jpg")) == 0


def test_soft_edges_are_cut_at_128():
    soft = Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8))
    assert mask_from_image(soft).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_a_black_mask_is_empty(mode):
    assert np.count_nonzero(mask_from_image(Image.new(mode, (5, 4)))) == 0


def test_masks_that_are_no_masks_are_refused(tmp_path):
    (tmp_path / "mask.png").write_text("nothing of the kind")
    with pytest.raises(UserError, match=r"cannot read the image .*mask.png: it is no image Pillow knows"):
        read_mask(tmp_path / "mask.png")
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "mask.tiff")
    with pytest.raises(UserError, match=r"cannot read the mask .*not finite numbers; save it as"):
        read_mask(tmp_path / "mask.tiff")


def test_nearest_takes_the_pixel_under_the_centre():
    mask = np.array([[1, 0, 0, 1]], bool)
    assert resize_mask(mask, (1, 2)).tolist() == [[False, True]]  # centres 1.0 and 3.0
    assert resize_mask(mask, (2, 8)).tolist() == [[True, True, False, False, False, False, True, True]] * 2
    np.testing.assert_array_equal(resize_mask(MASK, MASK.shape), MASK)


def test_enlarging_a_mask_and_shrinking_it_again_loses_nothing():
    mask = np.random.default_rng(1).random((37, 53)) > 0.5
    np.testing.assert_array_equal(resize_mask(resize_mask(mask, (224, 224)), (37, 53)), mask)


@pytest.mark.parametrize(("old", "new"), [((7, 5), (224, 224)), ((300, 411), (224, 224)), ((1, 1), (3, 4))])
def test_bilinear_is_the_published_evaluators_bilinear(old, new):
    score_map = np.random.default_rng(2).random(old, np.float32)
    found = resize_score_map(score_map, new)
    published = torch.nn.functional.interpolate(torch.from_numpy(score_map)[None, None], size=new, mode="bilinear")
    assert (found.shape, found.dtype) == (new, np.float32)
    np.testing.assert_allclose(found, published[0, 0].numpy(), atol=1e-4)


def test_bilinear_stays_within_the_range_of_its_input():
    ones = np.full((13, 17), 0.7, np.float16)
    assert set(resize_score_map(ones, (224, 224)).ravel()) == {np.float32(np.float16(0.7))}
    score_map = np.random.default_rng(3).random((50, 60)).round().astype(np.float32)
    assert 0 <= resize_score_map(score_map, (224, 224)).min() <= resize_score_map(score_map, (224, 224)).max() <= 1


@pytest.mark.parametrize("resize", [resize_mask, resize_score_map])
def test_maps_of_another_shape_are_refused(resize):
    with pytest.raises(ValueError, match=r"of shape \(H, W\) with at least one pixel, found shape \(2, 2, 3\)"):
        resize(np.zeros((2, 2, 3), np.float32), (2, 2))
    with pytest.raises(ValueError, match=r"found shape \(0, 2\)"):
        resize(np.zeros((0, 2), np.float32), (2, 2))
