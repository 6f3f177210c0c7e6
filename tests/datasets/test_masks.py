"""Masks of every file mode say the same, and those whose values are not what they seem are refused."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from datasets.masks import MISREAD, misfit, read_mask, understand_mask
from utils.errors import UserError

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
    assert understand_mask(soft).mask.tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_a_black_mask_is_empty(mode):
    assert np.count_nonzero(understand_mask(Image.new(mode, (5, 4))).mask) == 0


def test_masks_that_are_no_masks_are_refused(tmp_path):
    (tmp_path / "mask.png").write_text("nothing of the kind")
    with pytest.raises(UserError, match=r"cannot read the image .*mask.png: it is no image Pillow knows"):
        read_mask(tmp_path / "mask.png")
    for value in (np.nan, np.inf, -np.inf):
        Image.fromarray(np.array([[0, 1], [1, value]], np.float32)).save(tmp_path / "mask.tiff")
        with pytest.raises(UserError, match=r"cannot read the mask .*not finite numbers; save it as"):
            read_mask(tmp_path / "mask.tiff")


THING = np.hypot(*(np.indices((200, 300)) - np.array([100, 120])[:, None, None])) < 60  # a disc off the middle
RIGHT = np.arange(300) > 120
BLACK_AND_WHITE = Image.fromarray(THING.astype(np.uint8) * 255)


def labels(left, right):
    """A map of two numbers, one for each half of the thing."""
    return Image.fromarray(THING * np.where(RIGHT, right, left).astype(np.uint8))


def palette(colours, indices=THING):
    image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    image.putpalette(colours)
    return image


def file_of(image, file_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return Image.open(buffer)


NOT_WHAT_THEY_SEEM = {  # name: (image, format, kind)
    "an object, and 255 to be ignored": (labels(1, 255), "PNG", "labels_and_255"),
    "PASCAL VOC's colours of dog and person as grey": (labels(34, 147), "PNG", "grey_labels"),
    "ADE20K's numbers on both sides of the middle": (labels(3, 140), "PNG", "grey_labels"),
    "the same with loss": (labels(75, 147), "JPEG", "grey_labels"),
    "16 bits": (Image.fromarray(np.asarray(labels(34, 147)).astype(np.uint16) * 257), "PNG", "grey_labels"),
    "grey as colours": (labels(34, 147).convert("RGB"), "PNG", "grey_labels"),
    "numbers with loss": (labels(1, 2), "JPEG", "lossy_labels"),
    "a palette whose number 0 is white": (palette([255, 255, 255, 0, 0, 0]), "PNG", "bright_background"),
    "and its object red": (palette([255, 255, 255, 200, 0, 0]), "PNG", "bright_background"),
    "a palette and 255": (palette([0, 0, 0, *[9, 8, 7] * 255], np.asarray(labels(5, 255))), "PNG", "labels_and_255"),
}


@pytest.mark.parametrize("name", NOT_WHAT_THEY_SEEM)
def test_what_would_be_read_otherwise_than_meant_is_refused_by_name(name, tmp_path):
    image, file_format, kind = NOT_WHAT_THEY_SEEM[name]
    assert understand_mask(file_of(image, file_format)).kind == kind
    image.save(tmp_path / "mask.png", file_format)
    what, advice = MISREAD[kind]
    with pytest.raises(UserError) as caught:
        read_mask(tmp_path / "mask.png")
    assert str(caught.value).startswith(
        f"expected black and white in the mask {tmp_path / 'mask.png'}, found one {what}"
    )
    assert str(caught.value).endswith(f"; {advice}")


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("again", [False, True], ids=["JPEG", "JPEG saved as PNG"])
def test_compression_makes_no_labels(quality, again):
    image = file_of(BLACK_AND_WHITE, "JPEG", quality=quality)
    reading = understand_mask(file_of(image) if again else image)
    assert reading.kind == ("soft_masks" if again else "lossy_masks")
    assert (reading.mask != THING).mean() < 0.005


SOFT = {
    "antialiased": lambda mask: mask.resize((100, 66), Image.Resampling.BOX),
    "antialiased in few levels": lambda mask: mask.resize((150, 100), Image.Resampling.BOX),
    "coarse, enlarged": lambda mask: mask.resize((75, 50), Image.Resampling.BOX).resize((300, 200), 0),
    "smooth": lambda mask: mask.resize((600, 400), Image.Resampling.BICUBIC),
    "blurred": lambda mask: mask.filter(ImageFilter.GaussianBlur(3)),
    "a probability": lambda mask: mask.filter(ImageFilter.GaussianBlur(15)),
    "a video's black and white": lambda mask: mask.point(lambda value: 235 if value else 16),
}


@pytest.mark.parametrize("name", SOFT)
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_soft_masks_are_no_labels(name, file_format):
    kind = understand_mask(file_of(SOFT[name](BLACK_AND_WHITE), file_format)).kind
    assert kind == ("soft_masks" if file_format == "PNG" else "lossy_masks")


@pytest.mark.parametrize("colours", [[0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0]])
def test_a_palette_in_the_order_of_a_program_is_read_by_its_colours(colours):
    indices = THING if colours[0] == 0 else ~THING
    reading = understand_mask(file_of(palette(colours, indices)))
    assert reading.kind == "two_values"
    np.testing.assert_array_equal(reading.mask, THING)


@pytest.mark.parametrize(
    ("size", "image_size", "found"),
    [
        ((30, 40), (30, 40), ""),
        ((40, 30), (30, 40), "across"),
        ((60, 80), (30, 40), "resized"),
        ((22, 30), (30, 40), "resized"),  # rounded
        ((30, 30), (30, 40), "of_other_shape"),
    ],
)
def test_masks_that_do_not_lie_over_their_image_are_told_apart(size, image_size, found):
    assert misfit(size, image_size) == found
