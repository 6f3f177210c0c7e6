"""Containers built byte by byte and read back: Qt resources, OpenTTD's sets, Gravis patches, SoundFont banks."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from models.pocket.train.containers import gravis_patch, openttd_sounds, qt_resources, soundfont_samples

PACKED = b"the same again " * 20


def qt_collection(version: int, magic: bytes = b"qres") -> bytes:
    """/activities/{dog.ogg (as it is), größe.txt (zlib), later.txt (zstd)} and /top.txt."""
    names, offsets = b"", {}
    for name in ("activities", "dog.ogg", "größe.txt", "later.txt", "top.txt"):
        offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0xABCD) + name.encode("utf-16-be")
    contents, places = b"", []
    for content in (b"Ogg!", struct.pack(">I", len(PACKED)) + zlib.compress(PACKED), b"zstd", b""):
        places.append(len(contents))
        contents += struct.pack(">I", len(content)) + content
    dates = struct.pack(">Q", 1) if version >= 2 else b""

    def folder(name, count, first):
        return struct.pack(">IHII", offsets.get(name, 0), 2, count, first) + dates

    def file(name, flags, place):
        return struct.pack(">IHHHI", offsets[name], flags, 0, 1, place) + dates

    tree = folder("", 2, 1) + folder("activities", 3, 3) + file("top.txt", 0, places[3])
    tree += file("dog.ogg", 0, places[0]) + file("größe.txt", 1, places[1]) + file("later.txt", 4, places[2])
    start = 24 if version >= 3 else 20
    header = struct.pack(">4sIIII", magic, version, start, start + len(tree), start + len(tree) + len(contents))
    return header.ljust(start, b"\0") + tree + contents + names


@pytest.mark.parametrize("version", [1, 2, 3])
def test_qt_resources(tmp_path, version):
    path = tmp_path / "a.rcc"
    path.write_bytes(qt_collection(version))
    assert list(qt_resources(path)) == [
        ("activities/dog.ogg", b"Ogg!"),
        ("activities/größe.txt", PACKED),
        ("top.txt", b""),
    ]


@pytest.mark.parametrize(("version", "magic"), [(0, b"qres"), (4, b"qres"), (2, b"RIFF")])
def test_what_is_no_qt_collection_holds_nothing(tmp_path, version, magic):
    (tmp_path / "a.rcc").write_bytes(qt_collection(version, magic))
    assert list(qt_resources(tmp_path / "a.rcc")) == []


@pytest.mark.parametrize("mark", [0, 0x80000000])  # of a set for all systems
def test_openttd_sounds(tmp_path, mark):
    sounds = [(b"Splat\0", b"RIFF first"), (b"", b"RIFF second one"), (b"x" * 200, b"RIFF third")]
    table, body, start = b"", b"", 8 * len(sounds)
    for name, content in sounds:
        table += struct.pack("<II", (start + len(body)) | mark, len(content))
        body += bytes([len(name)]) + name + content
    path = tmp_path / "a.cat"
    path.write_bytes(table + body)
    assert list(openttd_sounds(path)) == [("00", b"RIFF first"), ("01", b"RIFF second one"), ("02", b"RIFF third")]
    path.write_bytes((table + body)[:-4])  # what it says of its length is not believed
    assert list(openttd_sounds(path))[-1] == ("02", b"RIFF t")


def gravis(*samples: tuple[np.ndarray, int, int]) -> bytes:
    """A patch of samples (values, Hz, mode)."""
    layer = bytearray(47)
    layer[6] = len(samples)
    out = b"GF1PATCH110\0".ljust(129 + 63, b"\0") + bytes(layer)
    for values, rate, mode in samples:
        header = bytearray(96)
        raw = values.tobytes()
        struct.pack_into("<I", header, 8, len(raw))
        struct.pack_into("<H", header, 20, rate)
        header[55] = mode
        out += bytes(header) + raw
    return out


def test_gravis_patches_of_every_width_and_sign(tmp_path):
    wave = np.array([0, 0.5, -0.5, 0.25, -1])
    samples = [
        ((wave * 32768).astype("<i2"), 44100, 1),
        ((wave * 32768 + 32768).astype("<u2"), 22050, 3),
        ((wave * 128).astype("i1"), 8000, 0),
        ((wave * 128 + 128).astype("u1"), 0, 2),  # a rate of nothing
    ]
    (tmp_path / "a.pat").write_bytes(gravis(*samples))
    found = list(gravis_patch(tmp_path / "a.pat"))
    assert [(name, rate) for name, _, rate in found] == [("0", 44100), ("1", 22050), ("2", 8000), ("3", 22050)]
    for _, waveform, _ in found:
        assert waveform.dtype == np.float32
        np.testing.assert_allclose(waveform, wave, atol=1e-6)
    (tmp_path / "a.pat").write_bytes(gravis(samples[0])[:-3])  # cut within a value
    assert len(next(gravis_patch(tmp_path / "a.pat"))[1]) == 3
    (tmp_path / "a.pat").write_bytes(b"no patch at all".ljust(400, b"\0"))
    assert list(gravis_patch(tmp_path / "a.pat")) == []


def chunk(identifier: bytes, content: bytes) -> bytes:
    return identifier + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def test_soundfont_samples(tmp_path):
    sound = np.array([0, 16384, -16384, 8192, 0, 0, -32768, 32767], "<i2")
    headers = b"".join(
        struct.pack("<20sIIIIIBbHH", name, first, last, 0, 0, rate, 60, 0, 0, 1)
        for name, first, last, rate in (
            (b"Piano D2(L)\0rest", 0, 4, 44100),
            (b"Drum", 6, 8, 22050),
            (b"EOS", 0, 0, 0),
        )
    )
    body = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"odd"))
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", sound.tobytes()))
    body += chunk(b"LIST", b"pdta" + chunk(b"phdr", b"\0" * 38) + chunk(b"shdr", headers))
    (tmp_path / "a.sf2").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"sfbk" + body)
    (piano, drum) = soundfont_samples(tmp_path / "a.sf2")
    assert (piano[0], piano[2], drum[0], drum[2]) == ("0:Piano D2(L)", 44100, "1:Drum", 22050)
    np.testing.assert_allclose(piano[1], [0, 0.5, -0.5, 0.25])
    np.testing.assert_allclose(drum[1], [-1, 32767 / 32768])
