"""Sounds: read from files of any kind, block by block, and how loud they are.

Conventions:
    waveform: (T,) float32 mono in [-1, 1] at `sampling_rate` Hz, a file's own where it was read; T may be 0.
    block: (n, C) float32, a part of a file as it is decoded, C channels; at most `BLOCK` values.
    level: dBFS, decibels relative to full scale: a square wave between -1 and 1 has 0, a full-scale sine -3.
    Empty sounds, and those whose samples all have one value, have the level -inf.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import soundfile

from utils.errors import UserError
from utils.files import require_file

NOT_LIBSNDFILE = (soundfile.LibsndfileError, TypeError)  # TypeError: a .raw file has no header
SILENCE_DB = -60.0  # dBFS: the noise floor of a poor recording; 16-bit dither is at about -98
WINDOW_SECONDS = 0.05  # what a level is of; of less, nothing can be told
BLOCK = 1 << 22  # values decoded at once: 43 s of stereo at 48 kHz
LONGEST = 1 << 29  # samples that are read: three hours at 48 kHz, 2 GB
RATES = (1, 1_000_000)  # Hz, from slow sensors to ultrasound
STREAMED = 0x7FFFF000  # from here up a WAV's size says that its writer did not know it
COMPLETE = 0.98  # of the announced samples, whose number some MP3s only estimate
DENSEST = 10_000  # samples per byte, in FLAC's silence; what announces more is more than the file holds
CANCELLING = 0.05  # of what unrelated channels leave of their energy in a mean: two of a correlation below -0.95
ROUNDING = 1e-9  # of an energy: less beside a constant offset is none
FAR_BEYOND, REST = 10.0, 0.01  # a spike: a peak of more than 20 dB above full scale, 40 dB above ...
RARE = 0.001  # ... all samples but so many
ADVICE = "convert it to WAV, for example with ffmpeg, or export it again"


class Unreadable(Exception):
    """Why a sound cannot be read, in a few words."""


@dataclass(frozen=True)
class Source:
    """A sound file that is not decoded yet.

    Attributes:
        sampling_rate: Hz.
        frames: how many samples a channel its header announces; None where only decoding tells.
        missing: what is not there of the data that a WAV's header announces; "" where all is.
        kind: "AAC in QuickTime / MOV" where FFmpeg reads what libsndfile does not know; "" elsewhere.
        decode: gives the blocks, from the start at each call; raises `Unreadable` where it cannot go on.
    """

    sampling_rate: int
    frames: int | None
    missing: str
    kind: str
    decode: Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True, eq=False)
class Recording:
    """What a sound file holds: see the module's conventions, and `Source` for the rest.

    Attributes:
        channel: the number, from 1, of the one that is taken because all of them together cancel; None for their mean.
    """

    waveform: np.ndarray
    sampling_rate: int
    source: Source
    channel: int | None = None

    @property
    def missing(self) -> str:
        """What is not there of the sound that the header announces; "" where all is."""
        announced, count = self.source.frames or 0, len(self.waveform)
        cut = f"{count} of {announced} samples can be read" if count < COMPLETE * announced else ""
        return cut or self.source.missing

    @property
    def remarks(self) -> list[str]:
        """What whoever listens should know, in words."""
        cut = f"cut short: {self.missing}" if self.missing else ""
        cancels = f"its channels cancel, so channel {self.channel} alone is heard" if self.channel else ""
        return [remark for remark in (self.source.kind, cut, cancels) if remark]


def read_audio(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """The waveform, (T,) float32 in [-1, 1], and the sampling rate in Hz; see `read_recording`."""
    recording = read_recording(path)
    return recording.waveform, recording.sampling_rate


def read_recording(path: str | os.PathLike, see: Callable[[np.ndarray], None] | None = None) -> Recording:
    """Reads any sound file as one channel at its own rate, and says what was done for it.

    The channels are averaged; where they are out of phase, so that their mean has next to nothing of them, the loudest
    is taken instead. A sound that exceeds full scale (floating-point files, some MP3s) is divided by its peak, so its
    shape is kept. Of a WAV, what is there is read, whatever its header says of its length.

    Args:
        path: any file libsndfile reads; others, a video's sound among them, go through FFmpeg (PyAV).
        see: called with each block.

    Raises:
        UserError: the file is missing, is no sound, is longer than `LONGEST`, or holds values that are not finite or
            one far beyond all others, which dividing by it would erase; for a sound, the cause is an `Unreadable`.
    """
    require_file(path, "a sound")
    try:
        return recording_of(open_sound(path), see)
    except Unreadable as why:
        raise UserError(f"cannot read the sound {path}: {why}; {ADVICE}") from why


def recording_of(source: Source, see: Callable[[np.ndarray], None] | None = None) -> Recording:
    """See `read_recording`, whose sentence has what an `Unreadable` says here."""
    waveform, peak, channel = _one_channel(source, see=see)
    _refuse_a_spike(waveform, peak, source.sampling_rate)
    if channel:
        del waveform  # which may be large
        waveform, peak, _ = _one_channel(source, channel)
    if peak > 1:
        del waveform
        waveform, *_ = _one_channel(source, channel, peak)
    return Recording(waveform, source.sampling_rate, source, channel)


def open_sound(path: str | os.PathLike) -> Source:
    """Looks at a sound file's header.

    Raises:
        Unreadable: it is no sound, or its header announces what cannot be.
    """
    try:
        missing, goes_on = _data_of_wav(path)
        if goes_on:
            return _open_with_ffmpeg(path, "", ignore_length="1")
        info = soundfile.info(_name(path))
    except OSError as error:
        raise Unreadable(_said(error)) from error
    except NOT_LIBSNDFILE as error:
        return _open_with_ffmpeg(path, _said(error))
    if info.frames > DENSEST * os.stat(path).st_size:
        raise Unreadable(f"its header announces {info.frames} samples, which it cannot hold")
    return Source(_possible(info.samplerate), info.frames, missing, "", partial(_decode, path))


def _name(path: str | os.PathLike) -> str | bytes:
    """A path as libsndfile takes it, whatever its bytes mean; soundfile would want them to be UTF-8."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


