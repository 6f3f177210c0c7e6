"""Mask files that look alike and are read differently are told apart, and counted as `utils.media.masks` reads them."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets.check.masks import mask_values
from tests.datasets.check.check_folders import left_half
from utils.media.masks import mask_from_image

IMAGES = {  # name: (image, reading)
    "black and white": (Image.fromarray(left_half()), "two values"),
    "1 bit": (Image.fromarray(left_half() > 0), "two values"),
    "white grey as colours": (Image.fromarray(left_half()).convert("RGB"), "two values"),
    "all white": (Image.fromarray(left_half(background=255)), "two values"),
    "16 bits": (Image.fromarray(left_half().astype(np.uint16) * 257), "two values"),
    "0 and 1": (Image.fromarray(left_half(foreground=1)), "0 and 1"),
    "labels": (Image.fromarray(left_half(background=3, foreground=94)), "labels"),
    "labels and 255": (Image.fromarray(np.hstack([left_half(foreground=94), left_half()])), "labels and ignore"),
    "labels and 65535": (
        Image.fromarray(np.hstack([left_half(foreground=9), left_half()]).astype(np.uint16) * 257),
        "labels and ignore",
    ),
    "soft edges": (Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (4, 1))), "soft"),
    "floats": (Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)), "soft"),
    "colours": (Image.fromarray(np.stack([left_half(), left_half(foreground=9), left_half() * 0], 2)), "colours"),
}


def palette_image(indices, colours):
    image = Image.fromarray(indices, "L").convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([value for index in range(256) for value in colours.get(index, (0, 0, 0))])
    return image


VOC = {0: (0, 0, 0), 5: (128, 0, 128), 255: (224, 224, 192)}
IMAGES["palette"] = (palette_image(left_half(foreground=5), VOC), "colours")
IMAGES["palette and void"] = (
    palette_image(np.hstack([left_half(foreground=5), left_half()]), VOC),
    "labels and ignore",
)


def stored(image, format):
    buffer = io.BytesIO()
    image.save(buffer, format)
    return Image.open(buffer)


@pytest.mark.parametrize("name", IMAGES)
def test_readings(name):
    image, reading = IMAGES[name]
    image = stored(image, "TIFF" if image.mode == "F" else "PNG")
    values = mask_values(image)
    assert values.reading == reading
    assert values.share == mask_from_image(image).mean()


@pytest.mark.parametrize(("foreground", "reading"), [(255, "lossy"), (0, "lossy"), (1, "lossy labels")])
def test_lossy_files_are_told_apart_by_their_brightest_value(foreground, reading):
    values = mask_values(stored(Image.fromarray(left_half(foreground=foreground)), "JPEG"))
    assert (values.reading, values.share) == (reading, 0.5 if foreground == 255 else 0)


def test_transparent_white_is_background():
    image = Image.merge("LA", [Image.fromarray(left_half(background=255)), Image.fromarray(left_half())])
    assert mask_values(stored(image, "PNG")).share == 0.5


def test_a_label_map_that_hides_behind_255_would_lose_its_labels():
    image = stored(IMAGES["labels and 255"][0], "PNG")
    values = mask_values(image)
    assert values.shown == "0 94 255"
    assert values.share == 0.25  # only the pixels to be ignored


def test_many_values_are_shown_by_their_ends():
    assert mask_values(stored(IMAGES["soft edges"][0], "PNG")).shown == "0 1 2 ... 254 255"


def test_the_share_that_is_scored_is_that_at_224():
    mask = np.zeros((2240, 2240), np.uint8)
    mask[0, 0] = 255
    values = mask_values(stored(Image.fromarray(mask), "PNG"))
    assert values.share > 0
    assert values.share_scored == 0
