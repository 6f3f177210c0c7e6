"""Ground-truth masks: read from files of any kind, or refused where their values do not say what is foreground.

What counts as a mask's foreground, after colours are read through the palette and transparent pixels taken as black:
    1-bit: the set pixels.
    Grey (also grey stored as RGB): values from the middle of the range up (128 of 255, 32768 of 65535, 0.5 of 1.0),
        which survives JPEG noise and soft edges. A lossless file of whole numbers whose largest value lies below the
        middle is a label map: everything but 0.
    Colour: every colour but black; in a lossy file, pixels whose brightest channel is at least 128.
    Lossy files are JPEG, WebP and AVIF. Masks that these rules would read otherwise than they are meant are refused:
    see MISREAD.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import reduce

import numpy as np
from PIL import Image

from utils.errors import UserError
from utils.media.images import LOSSY_FORMATS, NOT_FINITE, in_mode, opaque, open_image

LABELS_AT_MOST = 32  # grey levels of a label map; soft edges and compression leave more, or few pixels of each
LABEL_SHARE = 0.2  # of the pixels in flat areas, that have one level; soft masks, coarse ones too, have less
LOSS = 16  # grey levels by which compression moves a flat area at most
SHOWN_AT_MOST = 6  # values of one mask
SAVE_AGAIN = "save masks as 8-bit grey PNG of 0 and 255"
MISREAD = {  # kind of mask: what is wrong with it, and what to do
    "labels_and_255": (
        "with labels and the highest value, which looks like an ignore label and would be read as foreground",
        "use the dataset's importer, or move those pixels to gt_ignore and save the others as 0 and 255",
    ),
    "grey_labels": (
        "with areas of grey below and above the middle of the range, labels or colours turned grey, of which those "
        "below would be lost",
        f"{SAVE_AGAIN}, made anew from the label maps or colours",
    ),
    "bright_background": (
        "of a palette whose number 0, which most of the border is, has a colour that would be read as foreground",
        f"{SAVE_AGAIN}, where 255 is foreground",
    ),
    "lossy_labels": (
        "compressed with loss and too dark to have foreground, which starts at 128",
        f"make them anew from lossless label maps: {SAVE_AGAIN}",
    ),
}


@dataclass(frozen=True, eq=False)
class MaskReading:
    """A mask as the values of its file are understood.

    Attributes:
        mask: (H, W) bool by the rules in the module docstring.
        kind: "two_values" for black and white; otherwise what else it may be: a key of MISREAD, where the rules do not
            hold, or one of "zero_one_masks", "label_maps", "soft_masks", "colour_masks", "lossy_masks".
        shown: the values, the middle ones left away where there are many; "" for colours.
    """

    mask: np.ndarray
    kind: str
    shown: str


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Reads a ground-truth mask from any file Pillow opens, of any mode.

    Returns:
        mask: (H, W) bool by the rules in the module docstring, at its own size.

    Raises:
        UserError: as `open_image`, or its values are not what the rules take them for, or are not finite.
    """
    try:
        reading = understand_mask(open_image(path))
    except ValueError as error:
        raise UserError(f"cannot read the mask {path}: {error}; save it as an 8-bit grey PNG of 0 and 255") from error
    if reading.kind in MISREAD:
        what, advice = MISREAD[reading.kind]
        values = f" ({reading.shown})" if reading.shown else ""
        raise UserError(f"expected black and white in the mask {path}, found one {what}{values}; {advice}")
    return reading.mask


def understand_mask(image: Image.Image) -> MaskReading:
    """Decides what is foreground, and whether that can be told.

    Args:
        image: decoded, of any mode; its `format` says whether the values carry compression noise.

    Raises:
        ValueError: values that are not finite.
    """
    is_lossy = image.format in LOSSY_FORMATS
    if image.mode == "1":
        return MaskReading(np.array(image), "two_values", "")
    values, is_grey = _brightest(image)
    levels = _levels(values)
    if is_grey or is_lossy:
        mask, kind = _foreground_of_grey(values, levels, is_lossy)
    else:
        mask, kind = values > 0, "colour_masks"
    shown = _shown(levels) if is_grey or is_lossy else ""
    if image.mode == "P" and not is_lossy:
        indices = np.flatnonzero(image.histogram())
        if not is_grey and _hides_labels(indices, 255, 128):
            kind, shown = "labels_and_255", _shown(indices)
        elif len(indices) > 1 and border_share(mask) > 0.5 and border_share(np.asarray(image) == 0) > 0.5:
            kind = "bright_background"
    return MaskReading(mask, kind, shown)


