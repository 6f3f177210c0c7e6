"""Images and masks: read from files of any kind; and how masks and score maps change size.

Conventions:
    image: (H, W, 3) uint8 RGB, upright (EXIF orientation applied), transparent parts on white, first frame of several.
    mask: (H, W) bool.
    score_map: (H, W) float32 in [0, 1].
    Sizes are (H, W). Pixel centres lie at half-integers, so a resized map stays aligned with its image.

What counts as a mask's foreground, after colours are read through the palette and transparent pixels taken as black:
    1-bit: the set pixels.
    Grey (also grey stored as RGB): values from the middle of the range up (128 of 255, 32768 of 65535, 0.5 of 1.0),
        which survives JPEG noise and soft edges. A lossless file whose largest value lies below the middle is a label
        map: everything but 0.
    Colour: every colour but black; in a lossy file, pixels whose brightest channel is at least 128.
    Lossy files are JPEG, WebP and AVIF.
"""

from __future__ import annotations

import os
import struct

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from utils.errors import UserError
from utils.files import require_file

LOSSY_FORMATS = {"JPEG", "MPO", "WEBP", "AVIF"}
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def open_image(path: str | os.PathLike) -> Image.Image:
    """Opens and decodes any file Pillow opens, upright, in whatever mode it has.

    Returns:
        The decoded first frame with its EXIF orientation applied; `format` still names the file's format.

    Raises:
        UserError: the file is missing, is no image, or is cut short.
    """
    require_file(path, "an image")
    try:
        with Image.open(path) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
            image.format = file.format
            return image
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads any file Pillow opens as RGB, of any mode: palette, alpha, grey, 16-bit, float, CMYK.

    Returns:
        image: (H, W, 3) uint8 RGB.

    Raises:
        UserError: the file is missing, is no image, or is cut short.
    """
    image = open_image(path)
    if image.mode.startswith(("I", "F")):
        return np.repeat(_grey_to_uint8(np.asarray(image))[..., None], 3, axis=2)
    try:
        return np.array(_opaque(image, "white").convert("RGB"))
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Reads a ground-truth mask from any file Pillow opens, of any mode.

    Returns:
        mask: (H, W) bool by the rules in the module docstring.

    Raises:
        UserError: the file is missing, is no image, or is cut short.
    """
    try:
        return mask_from_image(open_image(path))
    except ValueError as error:
        raise UserError(f"cannot read the mask {path}: {error}; save it as an 8-bit grey PNG of 0 and 255") from error


def mask_from_image(image: Image.Image) -> np.ndarray:
    """Decides foreground by the rules in the module docstring.

    Args:
        image: of any mode; its `format` says whether the values carry compression noise.

    Raises:
        ValueError: floating-point values that are not finite.
    """
    lossy = image.format in LOSSY_FORMATS
    if image.mode == "1":
        return np.array(image)
    if image.mode.startswith(("I", "F")) or (image.mode == "L" and not image.has_transparency_data):
        return _grey_foreground(np.asarray(image), lossy)
    colours = np.asarray(_opaque(image, "black").convert("RGB"))  # (H, W, 3)
    brightest = colours.max(axis=2)
    is_grey = bool((colours == colours[..., :1]).all())
    return _grey_foreground(brightest, lossy) if is_grey or lossy else brightest > 0


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest neighbour at pixel centres: out[i, j] = mask[floor((i + 0.5) H / h), floor((j + 0.5) W / w)].

    Args:
        mask: (H, W) bool.
        size: (h, w) of the result.
    """
    _check_map(mask, "mask")
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp) for old, new in zip(mask.shape, size, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def resize_score_map(score_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear at pixel centres without antialiasing, edges repeated (what published evaluators apply to score maps).

    Args:
        score_map: (H, W) float.
        size: (h, w) of the result, which is float32 within the range of the input.
    """
    _check_map(score_map, "score_map")
    values = np.asarray(score_map, dtype=np.float32)
    if values.shape == tuple(size):
        return values
    rows, columns = (_neighbours(old, new) for old, new in zip(values.shape, size, strict=True))
    values = _mix(values[rows[0]], values[rows[1]], rows[2][:, None])  # (h, W)
    return _mix(values[:, columns[0]], values[:, columns[1]], columns[2])  # (h, w)


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


def _opaque(image: Image.Image, background: str) -> Image.Image:
    """An image with what is transparent in it laid over a colour."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, background), image)


def _grey_foreground(values: np.ndarray, lossy: bool) -> np.ndarray:
    peak = values.max()
    if not np.isfinite(peak):
        raise ValueError("it holds values that are not finite numbers")
    if values.dtype.kind == "f" and peak <= 1:
        return values >= 0.5
    middle = 32768 if values.dtype.itemsize > 1 and peak > 255 else 128
    return values > 0 if peak < middle and not lossy else values >= middle


def _grey_to_uint8(values: np.ndarray) -> np.ndarray:
    """(H, W) grey of more than 8 bits -> (H, W) uint8; full scale is the file type's: 1.0, 255 or 65535."""
    grey = np.nan_to_num(values.astype(np.float64))
    if values.dtype.itemsize == 2:
        full_scale = 65535.0
    else:  # 32-bit integers and floats carry no scale: the smallest usual one that holds every value
        scales = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        full_scale = next((scale for scale in scales if grey.max() <= scale), grey.max())
    return np.rint((grey * (255.0 / full_scale)).clip(0, 255)).astype(np.uint8)


def _unreadable(path: str | os.PathLike, error: BaseException) -> UserError:
    reason = "it is no image Pillow knows" if isinstance(error, UnidentifiedImageError) else f"{error}".strip(" .")
    return UserError(f"cannot read the image {path}: {reason}; save it again as PNG or JPEG")
