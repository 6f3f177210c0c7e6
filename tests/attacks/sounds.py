"""Sounds as people have them, and how the demo should end on each."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import soxr

from tests.attacks.case import Judge
from tests.attacks.endings import answers, either, refuses
from tests.attacks.pictures import DOG, EXAMPLES, NOT_FINITE, SIZE, Write, encoded, photo, put

SHORT = answers(SIZE, "", "short|too little|silent|empty|no sound")
SILENT = answers(SIZE, "", "silent|no sound")
MADE_WITH_PYAV = ("AAC called WAV", "the sound of a film")


def bark(rate: int | None = None) -> tuple[np.ndarray, int]:
    """(T,) float64 of 0.9 s, and its rate in Hz."""
    waveform, own = soundfile.read(EXAMPLES / "wav" / "farm_dog.wav")
    return (waveform, own) if rate is None else (soxr.resample(waveform, own, rate), rate)


def sound(
    waveform: Callable[[], np.ndarray] | None = None, rate: int | None = None, subtype: str = "PCM_16", **options
) -> Write:
    """Writes a sound in the format of the path's suffix; a bark where none is given."""

    def write(path: Path) -> None:
        own = bark(rate) if waveform is None else (waveform(), rate or bark()[1])
        buffer = BytesIO()  # libsndfile takes no name that is not UTF-8
        soundfile.write(buffer, *own, subtype=subtype, **{"format": path.suffix[1:].upper(), **options})
        path.write_bytes(buffer.getvalue())

    return write


def wav() -> bytearray:
    """A bark as the bytes of a WAV, whose header has 44 of them."""
    buffer = BytesIO()
    soundfile.write(buffer, *bark(), subtype="PCM_16", format="WAV")
    return bytearray(buffer.getvalue())


def patched(place: int, value: int, and_riff: int | None = None) -> bytes:
    """A WAV with another number of 32 bits in its header: 24 the rate, 40 the size of the sound."""
    content = wav()
    struct.pack_into("<I", content, place, value)
    if and_riff is not None:
        struct.pack_into("<I", content, 4, and_riff)
    return bytes(content)


def with_a_value(value: float) -> np.ndarray:
    waveform = bark()[0]
    waveform[1000] = value
    return waveform


def first(seconds: float) -> np.ndarray:
    """The loudest part of the bark, so long."""
    waveform, rate = bark()
    start = int(np.argmax(np.abs(waveform)))
    return waveform[start : start + max(1, round(seconds * rate))]


def after_zeros(seconds: int, times: int) -> np.ndarray:
    waveform, rate = bark()
    return np.concatenate([np.zeros(seconds * rate), np.tile(waveform, times)])


def flac_that_announces_hours() -> bytes:
    """A FLAC whose header says that 2**36 - 1 samples follow."""
    buffer = BytesIO()
    soundfile.write(buffer, *bark(), format="FLAC")
    content = bytearray(buffer.getvalue())
    (fields,) = struct.unpack_from(">Q", content, 18)  # rate, channels and depth, then 36 bits for the samples
    struct.pack_into(">Q", content, 18, fields | (1 << 36) - 1)
    return bytes(content)


def with_pyav(format: str, codec: str, picture: bool = False) -> Write:
    """Writes a bark as libsndfile cannot, with a picture beside it where a film is wanted."""

    def write(path: Path) -> None:
        import av

        waveform, rate = bark(48000)
        with av.open(str(path), "w", format=format) as container:
            track = container.add_stream(codec, rate=rate, layout="mono")
            if picture:
                film = container.add_stream("mpeg4", rate=5)
                film.width, film.height, film.pix_fmt = *SIZE, "yuv420p"
                for packet in film.encode(av.VideoFrame.from_image(photo())):
                    container.mux(packet)
                container.mux(film.encode(None))
            frame = av.AudioFrame.from_ndarray(waveform[None].astype(np.float32), format="fltp", layout="mono")
            frame.rate = rate
            container.mux(track.encode(frame))
            container.mux(track.encode(None))

    return write


