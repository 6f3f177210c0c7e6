"""Reading pictures and sounds of any kind into the two forms the project works on.

Conventions:
    image: (H, W, 3) uint8 RGB, upright (EXIF orientation applied), transparent parts on white, first frame of several.
    waveform: (T,) float32 mono in [-1, 1] at the file's own sampling rate in Hz; T may be 0.
"""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageOps, UnidentifiedImageError

from utils.errors import UserError

__all__ = ["check_audio", "open_image", "read_audio", "read_image"]

PathLike = str | os.PathLike
NOT_LIBSNDFILE = (soundfile.LibsndfileError, OSError, TypeError)  # TypeError: a .raw file has no header
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def open_image(path: PathLike) -> Image.Image:
    """Opens and decodes an image file, upright, in whatever mode it has.

    Args:
        path: any file Pillow opens.

    Returns:
        The decoded first frame with its EXIF orientation applied; `format` still names the file's format.

    Raises:
        UserError: the file is missing, is no image, or is cut short.
    """
    _require_file(path, "an image")
    try:
        with Image.open(path) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
            image.format = file.format
            return image
    except UNREADABLE as error:
        raise _unreadable_image(path, error) from error


def read_image(path: PathLike) -> np.ndarray:
    """Reads any image file as RGB.

    Args:
        path: any file Pillow opens, of any mode: palette, alpha, grey, 16-bit, float, CMYK.

    Returns:
        image: (H, W, 3) uint8 RGB.

    Raises:
        UserError: the file is missing, is no image, or is cut short.
    """
    image = open_image(path)
    if image.mode.startswith(("I", "F")):
        return np.repeat(_grey_to_uint8(np.asarray(image))[..., None], 3, axis=2)
    try:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.array(image.convert("RGB"))
    except UNREADABLE as error:
        raise _unreadable_image(path, error) from error


def read_audio(path: PathLike) -> tuple[np.ndarray, int]:
    """Reads any sound file as one channel at its own rate.

    The channels are averaged. A sound whose mean exceeds full scale (floating-point files, some MP3s) is divided by its
    peak, so its shape is kept.

    Args:
        path: any file libsndfile reads; others go through librosa, which needs ffmpeg or a system decoder for them.

    Returns:
        waveform: (T,) float32 in [-1, 1].
        sampling_rate: Hz.

    Raises:
        UserError: the file is missing, is no sound, or holds values that are not finite.
    """
    _require_file(path, "a sound")
    try:
        channels, sampling_rate = soundfile.read(path, dtype="float32", always_2d=True)  # (T, C)
    except NOT_LIBSNDFILE as error:
        channels, sampling_rate = _read_with_librosa(path, error)
    waveform = channels.mean(axis=1, dtype=np.float64)
    if not np.isfinite(waveform).all():
        raise UserError(
            f"the sound {path} holds values that are not finite numbers; export it again, for example as WAV"
        )
    peak = np.abs(waveform).max(initial=0.0)
    return (waveform / max(peak, 1.0)).astype(np.float32), int(sampling_rate)


def check_audio(path: PathLike) -> None:
    """Reads a sound file's header only; a format libsndfile does not know is decoded in full.

    Raises:
        UserError: the file is missing or is no sound.
    """
    _require_file(path, "a sound")
    try:
        soundfile.info(path)
    except NOT_LIBSNDFILE:
        read_audio(path)


def _require_file(path: PathLike, kind: str) -> None:
    if not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "nothing"
        raise UserError(f"expected {kind} file at {path}, found {found}; check the path")
    if Path(path).stat().st_size == 0:
        raise UserError(f"expected {kind} file at {path}, found an empty file (0 bytes); copy or download it again")


def _unreadable_image(path: PathLike, error: BaseException) -> UserError:
    reason = "it is no image Pillow knows" if isinstance(error, UnidentifiedImageError) else f"{error}".strip(" .")
    return UserError(f"cannot read the image {path}: {reason}; save it again as PNG or JPEG")


def _grey_to_uint8(values: np.ndarray) -> np.ndarray:
    """(H, W) grey of more than 8 bits -> (H, W) uint8; full scale is the file type's: 1.0, 255 or 65535."""
    grey = np.nan_to_num(values.astype(np.float64))
    if values.dtype.itemsize == 2:
        full_scale = 65535.0
    else:  # 32-bit integers and floats carry no scale: the smallest usual one that holds every value
        scales = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
        full_scale = next((scale for scale in scales if grey.max() <= scale), grey.max())
    return np.rint((grey * (255.0 / full_scale)).clip(0, 255)).astype(np.uint8)


def _read_with_librosa(path: PathLike, first_error: Exception) -> tuple[np.ndarray, int]:
    """Formats libsndfile does not know -> ((T, C) float32, Hz)."""
    import librosa  # seconds to import, and rarely needed
    from audioread.exceptions import DecodeError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # librosa warns on each fallback
            waveform, sampling_rate = librosa.load(path, sr=None, mono=False)  # (T,) or (C, T)
    except (*NOT_LIBSNDFILE, DecodeError, EOFError, ValueError) as error:
        reason = str(getattr(first_error, "error_string", first_error)).strip(" .").lower()
        raise UserError(
            f"cannot read the sound {path}: {reason}; convert it to WAV, for example with ffmpeg"
        ) from error
    return np.atleast_2d(waveform).T, int(sampling_rate)
