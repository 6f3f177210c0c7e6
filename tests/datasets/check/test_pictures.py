"""Pictures have one size however they are looked at, a broken one says why, and masks are told apart as they are."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets.check.pictures import image_content, mask_content, mask_values, picture_header
from datasets.masks import understand_mask
from tests.datasets.check.check_folders import left_half, picture

LOOKS = (picture_header, image_content, mask_content)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (48, 64)), (3, (48, 64)), (6, (64, 48)), (8, (64, 48))])
def test_sizes_are_upright(tmp_path, suffix, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(0).save(tmp_path / f"a{suffix}", exif=exif)
    for look in LOOKS:
        facts = look(tmp_path / f"a{suffix}")
        assert (facts.size, facts.orientation, facts.problem) == (size, orientation, "")


def test_only_masks_have_values_and_only_contents_a_digest(tmp_path):
    Image.fromarray(left_half()).save(tmp_path / "a.png")
    header, image, mask = (look(tmp_path / "a.png") for look in LOOKS)
    assert (header.values, image.values, mask.values.fraction) == (None, None, 0.5)
    assert (header.digest, len(image.digest), mask.digest) == ("", 64, image.digest)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-12], "truncated PNG file"),  # all pixels are there
        (lambda content: content[: len(content) // 2], "Truncated File Read"),
        (lambda content: b"", "it is empty (0 bytes)"),
        (lambda content: b"text", "it is no image Pillow knows"),
    ],
)
def test_damaged_files_say_what_is_wrong_and_keep_their_digest(tmp_path, damage, reason):
    picture(0).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(damage((tmp_path / "a.png").read_bytes()))
    facts = image_content(tmp_path / "a.png")
    assert reason in facts.problem
    assert (facts.size, len(facts.digest)) == (None, 64)


IMAGES = {  # name: (image, reading)
    "black and white": (Image.fromarray(left_half()), "two_values"),
    "1 bit": (Image.fromarray(left_half() > 0), "two_values"),
    "white grey as colours": (Image.fromarray(left_half()).convert("RGB"), "two_values"),
    "all white": (Image.fromarray(left_half(background=255)), "two_values"),
    "16 bits": (Image.fromarray(left_half().astype(np.uint16) * 257), "two_values"),
    "0 and 1": (Image.fromarray(left_half(foreground=1)), "zero_one_masks"),
    "labels": (Image.fromarray(left_half(background=3, foreground=94)), "label_maps"),
    "labels and 255": (Image.fromarray(np.hstack([left_half(foreground=94), left_half()])), "labels_and_255"),
    "labels and 65535": (
        Image.fromarray(np.hstack([left_half(foreground=9), left_half()]).astype(np.uint16) * 257),
        "labels_and_255",
    ),
    "soft edges": (Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (4, 1))), "soft_masks"),
    "floats": (Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)), "soft_masks"),
    "colours": (Image.fromarray(np.stack([left_half(), left_half(foreground=9), left_half() * 0], 2)), "colour_masks"),
}


def palette_image(indices, colours):
    image = Image.fromarray(indices, "L").convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([value for index in range(256) for value in colours.get(index, (0, 0, 0))])
    return image


VOC = {0: (0, 0, 0), 5: (128, 0, 128), 255: (224, 224, 192)}
IMAGES["palette"] = (palette_image(left_half(foreground=5), VOC), "colour_masks")
IMAGES["palette and void"] = (
    palette_image(np.hstack([left_half(foreground=5), left_half()]), VOC),
    "labels_and_255",
)


def stored(image, format):
    buffer = io.BytesIO()
    image.save(buffer, format)
    return Image.open(buffer)


@pytest.mark.parametrize("name", IMAGES)
def test_masks_that_look_alike_are_told_apart(name):
    image, reading = IMAGES[name]
    image = stored(image, "TIFF" if image.mode == "F" else "PNG")
    values = mask_values(image)
    assert values.kind == reading
    assert values.fraction == understand_mask(image).mask.mean()


@pytest.mark.parametrize(("foreground", "reading"), [(255, "lossy_masks"), (0, "lossy_masks"), (1, "lossy_labels")])
def test_lossy_files_are_told_apart_by_their_brightest_value(foreground, reading):
    values = mask_values(stored(Image.fromarray(left_half(foreground=foreground)), "JPEG"))
    assert (values.kind, values.fraction) == (reading, 0.5 if foreground == 255 else 0)


def test_transparent_white_is_background():
    image = Image.merge("LA", [Image.fromarray(left_half(background=255)), Image.fromarray(left_half())])
    assert mask_values(stored(image, "PNG")).fraction == 0.5


def test_a_label_map_that_hides_behind_255_would_lose_its_labels():
    image = stored(IMAGES["labels and 255"][0], "PNG")
    values = mask_values(image)
    assert values.shown == "0 94 255"
    assert values.fraction == 0.25  # only the pixels to be ignored


def test_many_values_are_shown_by_their_ends():
    assert mask_values(stored(IMAGES["soft edges"][0], "PNG")).shown == "0 1 2 ... 254 255"


def test_the_fraction_that_is_scored_is_that_at_224():
    mask = np.zeros((2240, 2240), np.uint8)
    mask[0, 0] = 255
    values = mask_values(stored(Image.fromarray(mask), "PNG"))
    assert values.fraction > 0
    assert values.fraction_scored == 0
