"""Images of every file mode say the same, and resizing keeps masks and score maps in place."""

import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from utils.errors import UserError
from utils.media import images
from utils.media.images import (
    open_image,
    opened,
    read_image,
    read_image_and_size,
    resize_mask,
    resize_score_map,
    stored,
)

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


GARBAGE = [
    b"Exif\0\0\0\x08\0\x02\x01\x12\0\x03",
    b"",
    b"II*\0\xff\xff\xff\xff",
    b"MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 40,
]


@pytest.mark.parametrize("exif", GARBAGE)
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg"])
def test_broken_exif_stops_nobody(name, exif, tmp_path, recwarn):
    Image.fromarray(RGB).save(tmp_path / name, exif=exif, quality=100, lossless=True)
    assert open_image(tmp_path / name).size == (9, 6)
    assert read_image(tmp_path / name).shape == RGB.shape
    assert not recwarn.list


def test_an_orientation_in_xmp_alone_turns_nothing(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for name in ("a.jpg", "a.webp", "a.tiff"):
        Image.fromarray(RGB).save(tmp_path / name, xmp=xmp)
        assert read_image_and_size(tmp_path / name)[1] == read_image(tmp_path / name).shape[:2] == (6, 9)
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(RGB).save(tmp_path / "both.jpg", xmp=xmp, exif=exif)
    assert read_image(tmp_path / "both.jpg").shape[:2] == (9, 6)


def announcing(width, height):
    """A PNG's header, and nothing behind it."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_header_that_announces_too_much_is_refused_before_anything_is_decoded(tmp_path):
    (tmp_path / "bomb.png").write_bytes(announcing(50_000, 50_000))
    words = "announces more than the 178 million pixels that are read; save it again as PNG or JPEG, smaller"
    for read in (read_image, open_image):
        with pytest.raises(UserError, match=f"cannot read the image .*bomb.png: its header {words}"):
            read(tmp_path / "bomb.png")


def test_a_large_photograph_is_opened_without_a_warning(tmp_path):
    (tmp_path / "large.png").write_bytes(announcing(12_000, 9_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(tmp_path / "large.png") as image:
            assert stored(image).size == (9_000, 12_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_no_number_is_refused(value, tmp_path):
    values = np.full((4, 5), 0.5, np.float32)
    values[1, 2] = value
    Image.fromarray(values).save(tmp_path / "a.tiff")
    with pytest.raises(
        UserError, match=r"cannot read the image .*a.tiff: it holds values that are not finite numbers; "
    ):
        read_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "I;16", "F"])
def test_large_pictures_are_reduced_to_the_mean_of_each_area(mode, tmp_path, monkeypatch):
    fine = np.indices((40, 60)).sum(0) % 2 * 200
    monkeypatch.setattr(images, "LONGEST_SIDE", 30)
    if mode in ("I;16", "F"):
        Image.fromarray((fine * 257).astype(np.uint16) if mode == "I;16" else fine.astype(np.float32)).save(
            tmp_path / "a.tiff"
        )
    else:
        Image.fromarray(fine.astype(np.uint8)).convert(mode, dither=Image.Dither.NONE).save(tmp_path / "a.tiff")
    found, own_size = read_image_and_size(tmp_path / "a.tiff")
    assert (found.shape, own_size) == ((20, 30, 3), (40, 60))
    assert set(found.ravel()) <= ({100} if mode != "1" else {127, 128})
    monkeypatch.setattr(images, "LONGEST_SIDE", 60)
    assert read_image(tmp_path / "a.tiff").shape == (40, 60, 3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_keeps_its_place_and_its_own_size(orientation, tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = np.zeros((640, 960, 3), np.uint8)
    picture[:320, :480] = 255
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif)
    monkeypatch.setattr(images, "LONGEST_SIDE", 96)
    found, own_size = read_image_and_size(tmp_path / "a.jpg")
    expected = np.rot90(picture[::10, ::10], 0 if orientation == 1 else -1)
    assert (found.shape, own_size) == (expected.shape, (expected.shape[0] * 10, expected.shape[1] * 10))
    assert np.abs(found.astype(int) - expected).mean() < 2


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


@pytest.mark.parametrize("orientation", [1, 6])
def test_what_an_iphone_takes_is_read_upright(orientation, tmp_path):
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = np.kron(RGB, np.ones((16, 16, 1), np.uint8))
    heif.from_pillow(Image.fromarray(large)).save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    wanted = np.rot90(large, -1) if orientation == 6 else large
    image, size = read_image_and_size(tmp_path / "a.heic")
    assert image.shape == wanted.shape and size == wanted.shape[:2]
    assert np.abs(image.astype(int) - wanted).mean() < 8
    assert np.abs(np.asarray(open_image(tmp_path / "a.heic").convert("RGB")).astype(int) - wanted).mean() < 8


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


def test_rows_are_resized_alike_however_many_at_once(monkeypatch):
    score_map = np.random.default_rng(4).random((31, 43), np.float32)
    whole = resize_score_map(score_map, (97, 113))
    monkeypatch.setattr(images, "BLOCK", 500)
    np.testing.assert_array_equal(resize_score_map(score_map, (97, 113)), whole)
    np.testing.assert_array_equal(resize_score_map(score_map, (97, 113), lambda rows: rows > 0.5), whole > 0.5)
    np.testing.assert_array_equal(resize_score_map(score_map, (31, 43), lambda rows: rows > 0.5), score_map > 0.5)


def test_the_mask_of_a_large_map_is_made_without_its_floats():
    tracemalloc.start()
    mask = resize_score_map(np.eye(64, dtype=np.float32), (8000, 4000), lambda rows: rows > 0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mask.nbytes == 32_000_000
    assert peak < 4 * mask.nbytes  # the map in float32 alone would have that
