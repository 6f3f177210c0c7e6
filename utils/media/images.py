"""Images: read from files of any kind; and how masks and score maps change size.

Conventions:
    image: (H, W, 3) uint8 RGB, upright, transparent parts on white, first frame of several. It is what is worked on: of
        a picture with a side of more than LONGEST_SIDE pixels, a copy reduced to that (the mean of each area).
    mask: (H, W) bool.
    score_map: (H, W) float32 in [0, 1].
    Sizes are (H, W). Pixel centres lie at half-integers, so a resized map stays aligned with its image.

Upright is what EXIF says, in images and masks alike. An orientation that stands in XMP alone is passed over, as it is
by browsers, in which whoever drew the masks saw the image; so is EXIF that cannot be read.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from utils.errors import UserError
from utils.files import require_file

LONGEST_SIDE = 2048  # pixels of an image; networks look at 1333 and less
LOSSY_FORMATS = {"JPEG", "MPO", "WEBP", "AVIF", "HEIF"}
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, Image.DecompressionBombError)
TURNS = {number: Image.Transpose(turn) for number, turn in enumerate((0, 3, 1, 5, 4, 6, 2), 2)}  # EXIF's numbers
NOT_FINITE = "it holds values that are not finite numbers"
BLOCK = 1 << 20  # pixels of a map resized at once


@dataclass(frozen=True)
class Stored:
    """How a picture lies in its file.

    Attributes:
        size: (H, W), upright.
        orientation: EXIF's number, 1 where nothing is to be turned.
        broken_exif: whether there is EXIF that cannot be read.
    """

    size: tuple[int, int]
    orientation: int = 1
    broken_exif: bool = False


@contextmanager
def opened(file: str | os.PathLike | BinaryIO) -> Iterator[Image.Image]:
    """A picture whose pixels are not decoded yet; what Pillow only warns of is kept from the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file)
        except UnidentifiedImageError:
            from pillow_heif import register_heif_opener  # of iPhones; takes a while, and is rarely needed

            register_heif_opener()
            image = Image.open(file)
        with image:
            yield image


def stored(image: Image.Image) -> Stored:
    """How a picture lies in its file; of a PNG that is not decoded, EXIF that follows the pixels is not seen."""
    for name in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(name, None)  # where Pillow looks too
    orientation, is_broken = 1, False
    if image.format != "PNG" or "exif" in image.info:  # of other PNGs Pillow would decode the pixels
        try:
            found = image.getexif().get(ExifTags.Base.Orientation)
            orientation = found if found in TURNS else 1
        except Exception:  # Pillow's parser trips over garbage in many ways
            is_broken = True
    turned = orientation >= 5 and image.format != "TIFF"  # whose size is upright already
    return Stored(image.size if turned else image.size[::-1], orientation, is_broken)


def upright(image: Image.Image, bound: int | None = None) -> tuple[Image.Image, Stored]:
    """Decodes an opened picture.

    Args:
        image: as `opened`.
        bound: where given, a JPEG may be decoded at a fraction of its size, no side below it.

    Returns:
        The decoded first frame in whatever mode it has, `format` still that of the file; how it lies in the file.
    """
    if image.format == "PNG":
        image.load()
    facts, file_format = stored(image), image.format
    if bound:
        image.draft(None, (bound, bound))
    image.load()
    if facts.orientation in TURNS and file_format != "TIFF":  # which Pillow turns as it is decoded
        image = image.transpose(TURNS[facts.orientation])
        image.format = file_format
    return image, facts


def why_unreadable(error: BaseException) -> str:
    """One of UNREADABLE, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no image Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        return f"its header announces more than the {2 * Image.MAX_IMAGE_PIXELS // 10**6} million pixels that are read"
    return str(getattr(error, "strerror", None) or error).strip(" .")


def open_image(path: str | os.PathLike) -> Image.Image:
    """Opens and decodes any file Pillow opens, upright, in whatever mode it has, at its own size.

    Returns:
        The decoded first frame; `format` still names the file's format.

    Raises:
        UserError: the file is missing, is no image, is cut short, or announces more pixels than Pillow takes for sane.
    """
    return _decoded(path)[0]


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads any file Pillow opens as RGB, of any mode: palette, alpha, grey, 16-bit, float, CMYK.

    Returns:
        image: (H, W, 3) uint8 RGB, no side longer than LONGEST_SIDE.

    Raises:
        UserError: as `open_image`, or it holds values that are not finite.
    """
    return read_image_and_size(path)[0]


