"""Sounds inside other files: Qt resources, OpenTTD's sets of sounds, Gravis patches, SoundFont 2 banks.

Each reader takes a path and yields (name, waveform, sampling_rate) or (name, bytes); what a container says is
believed no further than its own length.

References:
    Qt resource collections: `rcc` of Qt 5, format versions 1 to 3. OpenTTD: "Sound effects" in its NewGRF wiki (a table
    of offsets and lengths, then a name and a WAV each). Gravis: "UltraSound patch files", 1992 (header, layer,
    samples of 96-byte headers). SoundFont: "SoundFont technical specification 2.04", sections 5 to 7.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = ["gravis_patch", "openttd_sounds", "qt_resources", "soundfont_samples"]

NAMES = {"directory": 2, "zlib": 1, "zstd": 4}  # flags of a Qt resource


def qt_resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """Files of a Qt resource collection (.rcc): (path inside, content); those packed with zstd are left out."""
    content = path.read_bytes()
    magic, version, tree, data, names = struct.unpack(">4sIIII", content[:20])
    if magic != b"qres" or not 1 <= version <= 3:
        return
    size = 22 if version >= 2 else 14  # bytes a node

    def name(offset: int) -> str:
        start = names + offset
        (length,) = struct.unpack(">H", content[start : start + 2])
        return content[start + 6 : start + 6 + 2 * length].decode("utf-16-be")

    def walk(node: int, above: str) -> Iterator[tuple[str, bytes]]:
        start = tree + node * size
        called, flags = struct.unpack(">IH", content[start : start + 6])
        here = f"{above}/{name(called)}" if node else above
        if flags & NAMES["directory"]:
            count, first = struct.unpack(">II", content[start + 6 : start + 14])
            for child in range(first, first + count):
                yield from walk(child, here)
            return
        (offset,) = struct.unpack(">I", content[start + 10 : start + 14])
        (length,) = struct.unpack(">I", content[data + offset : data + offset + 4])
        packed = content[data + offset + 4 : data + offset + 4 + length]
        if flags & NAMES["zlib"]:
            yield here.strip("/"), zlib.decompress(packed[4:])
        elif not flags & NAMES["zstd"]:
            yield here.strip("/"), packed

    yield from walk(0, "")


def openttd_sounds(path: Path) -> Iterator[tuple[str, bytes]]:
    """WAV files of an OpenTTD set (.cat): ("00", content) and so on, in its order."""
    content = path.read_bytes()
    (first,) = struct.unpack("<I", content[:4])
    for number in range((first & 0x7FFFFFFF) // 8):
        offset, length = struct.unpack("<II", content[8 * number : 8 * number + 8])
        start = offset & 0x7FFFFFFF
        start += 1 + content[start]  # the name's length, the name
        yield f"{number:02d}", content[start : start + length]


def gravis_patch(path: Path) -> Iterator[tuple[str, np.ndarray, int]]:
    """Samples of a Gravis patch (.pat): ("0", (T,) float32 in [-1, 1], Hz) and so on."""
    content = path.read_bytes()
    if content[:12] != b"GF1PATCH110\0":
        return
    layer = 129 + 63
    start = layer + 47
    for number in range(content[layer + 6]):
        (length,) = struct.unpack("<I", content[start + 8 : start + 12])
        (rate,) = struct.unpack("<H", content[start + 20 : start + 22])
        mode = content[start + 55]
        raw = content[start + 96 : start + 96 + length]
        start += 96 + length
        wide, unsigned = mode & 1, mode & 2
        kind = {(1, 0): "<i2", (1, 2): "<u2", (0, 0): "i1", (0, 2): "u1"}[wide, unsigned]
        values = np.frombuffer(raw[: len(raw) // 2 * 2] if wide else raw, kind).astype(np.float32)
        half = 32768.0 if wide else 128.0
        yield str(number), (values - half if unsigned else values) / half, rate or 22050


def soundfont_samples(path: Path) -> Iterator[tuple[str, np.ndarray, int]]:
    """Samples of a SoundFont 2 bank (.sf2): ("1133:P200 Piano D2(L)", (T,) float32 in [-1, 1], Hz) and so on."""
    content = path.read_bytes()
    lists = {
        inner: (begin, length)
        for outer, start, size in _chunks(content, 12, len(content))
        if outer == b"LIST"
        for inner, begin, length in _chunks(content, start + 4, start + size)
    }
    sound, _ = lists[b"smpl"]
    begin, length = lists[b"shdr"]
    for number, at in enumerate(range(begin, begin + length - 46, 46)):  # the last one only ends the list
        name, first, last, _, _, rate = struct.unpack("<20sIIIII", content[at : at + 40])
        values = np.frombuffer(content[sound + 2 * first : sound + 2 * last], "<i2")
        label = name.split(b"\0")[0].decode("latin1").strip()
        yield f"{number}:{label}", values.astype(np.float32) / 32768, rate


def _chunks(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """RIFF chunks: identifier, where its content begins, its length."""
    while start + 8 <= end:
        identifier = content[start : start + 4]
        (length,) = struct.unpack("<I", content[start + 4 : start + 8])
        yield identifier, start + 8, length
        start += 8 + length + (length & 1)