def border_share(mask: np.ndarray) -> float:
    """The fraction of a mask's outermost pixels that is foreground; (H, W) bool."""
    return float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())


def misfit(size: tuple[int, int], image_size: tuple[int, int]) -> str:
    """How a mask's size differs from its image's: "", "across", "resized" (the same shape) or "of_other_shape"."""
    (height, width), (image_height, image_width) = size, image_size
    if size == image_size:
        return ""
    if size == image_size[::-1]:
        return "across"
    is_alike = abs(width * image_height - height * image_width) <= max(image_size)  # a pixel of rounding
    return "resized" if is_alike else "of_other_shape"


def _brightest(image: Image.Image) -> tuple[np.ndarray, bool]:
    """The brightest channel of a mask, (H, W) of any number type, and whether all are equal."""
    if image.mode.startswith(("I", "F")) or (image.mode == "L" and not image.has_transparency_data):
        return np.asarray(image), True
    image = in_mode(opaque(image, "black"), "RGB")
    red, *others = (np.asarray(image.getchannel(channel)) for channel in range(3))
    return reduce(np.maximum, others, red), all(np.array_equal(red, other) for other in others)


def _levels(values: np.ndarray) -> np.ndarray:
    """The different values, sorted."""
    if values.dtype == np.uint8:
        return np.flatnonzero(Image.fromarray(values).histogram())
    levels = np.unique(values)
    if not np.isfinite(levels[[0, -1]]).all():  # not-a-number comes last
        raise ValueError(NOT_FINITE)
    return levels


def _foreground_of_grey(values: np.ndarray, levels: np.ndarray, is_lossy: bool) -> tuple[np.ndarray, str]:
    """See `MaskReading`."""
    peak = levels[-1]
    if values.dtype.kind == "f" and peak <= 1:
        white, middle = 1.0, 0.5
    else:
        white, middle = (65535, 32768) if peak > 255 else (255, 128)
    is_label_map = peak < middle and white != 1.0 and not is_lossy
    held = {levels[0], levels[-1]} if len(levels) < 3 else set()
    if is_lossy:
        darkest, kind = (levels[0] + LOSS, "grey_labels") if peak >= middle else (0, "lossy_labels")
        kind = kind if _has_flat_areas(values, darkest, middle - LOSS, LOSS // 4) else "lossy_masks"
    elif held and held <= {0, white}:
        kind = "two_values"
    elif held and held <= {0, 1}:
        kind = "zero_one_masks"
    elif is_label_map:
        kind = "label_maps"
    elif _hides_labels(levels, white, middle):
        kind = "labels_and_255"
    elif len(levels) <= LABELS_AT_MOST and _has_flat_areas(values, levels[0], middle):
        kind = "grey_labels"
    else:
        kind = "soft_masks"
    return (values > 0 if is_label_map else values >= middle), kind


def _hides_labels(levels: np.ndarray, white: float, middle: float) -> bool:
    """Whether there is the highest value, and values below the middle, and nothing in between, as soft edges have."""
    return bool(levels[-1] == white and (levels[:-1] < middle).all() and (levels[:-1] > 0).any())


def _has_flat_areas(values: np.ndarray, low: float, high: float, loss: int = 0) -> bool:
    """Whether most pixels between two levels are like their neighbours, and many of them alike, as in label maps."""
    reach = max(1, min(values.shape) // 128)  # pixels: of a coarse mask that was enlarged, one has become several
    inner = values[reach:-reach, reach:-reach]
    is_between = (inner > low) & (inner < high)
    flat = is_between.copy()
    near, here, far = slice(None, -2 * reach), slice(reach, -reach), slice(2 * reach, None)
    for other in (values[near, here], values[far, here], values[here, near], values[here, far]):
        flat &= np.maximum(inner, other) - np.minimum(inner, other) <= loss
    _, counts = np.unique(inner[flat], return_counts=True)
    return 2 * counts.sum() > np.count_nonzero(is_between) and counts.max() > LABEL_SHARE * counts.sum()


def _shown(levels: np.ndarray) -> str:
    texts = [f"{level:g}" for level in levels.tolist()]
    if len(texts) > SHOWN_AT_MOST:
        texts = [*texts[: SHOWN_AT_MOST // 2], "...", *texts[-SHOWN_AT_MOST // 2 + 1 :]]
    return " ".join(texts)
