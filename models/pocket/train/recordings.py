"""The recordings that sounds are learnt from and tested on: seven Debian packages, and what each of their sounds is.

`recordings.csv` has a row a recording: package, path ("container#member" or "container:member" inside another file),
label (a sounding thing, or AudioSet's name for what nothing visible makes) and "note" for a single note of an
instrument. Labels come from file names and the packages' own texts; doubles and silent files are left out.

References for the containers: `rcc` of Qt 5, format versions 1 to 3; "Sound effects" in OpenTTD's NewGRF wiki;
"UltraSound patch files", Gravis 1992; "SoundFont technical specification 2.04", sections 5 to 7.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from

import numpy as np
import soundfile
import soxr

from models.pocket.soundnet_network import SAMPLING_RATE
from models.pocket.train import package_folder
from utils.errors import UserError

TABLE = Path(__file__).with_name("recordings.csv")
TEST_PACKAGES = ("gcompris-qt-data", "openttd-opensfx")  # never trained on
PACKAGES = ("tuxpaint-stamps-default", "0ad-data", "freepats", "fluid-soundfont-gm", "asterisk-core-sounds-en-wav")
PACKAGES += TEST_PACKAGES
LONGEST = 12.0  # s of a recording that are kept
QUIET = 0.01  # of a recording's peak: what is quieter is cut off at its ends
CONTAINERS = {  # where in its package lies what the table calls so; others are called by their whole path
    "public.zip": "usr/share/games/0ad/mods/public/public.zip",
    "FluidR3_GM.sf2": "usr/share/sounds/sf2/FluidR3_GM.sf2",
    "opensfx.cat": "usr/share/games/openttd/baseset/opensfx/opensfx.cat",
    "rcc": "usr/share/gcompris-qt/rcc/*.rcc",
}
FOLDER, ZLIB, ZSTD = 2, 1, 4  # flags of a Qt resource

Sounds = Iterator[tuple[str, tuple[np.ndarray, int]]]  # name or path, ((T,) float32 in [-1, 1], Hz)


@dataclass(frozen=True, eq=False)
class Recording:
    """One sound, and what it is of."""

    label: str
    package: str
    is_note: bool  # a single note of an instrument
    waveform: np.ndarray  # (T,) float32 mono at SAMPLING_RATE, its peak 1


def read_recordings(data: Path, packages: Iterable[str]) -> list[Recording]:
    """Reads the recordings of some of PACKAGES, unpacked as DATA/PACKAGE, in the order of the table.

    Raises:
        UserError: a package is not there or lacks a sound.
    """
    rows, found = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines())), []
    for package in packages:
        folder = package_folder(data, package)
        wanted = {row["path"]: row for row in rows if row["package"] == package}
        sounds = dict(_sounds(folder, wanted))
        if missing := [path for path in wanted if path not in sounds]:
            raise UserError(f"expected {missing[0]} in {folder}, found {len(missing)} of {len(wanted)} sounds missing; "
                            "take the package's version of Debian 12")  # fmt: skip
        for path, row in wanted.items():
            if (waveform := _prepared(*sounds[path])) is not None:
                found.append(Recording(row["label"], package, row["notes"] == "note", waveform))
    return found


def qt_resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """Files of a Qt resource collection (.rcc): (path inside, content); those packed with zstd are left out."""
    content = path.read_bytes()
    magic, version, tree, data, names = unpack_from(">4sIIII", content)
    if magic != b"qres" or not 1 <= version <= 3:
        return

    def walk(node: int, above: str) -> Iterator[tuple[str, bytes]]:
        start = tree + node * (22 if version >= 2 else 14)
        name, flags = unpack_from(">IH", content, start)
        (length,) = unpack_from(">H", content, names + name)
        name = content[names + name + 6 : names + name + 6 + 2 * length].decode("utf-16-be")
        here = f"{above}/{name}" if node else above
        if flags & FOLDER:
            count, first = unpack_from(">II", content, start + 6)
            for child in range(first, first + count):
                yield from walk(child, here)
            return
        begin = data + unpack_from(">I", content, start + 10)[0]
        (length,) = unpack_from(">I", content, begin)
        packed = content[begin + 4 : begin + 4 + length]
        if flags & ZLIB:
            yield here.strip("/"), zlib.decompress(packed[4:])
        elif not flags & ZSTD:
            yield here.strip("/"), packed

    yield from walk(0, "")


def zipped_sounds(path: Path) -> Iterator[tuple[str, bytes]]:
    """Ogg files of a zip archive: (path inside, content)."""
    with zipfile.ZipFile(path) as archive:
        yield from ((name, archive.read(name)) for name in archive.namelist() if name.endswith(".ogg"))


def openttd_sounds(path: Path) -> Iterator[tuple[str, bytes]]:
    """WAV files of an OpenTTD set (.cat): ("00", content) and so on, in its order."""
    content = path.read_bytes()
    for number in range((unpack_from("<I", content)[0] & 0x7FFFFFFF) // 8):
        offset, length = unpack_from("<II", content, 8 * number)
        start = offset & 0x7FFFFFFF
        start += 1 + content[start]  # the name's length, the name
        yield f"{number:02d}", content[start : start + length]


def gravis_patch(path: Path) -> Sounds:
    """Samples of a Gravis patch (.pat), "0" and so on."""
    content = path.read_bytes()
    if content[:12] != b"GF1PATCH110\0":
        return
    layer = 129 + 63
    start = layer + 47
    for number in range(content[layer + 6]):
        (length,) = unpack_from("<I", content, start + 8)
        (rate,) = unpack_from("<H", content, start + 20)
        width, unsigned = 1 + (content[start + 55] & 1), content[start + 55] & 2
        raw = content[start + 96 : start + 96 + length]
        start += 96 + length
        values = np.frombuffer(raw[: len(raw) // width * width], f"<{'u' if unsigned else 'i'}{width}")
        half = np.float32(2 ** (8 * width - 1))
        yield str(number), ((values.astype(np.float32) - (half if unsigned else 0)) / half, rate or 22050)


def soundfont_samples(path: Path) -> Sounds:
    """Samples of a SoundFont 2 bank (.sf2), "1133:P200 Piano D2(L)" and so on."""
    content = path.read_bytes()
    outer = [(start, size) for name, start, size in _riff_chunks(content, 12, len(content)) if name == b"LIST"]
    inner = (chunk for start, size in outer for chunk in _riff_chunks(content, start + 4, start + size))
    places = {name: (start, size) for name, start, size in inner}
    sound, _ = places[b"smpl"]
    begin, length = places[b"shdr"]
    for number, at in enumerate(range(begin, begin + length - 46, 46)):  # the last one only ends the list
        name, first, last, _, _, rate = unpack_from("<20sIIIII", content, at)
        values = np.frombuffer(content[sound + 2 * first : sound + 2 * last], "<i2")
        label = name.split(b"\0")[0].decode("latin1").strip()
        yield f"{number}:{label}", (values.astype(np.float32) / 32768, rate)


READERS = {".rcc": qt_resources, ".zip": zipped_sounds, ".cat": openttd_sounds}  # by the ending of a container
READERS |= {".pat": gravis_patch, ".sf2": soundfont_samples}


def _riff_chunks(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Identifier, where its content begins, its length."""
    while start + 8 <= end:
        identifier, length = unpack_from("<4sI", content, start)
        yield identifier, start + 8, length
        start += 8 + length + (length & 1)