def level_db(waveform: np.ndarray, sampling_rate: int) -> float:
    """The level in dBFS of a sound's loudest moment, so that one knock in a minute of quiet counts.

    20 log10 of the largest root mean square over windows of 50 ms that overlap by half; the mean of the whole sound (a
    recorder's constant offset) is taken off first. A sound shorter than a window is one window.
    """
    if len(waveform) == 0:
        return -np.inf
    mean, loudest = np.mean(waveform, dtype=np.float64), 0.0
    window = min(max(round(WINDOW_SECONDS * sampling_rate), 1), len(waveform))
    starts = np.arange(0, len(waveform) - window + 1, max(window // 2, 1))
    starts = np.append(starts, len(waveform) - window)  # the end is heard too
    for some in np.array_split(starts, -(-len(waveform) // BLOCK)):
        power = np.square(waveform[some[0] : some[-1] + window] - mean, dtype=np.float64)
        energy = np.concatenate(([0.0], np.cumsum(power)))
        loudest = max(loudest, np.max(energy[some - some[0] + window] - energy[some - some[0]]) / window)
    return float(10 * np.log10(loudest)) if loudest > np.finfo(np.float32).tiny else -np.inf


def is_silent(waveform: np.ndarray, sampling_rate: int, floor_db: float = SILENCE_DB) -> bool:
    """Whether even a sound's loudest 50 ms are at `floor_db` or below; at -inf, only empty and constant sounds are."""
    return level_db(waveform, sampling_rate) <= floor_db


def why_unheard(waveform: np.ndarray, sampling_rate: int, floor_db: float = SILENCE_DB) -> str:
    """Why nothing can be told of a sound, which is silent or shorter than 50 ms; "" where something can."""
    if is_silent(waveform, sampling_rate, floor_db):
        return "the sound is silent" + (f": it never rises above {floor_db:g} dBFS" if floor_db > -np.inf else "")
    if len(waveform) / sampling_rate < WINDOW_SECONDS:
        found = f"{len(waveform)} samples at {sampling_rate} Hz"
        return f"the sound is too short to tell: {found}, expected {1000 * WINDOW_SECONDS:g} ms or more"
    return ""


def _one_channel(
    source: Source, channel: int | None = None, peak: float = 1.0, see: Callable[[np.ndarray], None] | None = None
) -> tuple[np.ndarray, float, int | None]:
    """Decodes the mean of all channels, or the one of a number from 1, divided by `peak`.

    Returns:
        waveform: (T,) float32.
        peak: the largest magnitude there is before it is divided.
        loudest: the channel to take because all of them together cancel; None where they do not.
    """
    samples, largest, count = bytearray(), 0.0, 0  # grows without a copy beside it
    sums, products = 0.0, 0.0
    for block in source.decode():
        if not np.isfinite(block).all():
            raise Unreadable("values that are not finite numbers")
        if see is not None:
            see(block)
        channels = block.T.astype(np.float64, order="C")  # (C, n)
        mono = reduce(np.add, channels) / len(channels) if channel is None else channels[channel - 1]
        sums, products, count = sums + channels.sum(1), products + channels @ channels.T, count + len(block)
        largest = max(largest, mono.max(initial=0.0), -mono.min(initial=0.0))
        samples += (mono / peak).astype(np.float32).tobytes()
        if count > LONGEST:
            raise Unreadable(f"more than {LONGEST} samples, {LONGEST / source.sampling_rate / 3600:.1f} hours")
    if not count:
        return np.zeros(0, np.float32), 0.0, None
    covariance = products - np.outer(sums, sums) / count
    return np.frombuffer(samples, np.float32), float(largest), _loudest_of_cancelling(covariance, products)


def _loudest_of_cancelling(covariance: np.ndarray, products: np.ndarray) -> int | None:
    """Which channel, from 1, is loudest where their mean has next to nothing of them; (C, C) each, summed over time."""
    energies, all_there_is = np.diag(covariance), np.diag(products)
    energies = np.where(energies > ROUNDING * all_there_is, energies, 0.0)
    return int(np.argmax(energies)) + 1 if max(covariance.sum(), 0.0) < CANCELLING * energies.sum() else None


def one_channel(block: np.ndarray) -> np.ndarray:
    """A part of a sound, (n, C) finite floats, as `read_recording` makes one channel of a whole: (n,) float32."""
    channels = block.T.astype(np.float64)
    deviations = channels - channels.mean(1, keepdims=True) if len(block) else channels
    loudest = _loudest_of_cancelling(deviations @ deviations.T, channels @ channels.T)
    mono = channels[loudest - 1] if loudest else channels.mean(0)
    return (mono / max(1.0, np.abs(mono).max(initial=0.0))).astype(np.float32)


def _refuse_a_spike(waveform: np.ndarray, peak: float, sampling_rate: int) -> None:
    """Raises `Unreadable` where dividing by the peak would leave nothing of the rest."""
    if peak <= FAR_BEYOND:
        return
    parts = np.array_split(waveform, -(-len(waveform) // BLOCK))
    if sum(np.count_nonzero(np.abs(part) > REST * peak) for part in parts) <= RARE * len(waveform):
        position = max(int(waveform.argmax()), int(waveform.argmin()), key=lambda at: abs(waveform[at]))
        moment = f"the value {waveform[position]:.3g} at {position / sampling_rate:.3f} s"
        raise Unreadable(f"{moment} is far beyond all others, where full scale is 1")


def _possible(sampling_rate: int) -> int:
    if not RATES[0] <= sampling_rate <= RATES[1]:
        raise Unreadable(f"a sampling rate of {sampling_rate} Hz, expected one from {RATES[0]} to {RATES[1]}")
    return sampling_rate


def _data_of_wav(path: str | os.PathLike) -> tuple[str, bool]:
    """What libsndfile passes over without a word in the header of a WAV, if it is one.

    Returns:
        missing: see `Source`.
        goes_on: whether no chunk but more than a second of sound lies behind what is announced.
    """
    with open(path, "rb") as file:
        size, head = os.fstat(file.fileno()).st_size, file.read(12)
        position, bytes_a_second = 12, 0
        while head[:4] == b"RIFF" and head[8:] == b"WAVE" and position + 8 <= size:
            file.seek(position)
            name, announced = struct.unpack("<4sI", file.read(8))
            there = size - position - 8
            if name == b"fmt " and there >= 16:
                rate, bytes_a_second = struct.unpack("<4xII4x", file.read(16))
                _possible(rate)
            if name == b"data":
                missing = f"{there} of {announced} bytes are there" if there < announced < STREAMED else ""
                file.seek(position + 8 + announced + announced % 2)
                name, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
                is_chunk = name.decode("latin1").isprintable() and length <= there - announced
                return missing, not is_chunk and there - announced > bytes_a_second * (announced > 0)
            position += 8 + announced + announced % 2
    return "", False


def _decode(path: str | os.PathLike) -> Iterator[np.ndarray]:
    try:
        with soundfile.SoundFile(_name(path)) as file:
            if file.seekable():
                file.seek(0)  # as soundfile.read does: the last digits of an MP3 depend on it
            while len(block := file.read(max(BLOCK // file.channels, 1), dtype="float32", always_2d=True)):
                yield block
    except NOT_LIBSNDFILE as error:
        raise Unreadable(_said(error)) from error


def _open_with_ffmpeg(path: str | os.PathLike, reason: str, **options: str) -> Source:
    """What libsndfile does not know; `reason` is what it says of it."""
    with _ffmpeg(path, reason, options) as (container, stream):
        kind = f"{stream.codec_context.name.upper()} in {container.format.long_name}"
        rate = _possible(stream.codec_context.sample_rate or 0)
    return Source(rate, None, "", kind if reason else "", partial(_decode_with_ffmpeg, path, rate, options))


def _decode_with_ffmpeg(path: str | os.PathLike, sampling_rate: int, options: dict[str, str]) -> Iterator[np.ndarray]:
    from av import AudioResampler

    with _ffmpeg(path, "", options) as (container, stream):
        to_floats, channels = AudioResampler("fltp", rate=sampling_rate), None  # planar, full scale 1
        for frame in container.decode(stream):
            channels = channels or frame.layout.nb_channels
            if (frame.sample_rate, frame.layout.nb_channels) != (sampling_rate, channels):
                raise Unreadable("its sampling rate or its number of channels changes on the way")
            yield from (part.to_ndarray().T for part in to_floats.resample(frame))


@contextmanager
def _ffmpeg(path: str | os.PathLike, reason: str, options: dict[str, str]) -> Iterator[tuple[Any, Any]]:
    """The container and its first sound; what goes wrong is an `Unreadable` with the reason, or what FFmpeg says."""
    import av  # rarely needed

    try:
        with open(path, "rb") as file, av.open(file, options=options | {"protocol_whitelist": ""}) as container:
            if not container.streams.audio:
                raise Unreadable(f"no sound in it, {container.format.long_name}")
            yield container, container.streams.audio[0]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(reason or _said(error)) from error


def _said(error: Exception) -> str:
    """What a library says went wrong."""
    return str(getattr(error, "error_string", getattr(error, "strerror", None)) or error).strip(" .").lower()
