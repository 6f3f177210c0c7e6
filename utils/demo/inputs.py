"""What people hand over in a notebook: pictures and sounds as paths, arrays or PIL images, and settings by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from utils.cli import THRESHOLD, at_least
from utils.errors import UserError
from utils.media.images import UNREADABLE, read_image_and_size, rgb_of, why_unreadable
from utils.media.sounds import LONGEST, RATES, Source, Unreadable, read_audio, recording_of
from utils.types import Sample

MOST_CHANNELS = 64
IMAGE_KINDS = "the path of a picture, (H, W, 3) uint8 RGB, or a PIL image"
SOUND_KINDS = "the path of a sound, or (waveform, sampling_rate) with (T,), (T, C) or (C, T) float or int16"


def sample_of(image: Any, sound: Any) -> Sample:
    """Makes a sample of what `inference_demo.segment` takes; named after its files, where it has some.

    Raises:
        UserError: what was expected, what was found and what to do.
    """
    pixels, own_size = _image_of(image)
    waveform, rate = _sound_of(sound)
    stems = [Path(value).stem for value in (image, sound) if isinstance(value, (str, os.PathLike))]
    return Sample("_with_".join(dict.fromkeys(stems)) or "answer", pixels, waveform, rate, own_size=own_size)


def overrides_of(settings: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Settings as --set takes them: {"classify.top_k": 2} -> ("classify.top_k=2",)."""
    if settings is None:
        return ()
    if not isinstance(settings, Mapping):
        raise UserError(f'expected settings like {{"classify.top_k": 2}}, found {type(settings).__name__}')
    try:
        values = {name: yaml.safe_dump(value, default_flow_style=True, width=10**6) for name, value in settings.items()}
    except yaml.YAMLError as error:
        raise UserError(f"expected numbers, texts and lists as settings, found {error}") from error
    return tuple(f"{name}={value.removesuffix('...' + chr(10)).strip()}" for name, value in values.items())


def checked(threshold: Any, seed: Any) -> None:
    """Refuses (UserError) a threshold and a seed that the command line would refuse."""
    for name, value, range_ in (("threshold", threshold, THRESHOLD), ("seed", seed, at_least(0))):
        plain = value.item() if isinstance(value, np.generic) else value
        if not range_.holds(plain) and not (name == "seed" and value is None):
            raise UserError(f"{name} must be {range_.words}; found {value!r}")


def _image_of(image: Any) -> tuple[np.ndarray, tuple[int, int]]:
    """(H, W, 3) uint8 of the size that is worked on, and the picture's own size (H, W)."""
    if isinstance(image, (str, os.PathLike)):
        return read_image_and_size(image)
    if isinstance(image, Image.Image):
        try:
            return rgb_of(image.copy()), image.size[::-1]
        except UNREADABLE as error:
            raise UserError(f"cannot read the picture: {why_unreadable(error)}; expected {IMAGE_KINDS}") from error
    pixels = _array(image, "image", IMAGE_KINDS)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        advice = "scale it to 0 to 255 and take .astype(np.uint8)" if pixels.dtype.kind == "f" else "convert it"
        found = f"{pixels.dtype} of shape {pixels.shape}"
        raise UserError(f"expected as the image {IMAGE_KINDS}, found {found}; {advice}")
    return rgb_of(Image.fromarray(np.ascontiguousarray(pixels))), pixels.shape[:2]


def _sound_of(sound: Any) -> tuple[np.ndarray, int]:
    """(T,) float32 mono in [-1, 1], and Hz; an array is treated as what a file holds."""
    if isinstance(sound, (str, os.PathLike)):
        return read_audio(sound)
    if not isinstance(sound, (tuple, list)) or len(sound) != 2:
        about = (
            f"an array of shape {np.shape(sound)} without its rate" if hasattr(sound, "shape") else repr(type(sound))
        )
        raise UserError(f"expected as the sound {SOUND_KINDS}, found {about}; give (waveform, sampling_rate)")
    waveform, rate = _array(sound[0], "waveform", SOUND_KINDS), sound[1]
    if not isinstance(rate, Real) or not RATES[0] <= rate <= RATES[1] or rate != int(rate):
        raise UserError(f"expected a sampling rate of {RATES[0]} to {RATES[1]} whole Hz, found {rate!r}; give Hz")
    is_int16 = waveform.dtype == np.int16
    channels = min(waveform.shape, default=0) if waveform.ndim == 2 else 1
    if waveform.ndim not in (1, 2) or not (is_int16 or waveform.dtype.kind == "f") or channels > MOST_CHANNELS:
        found = f"{waveform.dtype} of shape {waveform.shape}"
        raise UserError(f"expected as the sound {SOUND_KINDS}, found {found}; convert it, or give the file's path")
    blocks = np.atleast_2d(waveform)
    block = (blocks.T if blocks.shape[0] <= blocks.shape[1] else blocks).astype(np.float32)  # (T, C)
    block = block / np.float32(32768) if is_int16 else block
    if len(block) > LONGEST:
        raise UserError(f"expected at most {LONGEST} samples of sound, found {len(block)}; cut it into parts")
    try:
        recording = recording_of(Source(int(rate), len(block), "", "", lambda: iter([block] if block.size else [])))
    except Unreadable as why:
        raise UserError(f"cannot take the sound: {why}; expected numbers from -1 to 1") from why
    return recording.waveform, recording.sampling_rate


def _array(value: Any, name: str, kinds: str) -> np.ndarray:
    """An array of numbers, also of a tensor on the CPU."""
    try:
        found = np.asarray(value)
    except Exception as error:  # of a library's own arrays, on a GPU for instance
        raise UserError(f"expected as the {name} {kinds}, found {type(value).__name__}: {error}") from error
    if found.dtype.kind not in "iufb" or not hasattr(value, "shape"):
        raise UserError(f"expected as the {name} {kinds}, found {type(value).__name__}; give one of these")
    return found
