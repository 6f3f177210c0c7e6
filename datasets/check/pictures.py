"""What one image or mask of a dataset says of itself: by its header, or by all of its pixels.

A file is read once: its bytes are hashed and decoded from memory. Whatever is wrong with it stands in its facts;
nothing is raised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from datasets.check.masks import MaskValues, mask_values
from utils.media.reading import UNREADABLE

__all__ = ["PictureFacts", "image_content", "mask_content", "picture_header"]

EMPTY = "it is empty (0 bytes)"


@dataclass(frozen=True)
class PictureFacts:
    """Of an image or a mask.

    Attributes:
        problem: why it cannot be read; "" where it can. The other facts are then missing.
        digest: sha256 of the file; "" where only the header was read.
        size: (H, W), upright.
        orientation: EXIF's, 1 where nothing has to be turned.
        values: how a mask is read; None for images and where only the header was read.
    """

    problem: str = ""
    digest: str = ""
    size: tuple[int, int] | None = None
    orientation: int = 1
    values: MaskValues | None = None


def picture_header(path: Path) -> PictureFacts:
    """Size and orientation."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            orientation = _orientation(image) if image.format != "PNG" or "exif" in image.info else 1  # others decode
            turned = orientation >= 5 and image.format != "TIFF"  # whose size is upright already
            size = (image.width, image.height) if turned else (image.height, image.width)
            return PictureFacts(size=size, orientation=orientation)
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
