"""Videos: frames read upright at a steady pace, and MP4 files of frames with their sound.

Conventions:
    image: (H, W, 3) uint8 RGB, upright, of square pixels, no side longer than LONGEST_SIDE.
    time: seconds from the video's first frame on.
    Files are read from the start to the end, a frame at a time: memory does not grow with their length.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from utils.errors import UserError
from utils.files import atomic_path, require_file
from utils.media.soundtracks import SoundTrack

LONGEST_SIDE = 1280  # pixels of a frame; networks look at 1333 and less
SOUND_RATE, SOUND_FRAME = 48_000, 1024  # Hz and samples of what is written
NOT_MORE = 1e-3  # seconds: times are multiples of a file's own unit, such as 1/90000
BT709 = 1  # the number of the colours that are written, in every field that names them
ADVICE = "convert it, for example with ffmpeg, to MP4"


@dataclass(frozen=True, eq=False)
class Frame:
    """What is in view from a moment on: see the module's conventions."""

    time: float
    image: np.ndarray


@dataclass
class Video:
    """A video file whose first frame could be decoded.

    Attributes:
        path: of the file.
        size: (H, W) of an image.
        turns: quarter turns against the clock that make a decoded frame upright: of a phone held upright, mostly 3.
        seconds: its length as its header says; None where only reading tells.
        start: seconds of its first frame on the file's own clock.
        sound_starts_at: the time of its own sound; negative before the first frame, None where it has none.
        undecodable: packets that could not be decoded when it was read last; what they held is passed over.
    """

    path: Path
    size: tuple[int, int]
    turns: int
    seconds: float | None
    start: float
    sound_starts_at: float | None
    undecodable: int = 0

    def frames(self, fps: float) -> Iterator[Frame]:
        """What is in view at 0, 1 / fps, 2 / fps, ... seconds until the end, whatever the file's own frame rate.

        Raises:
            UserError: it cannot be read any more.
        """
        number, end, frame, image = 0, 0.0, None, None
        for time, seconds, after in self._decoded():
            while frame is not None and number / fps < time - NOT_MORE:
                image = self._upright(frame) if image is None else image
                yield Frame(number / fps, image)
                number += 1
            frame, image, end = after, None, time + seconds
        while frame is not None and (number == 0 or number / fps < end - NOT_MORE):
            image = self._upright(frame) if image is None else image
            yield Frame(number / fps, image)
            number += 1

    def _decoded(self) -> Iterator[tuple[float, float, Any]]:
        """Every frame of the file, its time and how long it is shown at least; times only grow."""
        self.undecodable = 0
        with _opened(self.path) as (container, stream):
            step = 1 / float(stream.average_rate or stream.guessed_rate or 25)
            time = -step
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    self.undecodable += 1
                    continue
                for frame in frames:
                    own = time + step if frame.pts is None else float(frame.pts * frame.time_base) - self.start
                    if own > time:
                        time = own
                        yield time, float((frame.duration or 0) * (frame.time_base or 0)) or step, frame

    def _upright(self, frame: Any) -> np.ndarray:
        height, width = self.size[::-1] if self.turns % 2 else self.size
        picture = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(picture, self.turns))


def open_video(path: str | os.PathLike) -> Video:
    """Looks at a video's header and first frame.

    Raises:
        UserError: the file is missing, is no video, is broken, or holds no frame.
    """
    require_file(path, "a video")
    with _opened(Path(path)) as (container, stream):
        first = _first_frame(container, stream)
        if first is None:
            raise UserError(f"cannot read the video {path}: no frame of it can be decoded; {ADVICE}")
        height, width = first.height, first.width * float(stream.sample_aspect_ratio or 1)
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        turns = round(first.rotation / 90) % 4
        start = 0.0 if first.pts is None else float(first.pts * first.time_base)
        seconds = float(stream.duration * stream.time_base) if stream.duration else None
        if seconds is None and container.duration:
            seconds = container.duration / av.time_base
        sound = container.streams.audio[0] if container.streams.audio else None
        sound_starts_at = float((sound.start_time or 0) * sound.time_base) - start if sound else None
        return Video(Path(path), size[::-1] if turns % 2 else size, turns, seconds, start, sound_starts_at)


def _first_frame(container: Any, stream: Any) -> Any:
    for packet in container.demux(stream):
        with suppress(av.error.InvalidDataError):
            for frame in packet.decode():
                return frame
    return None


@contextmanager
def writing(
    path: Path, size: tuple[int, int], fps: float, sound: SoundTrack | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes an MP4 file (H.264 and AAC), whole or not at all.

    Args:
        path: where.
        size: (H, W) of its frames, even numbers.
        fps: frames a second.
        sound: heard over it, from its own start to the end of the last frame; None for none.

    Yields:
        Writes the next frame, (H, W, 3) uint8 RGB.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with atomic_path(path) as partial_path, av.open(str(partial_path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *size, "yuv420p", max(1, round(2 * fps))
        stream.color_range = stream.colorspace = stream.color_primaries = stream.color_trc = BT709
        encoded, count = _encoded(container, sound) if sound else iter(()), 0

        def write(image: np.ndarray) -> None:
            nonlocal count
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = count, 1 / rate
            container.mux(stream.encode(frame))
            count += 1
            for end, packets in encoded:
                container.mux(packets)
                if end >= count / rate:
                    break

        yield write
        for one in container.streams:
            container.mux(one.encode(None))


def _encoded(container: Any, sound: SoundTrack) -> Iterator[tuple[float, list[Any]]]:
    """Encodes a sound part by part, as it is asked for: (seconds up to which it is encoded, packets)."""
    layout = "stereo" if sound.channels == 2 else "mono"
    stream = container.add_stream("aac", rate=SOUND_RATE, layout=layout)
    resampler = av.AudioResampler("fltp", layout, SOUND_RATE, frame_size=SOUND_FRAME)

    def encode() -> Iterator[tuple[float, list[Any]]]:
        count = 0
        for block in sound.blocks():
            channels = (block if layout == "stereo" else block.mean(1, keepdims=True)).T.clip(-1, 1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), "fltp", layout)
            frame.sample_rate = sound.sampling_rate
            for part in resampler.resample(frame):
                part.pts, part.time_base = count, Fraction(1, SOUND_RATE)
                count += part.samples
                yield count / SOUND_RATE, stream.encode(part)

    return encode()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video; UserError where there is none or FFmpeg cannot read it."""
    try:
        with open(path, "rb") as file, av.open(file, options={"protocol_whitelist": ""}) as container:
            pictures = container.streams.video
            streams = [one for one in pictures if not one.disposition & av.stream.Disposition.attached_pic]  # a cover
            if not streams:
                found = f"found none but {container.format.long_name}"
                raise UserError(f"expected moving pictures in {path}, {found}; name a video, or an image and a sound")
            streams[0].thread_type = "AUTO"
            yield container, streams[0]
    except (av.FFmpegError, OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error).strip(" .").lower()
        raise UserError(f"cannot read the video {path}: {why}; {ADVICE}") from error