SPIKE = either(DOG, refuses(r"spike\.wav"))
SOUNDS: dict[str, tuple[str, Write, Judge]] = {  # the picture has a dog
    "8 bits": ("dog.wav", sound(subtype="PCM_U8"), DOG),
    "24 bits": ("dog.wav", sound(subtype="PCM_24"), DOG),
    "floats": ("dog.wav", sound(subtype="FLOAT"), DOG),
    "floats above full scale": ("dog.wav", sound(lambda: 8 * bark()[0], subtype="FLOAT"), DOG),
    "A-law": ("dog.wav", sound(subtype="ALAW"), DOG),
    "5.1 channels": ("dog.wav", sound(lambda: np.stack([bark()[0]] * 6, 1)), DOG),
    "on the left only": ("dog.wav", sound(lambda: np.stack([bark()[0], 0 * bark()[0]], 1)), DOG),
    "8 kHz": ("dog.wav", sound(rate=8000), DOG),
    "192 kHz": ("dog.wav", sound(rate=192000), DOG),
    "AIFF": ("dog.aiff", sound(), DOG),
    "FLAC": ("dog.flac", sound(), DOG),
    "Ogg Vorbis": ("dog.ogg", sound(subtype="VORBIS"), DOG),
    "Opus": ("dog.opus", sound(rate=48000, subtype="OPUS", format="OGG"), DOG),
    "MP3 called WAV": ("dog.wav", sound(rate=44100, subtype="MPEG_LAYER_III", format="MP3"), DOG),
    "AAC called WAV": ("aac.wav", with_pyav("adts", "aac"), DOG),
    "the sound of a film": ("film.mp4", with_pyav("mp4", "aac", picture=True), DOG),
    "no sample": ("none.wav", sound(lambda: np.zeros(0)), SHORT),
    "one sample": ("one.wav", sound(lambda: np.full(1, 0.5)), SHORT),
    "two samples": ("two.wav", sound(lambda: np.array([0.5, -0.5])), SHORT),
    "49 ms": ("click.wav", sound(partial(first, 0.049)), SHORT),
    "silence": ("quiet.wav", sound(lambda: np.zeros(22050)), SILENT),
    "nothing but an offset": ("offset.wav", sound(lambda: np.full(22050, 0.3)), SILENT),
    "an offset under the sound": ("dog.wav", sound(lambda: 0.5 * bark()[0] + 0.4, subtype="FLOAT"), answers(SIZE)),
    "out of phase": ("dog.wav", sound(lambda: np.stack([bark()[0], -bark()[0]], 1)), DOG),
    "20 s of nothing before the sound": ("late.wav", sound(partial(after_zeros, 20, 5)), DOG),
    "clipped": ("loud.wav", sound(lambda: np.clip(100 * bark()[0], -1, 1)), answers(SIZE)),
    "one spike of 1e29": ("spike.wav", sound(partial(with_a_value, 1e29), subtype="FLOAT"), SPIKE),
    "a value that is no number": (
        "nan.wav",
        sound(partial(with_a_value, np.nan), subtype="FLOAT"),
        refuses(r"nan\.wav", NOT_FINITE),
    ),
    "an infinite value": (
        "inf.wav",
        sound(partial(with_a_value, np.inf), subtype="FLOAT"),
        refuses(r"inf\.wav", NOT_FINITE),
    ),
    "streamed, a size of 0": ("dog.wav", put(lambda: patched(40, 0, and_riff=0)), DOG),
    "streamed, the largest size": ("dog.wav", put(lambda: patched(40, 0xFFFFFFFF, and_riff=0xFFFFFFFF)), DOG),
    "a header alone": ("head.wav", put(lambda: patched(40, 0)[:44]), SHORT),
    "a rate of 0": ("rate.wav", put(lambda: patched(24, 0)), refuses(r"rate\.wav")),
    "WAV cut short": ("cut.wav", put(lambda: bytes(wav()[: len(wav()) // 2])), either(DOG, refuses(r"cut\.wav"))),
    "a FLAC that announces hours": (
        "bomb.flac",
        put(flac_that_announces_hours),
        either(DOG, refuses(r"bomb\.flac")),
    ),
    "a picture called WAV": ("photo.wav", put(lambda: encoded(photo, "JPEG")), refuses(r"photo\.wav")),
    "text called WAV": ("letter.wav", put(b"Dear Sir or Madam,\n"), refuses(r"letter\.wav")),
    "RIFF and nothing behind": ("riff.wav", put(b"RIFF\xff\xff\xff\xffWAVE"), refuses(r"riff\.wav")),
    "an empty sound": ("void.wav", put(b""), refuses(r"void\.wav", "empty|0 bytes")),
    "no sound": ("gone.wav", lambda path: None, refuses(r"gone\.wav")),
    "a pipe as the sound": ("pipe.wav", os.mkfifo, refuses(r"pipe\.wav")),
}
