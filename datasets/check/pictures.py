"""What one image or mask of a dataset says of itself: by its header, or by all of its pixels.

A file is read once: its bytes are hashed and decoded from memory. Whatever is wrong with it stands in its facts;
nothing is raised. `utils.media.images` decides what is foreground; here a mask is told that may be meant otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from utils.media.images import LOSSY_FORMATS, UNREADABLE, mask_from_image, resize_mask
from utils.scoring.sample_scores import EVAL_SIZE

EMPTY = "it is empty (0 bytes)"
SHOWN_AT_MOST = 6  # values of one mask


@dataclass(frozen=True)
class MaskValues:
    """What a mask holds."""

    reading: str  # "two_values" for black and white; otherwise a kind of `findings.csv`, which says what it means
    shown: str  # the values, the middle ones left away where there are many; "" for colours
    fraction: float  # of the pixels, that is foreground
    fraction_scored: float  # the same after resizing to the size at which masks are scored


@dataclass(frozen=True)
class PictureFacts:
    """Of an image or a mask; where it cannot be read only the first two are known."""

    problem: str = ""  # why it cannot be read; "" where it can
    digest: str = ""  # sha256 of the file; "" where only the header was read
    size: tuple[int, int] | None = None  # (H, W), upright
    orientation: int = 1  # EXIF's, 1 where nothing has to be turned
    values: MaskValues | None = None  # how a mask is read; None for images and where only the header was read


def picture_header(path: Path) -> PictureFacts:
    """Size and orientation."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            orientation = _orientation(image) if image.format != "PNG" or "exif" in image.info else 1  # others decode
            turned = orientation >= 5 and image.format != "TIFF"  # whose size is upright already
            return PictureFacts(size=image.size if turned else image.size[::-1], orientation=orientation)
    except UNREADABLE as error:
        return PictureFacts(problem=_why_no_picture(path, error))


def image_content(path: Path) -> PictureFacts:
    """Size and orientation, after decoding every pixel."""
    return _picture(path, _require_colours)


def mask_content(path: Path) -> PictureFacts:
    """Size, orientation and what the values mean, after decoding every pixel."""
    return _picture(path, mask_values)


def _picture(path: Path, judge: Callable[[Image.Image], MaskValues | None]) -> PictureFacts:
    digest = ""
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with Image.open(BytesIO(content)) as file:
            if file.format == "PNG":
                file.verify()  # the check sums of all chunks, which decoding passes over
        with Image.open(BytesIO(content)) as file:
            orientation = _orientation(file)
            file.load()
            image = file if orientation == 1 else ImageOps.exif_transpose(file)  # which copies
            image.format = file.format
            return PictureFacts("", digest, (image.height, image.width), orientation, judge(image))
    except UNREADABLE as error:
        return PictureFacts(problem=_why_no_picture(path, error), digest=digest)


def _require_colours(image: Image.Image) -> None:
    """Raises ValueError where `read_image` would."""
    if image.mode not in ("RGB", "L") and not image.mode.startswith(("I", "F")):
        image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(2, 9) else 1


def _why_no_picture(path: Path, error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return EMPTY if path.stat().st_size == 0 else "it is no image Pillow knows"
    return str(getattr(error, "strerror", None) or error).strip(" .")


def mask_values(image: Image.Image) -> MaskValues:
    """Looks at a decoded mask of any mode; values that are not finite are a ValueError."""
    reading, shown = _reading(image)
    quick = _is_plain_grey(image) and reading == "two_values"  # nearly all masks; the general way takes much longer
    mask = np.asarray(image) > 0 if quick else mask_from_image(image)
    return MaskValues(reading, shown, float(mask.mean()), float(resize_mask(mask, EVAL_SIZE).mean()))


def _reading(image: Image.Image) -> tuple[str, str]:
    """How a mask is read, and its values as they are shown."""
    if image.mode == "1":
        return "two_values", ""
    levels, is_grey = _levels(image)
    if image.format in LOSSY_FORMATS:
        return ("lossy_labels" if 0 < levels[-1] < 128 else "lossy_masks"), _shown(levels)
    if is_grey:
        return _reading_of_grey(levels), _shown(levels)
    if image.mode == "P" and _hides_labels(indices := np.unique(np.asarray(image)), 255, 128):
        return "labels_and_255", _shown(indices)
    return "colour_masks", ""


def _levels(image: Image.Image) -> tuple[np.ndarray, bool]:
    """The sorted values of a mask's brightest channel, and whether its channels are equal."""
    if _is_plain_grey(image):
        return np.flatnonzero(image.histogram()), True
    if image.mode.startswith(("I", "F")):
        return np.unique(np.asarray(image)), True
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    colours = np.asarray(image.convert("RGB"))  # (H, W, 3)
    is_grey = bool((colours == colours[..., :1]).all())
    return np.flatnonzero(np.bincount(colours.max(axis=2).ravel(), minlength=256)), is_grey


def _is_plain_grey(image: Image.Image) -> bool:
    return image.mode == "L" and not image.has_transparency_data


def _reading_of_grey(levels: np.ndarray) -> str:
    peak = levels[-1]
    if levels.dtype.kind == "f" and peak <= 1:
        white, middle = 1.0, 0.5
    else:
        white, middle = (65535, 32768) if peak > 255 else (255, 128)
    values = set(levels.tolist())
    if values <= {0, white}:
        return "two_values"
    if values <= {0, 1}:
        return "zero_one_masks"
    if peak < middle:
        return "label_maps"
    return "labels_and_255" if _hides_labels(levels, white, middle) else "soft_masks"


def _hides_labels(levels: np.ndarray, white: float, middle: float) -> bool:
    """Whether there is the highest value, and values below the middle, and nothing in between, as soft edges have."""
    return bool(levels[-1] == white and (levels[:-1] < middle).all() and (levels[:-1] > 0).any())


def _shown(levels: np.ndarray) -> str:
    texts = [f"{level:g}" for level in levels.tolist()]
    if len(texts) > SHOWN_AT_MOST:
        texts = [*texts[: SHOWN_AT_MOST // 2], "...", *texts[-SHOWN_AT_MOST // 2 + 1 :]]
    return " ".join(texts)