def read_image_and_size(path: str | os.PathLike) -> tuple[np.ndarray, tuple[int, int]]:
    """See `read_image`; with the size (H, W) of the picture in its file, upright."""
    image, facts = _decoded(path, LONGEST_SIDE)
    try:
        return rgb_of(image), facts.size
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def rgb_of(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB, no side longer than LONGEST_SIDE, of a decoded picture; the ValueErrors of `read_image`."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_grey_to_uint8(np.asarray(image)))
    image = in_mode(image, "RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return np.array(in_mode(opaque(image, "white"), "RGB"))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest neighbour at pixel centres: out[i, j] = mask[floor((i + 0.5) H / h), floor((j + 0.5) W / w)].

    Args:
        mask: (H, W) bool.
        size: (h, w) of the result.
    """
    _check_map(mask, "mask")
    if mask.shape == tuple(size):
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp) for old, new in zip(mask.shape, size, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def resize_score_map(
    score_map: np.ndarray, size: tuple[int, int], keep: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> np.ndarray:
    """Bilinear at pixel centres without antialiasing, edges repeated (what published evaluators apply to score maps).

    Args:
        score_map: (H, W) float.
        size: (h, w) of the result, which is float32 within the range of the input.
        keep: applied to some rows of the result at a time, (n, w) float32, and its answers are returned in their place:
            of a large map, the mask is an eighth of the memory.
    """
    _check_map(score_map, "score_map")
    values = np.asarray(score_map, dtype=np.float32)
    if values.shape == tuple(size):
        return keep(values)
    (height, width), kept = size, []
    rows, columns = (_neighbours(old, new) for old, new in zip(values.shape, size, strict=True))
    step = max(1, BLOCK // width)
    for start in range(0, height, step):
        first, second, weight = (part[start : start + step] for part in rows)
        some = _mix(values[first], values[second], weight[:, None])  # (n, W)
        kept.append(keep(_mix(some[:, columns[0]], some[:, columns[1]], columns[2])))  # (n, w)
    return np.concatenate(kept) if len(kept) > 1 else kept[0]


def _neighbours(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two source indices of each target pixel and the weight of the second, (new,) each."""
    position = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    first = position.astype(np.intp)
    return first, np.minimum(first + 1, old - 1), (position - first).astype(np.float32)


def _mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    mixed = first * (1 - weight) + second * weight
    return mixed.clip(np.minimum(first, second), np.maximum(first, second))  # rounding must not leave the range


def _check_map(values: np.ndarray, name: str) -> None:
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"expected {name} of shape (H, W) with at least one pixel, found shape {values.shape}")


def _decoded(path: str | os.PathLike, bound: int | None = None) -> tuple[Image.Image, Stored]:
    require_file(path, "an image")
    try:
        with opened(path) as file:
            return upright(file, bound)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike, error: BaseException) -> UserError:
    smaller = ", smaller" if isinstance(error, Image.DecompressionBombError) else ""
    return UserError(f"cannot read the image {path}: {why_unreadable(error)}; save it again as PNG or JPEG{smaller}")


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """An image in one of Pillow's modes; itself where it is."""
    return image if image.mode == mode else image.convert(mode)  # which copies


def opaque(image: Image.Image, background: str) -> Image.Image:
    """An image with what is transparent in it laid over a colour."""
    if not image.has_transparency_data:
        return image
    image = in_mode(image, "RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, background), image)


def _grey_to_uint8(values: np.ndarray) -> np.ndarray:
    """(H, W) grey of more than 8 bits -> (H, W) uint8; full scale is the file type's: 1.0, 255 or 65535."""
    lowest, highest = float(values.min()), float(values.max())
    if not np.isfinite([lowest, highest]).all():
        raise ValueError(NOT_FINITE)
    if values.dtype.itemsize == 2:
        full_scale = 65535.0
    else:  # 32-bit integers and floats carry no scale: the smallest usual one that holds every value
        scales = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        full_scale = next((scale for scale in scales if highest <= scale), highest)
    grey = np.empty(values.shape, np.uint8)
    for row, shades in zip(values, grey, strict=True):  # one at a time: in floats, a large picture fills the memory
        shades[:] = np.rint((row.astype(np.float64) * (255.0 / full_scale)).clip(0, 255))
    return grey