def _sounds(folder: Path, wanted: Mapping[str, object]) -> Sounds:
    """The sounds of a package that are wanted, each by its path in the table."""
    for container, mark in sorted({re.match("([^:#]*)([:#]?)", path).groups() for path in wanted}):
        for place in sorted(folder.glob(CONTAINERS.get(container, container))):
            members = READERS[place.suffix](place) if mark else [("", place.read_bytes())]
            for name, sound in members:
                path = f"{container}{mark}{name.removeprefix('gcompris/src/')}"
                if path in wanted and isinstance(sound, bytes):
                    waveform, rate = soundfile.read(io.BytesIO(sound), dtype="float32", always_2d=True)
                    yield path, (waveform.mean(axis=1), rate)
                elif path in wanted:
                    yield path, sound


def _prepared(waveform: np.ndarray, rate: int) -> np.ndarray | None:
    """At SAMPLING_RATE, quiet ends cut, its peak 1; None for silence."""
    waveform = soxr.resample(np.asarray(waveform, np.float32), rate, SAMPLING_RATE)[: round(LONGEST * SAMPLING_RATE)]
    peak = np.abs(waveform).max(initial=0)
    if len(waveform) < 100 or peak < 1e-4:
        return None
    loud = np.flatnonzero(np.abs(waveform) > QUIET * peak)
    return (waveform[loud[0] : loud[-1] + 1] / peak).astype(np.float32)
