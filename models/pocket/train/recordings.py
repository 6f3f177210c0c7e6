"""The recordings that hearing is learnt from and tested on: seven Debian packages, and what each of their sounds is.

`recordings.csv` has a row a recording: package, path ("container#member" or "container:member" inside another file),
label (a sounding thing, or AudioSet's name for what nothing visible makes) and "note" for a single note of an
instrument. Labels come from file names and the packages' own texts; doubles and silent files are left out.

    mkdir -p data/pocket && cd data/pocket
    apt-get download tuxpaint-stamps-default tuxpaint-data gcompris-qt-data 0ad-data freepats fluid-soundfont-gm \
        openttd-opensfx asterisk-core-sounds-en-wav
    for deb in *.deb; do dpkg-deb -x "$deb" "${deb%%_*}"; done
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from models.pocket.train import containers
from utils.errors import UserError

__all__ = ["PACKAGES", "TEST_PACKAGES", "Recording", "read_recordings"]

TABLE = Path(__file__).with_name("recordings.csv")
TEST_PACKAGES = ("gcompris-qt-data", "openttd-opensfx")  # never trained on
SAMPLING_RATE = 22050  # Hz
LONGEST = 12.0  # s of a recording that are kept
QUIET = 0.01  # of a recording's peak: what is quieter is cut off at its ends
ARCHIVE = "usr/share/games/0ad/mods/public/public.zip"
BANK = "usr/share/sounds/sf2/FluidR3_GM.sf2"
EFFECTS = "usr/share/games/openttd/baseset/opensfx/opensfx.cat"
RESOURCES = "usr/share/gcompris-qt/rcc"


@dataclass(frozen=True, eq=False)
class Recording:
    """One sound.

    Attributes:
        label: what is heard.
        package: where it is from.
        is_note: a single note of an instrument.
        waveform: (T,) float32 mono at SAMPLING_RATE, its peak 1.
    """

    label: str
    package: str
    is_note: bool
    waveform: np.ndarray


def read_recordings(data: Path, packages: Iterable[str]) -> list[Recording]:
    """Reads the recordings of some packages, in the order of the table.

    Args:
        data: folder with a folder a package, as `dpkg-deb -x` unpacks it.
        packages: names out of PACKAGES.

    Raises:
        UserError: a package is not there or lacks a sound.
    """
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for package in packages:
        folder = data / package
        if not folder.is_dir():
            raise UserError(f"expected {package} unpacked at {folder}, found nothing; `apt-get download {package}` and "
                            f"`dpkg-deb -x {package}_*.deb {folder}` bring it")  # fmt: skip
        wanted = {row["path"]: row for row in rows if row["package"] == package}
        sounds = dict(PACKAGES[package](folder, wanted))
        missing = [path for path in wanted if path not in sounds]
        if missing:
            raise UserError(f"expected {missing[0]} in {folder}, found {len(missing)} of {len(wanted)} sounds missing; "
                            "take the package's version of Debian 12")  # fmt: skip
        for path, row in wanted.items():
            waveform = _prepared(*sounds[path])
            if waveform is not None:
                found.append(Recording(row["label"], package, row["notes"] == "note", waveform))
    return found


Sounds = Iterator[tuple[str, tuple[np.ndarray, int]]]  # path as in the table, (waveform, Hz)


def _files(folder: Path, wanted: Mapping[str, object]) -> Sounds:
    for path in wanted:
        if (folder / path).is_file():
            yield path, _decoded((folder / path).read_bytes())


def _zipped(folder: Path, wanted: Mapping[str, object]) -> Sounds:
    with zipfile.ZipFile(folder / ARCHIVE) as archive:
        for path in wanted:
            yield path, _decoded(archive.read(path.partition(":")[2]))


def _resources(folder: Path, wanted: Mapping[str, object]) -> Sounds:
    yield from _files(folder, wanted)
    for collection in sorted((folder / RESOURCES).glob("*.rcc")):
        for name, content in containers.qt_resources(collection):
            path = f"rcc:{name.removeprefix('gcompris/src/')}"
            if path in wanted:
                yield path, _decoded(content)


def _effects(folder: Path, wanted: Mapping[str, object]) -> Sounds:
    for name, content in containers.openttd_sounds(folder / EFFECTS):
        if f"opensfx.cat#{name}" in wanted:
            yield f"opensfx.cat#{name}", _decoded(content)


def _patches(folder: Path, wanted: Mapping[str, object]) -> Sounds:
    for patch in sorted({path.partition("#")[0] for path in wanted}):
        for name, waveform, rate in containers.gravis_patch(folder / patch):
            yield f"{patch}#{name}", (waveform, rate)


def _bank(folder: Path, wanted: Mapping[str, object]) -> Sounds:
    for name, waveform, rate in containers.soundfont_samples(folder / BANK):
        if f"FluidR3_GM.sf2#{name}" in wanted:
            yield f"FluidR3_GM.sf2#{name}", (waveform, rate)


PACKAGES = {
    "tuxpaint-stamps-default": _files,
    "0ad-data": _zipped,
    "freepats": _patches,
    "fluid-soundfont-gm": _bank,
    "asterisk-core-sounds-en-wav": _files,
    "gcompris-qt-data": _resources,
    "openttd-opensfx": _effects,
}


def _decoded(content: bytes) -> tuple[np.ndarray, int]:
    waveform, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return waveform.mean(axis=1), rate


def _prepared(waveform: np.ndarray, rate: int) -> np.ndarray | None:
    """At SAMPLING_RATE, quiet ends cut, its peak 1; None for silence."""
    waveform = soxr.resample(np.asarray(waveform, np.float32), rate, SAMPLING_RATE)[: round(LONGEST * SAMPLING_RATE)]
    peak = np.abs(waveform).max(initial=0)
    if len(waveform) < 100 or peak < 1e-4:
        return None
    loud = np.flatnonzero(np.abs(waveform) > QUIET * peak)
    return (waveform[loud[0] : loud[-1] + 1] / peak).astype(np.float32)
