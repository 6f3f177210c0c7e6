"""How the values of a mask file are read, and whether they look as if something else was meant.

`utils.media.masks` decides what is foreground; here it is told apart whether a file holds just two values, labels, soft edges
or colours, so that a file that is read otherwise than meant can be named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from utils.media.masks import LOSSY_FORMATS, mask_from_image, resize_mask
from utils.runs.engine import EVAL_SIZE

__all__ = ["MaskValues", "mask_values"]

Reading = Literal["two values", "0 and 1", "labels", "labels and ignore", "soft", "colours", "lossy", "lossy labels"]
SHOWN_AT_MOST = 6  # values of one file


@dataclass(frozen=True)
class MaskValues:
    """What a mask holds.

    Attributes:
        reading: "two values": black and white; "0 and 1": numbers instead of them; "labels": other numbers below the
            middle of the range, 0 is background; "labels and ignore": the same beside the highest value; "soft": grey
            between black and white, cut at the middle; "colours": all but black is foreground; "lossy": compressed with
            loss, cut at 128; "lossy labels": the same without a value that reaches 128.
        shown: the values, the middle ones left away where there are many; "" for colours.
        share: of the pixels that are foreground.
        share_scored: the same after resizing to the size at which masks are scored.
    """

    reading: Reading
    shown: str
    share: float
    share_scored: float


def mask_values(image: Image.Image) -> MaskValues:
    """Looks at the values of a mask.

    Args:
        image: decoded, of any mode, with its file's `format`.

    Raises:
        ValueError: floating-point values that are not finite.
    """
    reading, shown = _reading(image)
    quick = _is_plain_grey(image) and reading == "two values"  # nearly all masks; the general way takes much longer
    mask = np.asarray(image) > 0 if quick else mask_from_image(image)
    return MaskValues(reading, shown, float(mask.mean()), float(resize_mask(mask, EVAL_SIZE).mean()))


def _reading(image: Image.Image) -> tuple[Reading, str]:
    if image.mode == "1":
        return "two values", ""
    levels, is_grey = _levels(image)
    lossy = image.format in LOSSY_FORMATS
    if lossy:
        return ("lossy labels" if 0 < levels[-1] < 128 else "lossy"), _shown(levels)
    if image.mode == "P":
        indices = np.unique(np.asarray(image))
        if not is_grey and _hides_labels(indices, 255, 128):
            return "labels and ignore", _shown(indices)
    return (_reading_of_grey(levels), _shown(levels)) if is_grey else ("colours", "")


def _levels(image: Image.Image) -> tuple[np.ndarray, bool]:
    """The sorted values of a mask's brightest channel, and whether its channels are equal."""
    if _is_plain_grey(image):
        return np.flatnonzero(image.histogram()), True
    if image.mode.startswith(("I", "F")):
        return np.unique(np.asarray(image)), True
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    colours = np.asarray(image.convert("RGB"))  # (H, W, 3)
    is_grey = bool((colours == colours[..., :1]).all())
    return np.flatnonzero(np.bincount(colours.max(axis=2).ravel(), minlength=256)), is_grey


def _is_plain_grey(image: Image.Image) -> bool:
    return image.mode == "L" and not image.has_transparency_data


def _reading_of_grey(levels: np.ndarray) -> Reading:
    peak = levels[-1]
    if levels.dtype.kind == "f" and peak <= 1:
        white, middle = 1.0, 0.5
    else:
        white, middle = (65535, 32768) if peak > 255 else (255, 128)
    values = set(levels.tolist())
    if values <= {0, white}:
        return "two values"
    if values <= {0, 1}:
        return "0 and 1"
    if peak < middle:
        return "labels"
    return "labels and ignore" if _hides_labels(levels, white, middle) else "soft"


def _hides_labels(levels: np.ndarray, white: float, middle: float) -> bool:
    """Whether there is the highest value, and values below the middle, and nothing in between, as soft edges have."""
    return bool(levels[-1] == white and (levels[:-1] < middle).all() and (levels[:-1] > 0).any())


def _shown(levels: np.ndarray) -> str:
    texts = [f"{level:g}" for level in levels.tolist()]
    if len(texts) > SHOWN_AT_MOST:
        texts = [*texts[: SHOWN_AT_MOST // 2], "...", *texts[-SHOWN_AT_MOST // 2 + 1 :]]
    return " ".join(texts)
