"""What one image or mask of a dataset says of itself: by its header, or by all of its pixels.

A file is read once: its bytes are hashed and decoded from memory. Whatever is wrong with it stands in its facts;
nothing is raised. What a mask's values mean is judged in `datasets.masks`, for whoever reads it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from datasets.masks import border_share, understand_mask
from utils.media.images import UNREADABLE, opened, resize_mask, rgb_of, stored, upright, why_unreadable
from utils.scoring.sample_scores import EVAL_SIZE

EMPTY = "it is empty (0 bytes)"


@dataclass(frozen=True)
class MaskValues:
    """What a mask holds; `kind` and `shown` as in `datasets.masks.MaskReading`."""

    kind: str
    shown: str
    fraction: float  # of the pixels, that is foreground
    fraction_scored: float  # the same after resizing to the size at which masks are scored
    border: float  # the same of the outermost pixels


@dataclass(frozen=True)
class PictureFacts:
    """Of an image or a mask; where it cannot be read only the first two are known."""

    problem: str = ""  # why it cannot be read; "" where it can
    digest: str = ""  # sha256 of the file; "" where only the header was read
    size: tuple[int, int] | None = None  # (H, W), upright
    orientation: int = 1  # EXIF's, 1 where nothing has to be turned
    broken_exif: bool = False  # whether there is EXIF that cannot be read
    values: MaskValues | None = None  # how a mask is read; None for images and where only the header was read


def picture_header(path: Path) -> PictureFacts:
    """Size and orientation."""
    try:
        with opened(path) as image:
            return PictureFacts(**vars(stored(image)))
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
        with opened(BytesIO(content)) as file:
            if file.format == "PNG":
                file.verify()  # the check sums of all chunks, which decoding passes over
        with opened(BytesIO(content)) as file:
            image, facts = upright(file)
            return PictureFacts("", digest, **vars(facts), values=judge(image))
    except UNREADABLE as error:
        return PictureFacts(problem=_why_no_picture(path, error), digest=digest)


def _require_colours(image: Image.Image) -> None:
    """Raises ValueError where `read_image` would."""
    if image.mode not in ("RGB", "L"):
        rgb_of(image)


def _why_no_picture(path: Path, error: BaseException) -> str:
    is_empty = isinstance(error, UnidentifiedImageError) and path.stat().st_size == 0
    return EMPTY if is_empty else why_unreadable(error)


def mask_values(image: Image.Image) -> MaskValues:
    """Looks at a decoded mask of any mode; values that are not finite are a ValueError."""
    reading = understand_mask(image)
    mask = reading.mask
    scored = float(resize_mask(mask, EVAL_SIZE).mean())
    return MaskValues(reading.kind, reading.shown, float(mask.mean()), scored, border_share(mask))
