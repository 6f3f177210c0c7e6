"""The things of the stamps world, and the two Debian packages that their photographs and recordings come from.

`catalog.csv` names each thing, what it does when it sounds (nothing where it is silent) and its cut-outs, paths below
`stamps/` without extension; the recording has the photo's name. Both packages are GPL-2: `tuxpaint-stamps-default` has
cut-outs with alpha and recordings, `tuxpaint-data` photographs for backgrounds; the card says how to get them.

A kind is kept when it has a photographic cut-out and an audible recording of its own; recordings that the package
gives to two kinds (badger and beaver, ram and chamois) are used for one of them only, and four recordings that are
pure silence (giraffe, iguana, rhea, wombat) are not used.
"""

from __future__ import annotations

import csv
import gzip
import lzma
import re
import shlex
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from utils.errors import UserError

DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "data" / "tuxpaint"
VERSIONS = {"tuxpaint-stamps-default": "2022.06.04-1", "tuxpaint-data": "1:0.9.28-sdl2-1"}  # this was written with
WANTED = f"the Debian packages {' and '.join(VERSIONS)}, unpacked or as .deb files"
PHOTOS = "usr/share/tuxpaint/templates"  # below an unpacked tree
# Photographs kept for testing only; every other one is for training, but for the one with sheep in it.
TEST_PHOTOS = ("cliff", "lighthouse", "mossy_log", "ocean_waves", "rocks", "trees_at_dusk")
UNUSED_PHOTOS = ("sheep",)
NO_ARTICLE = ("scissors", "corn", "broccoli")


@dataclass(frozen=True)
class Kind:
    """One kind of thing."""

    noun: str  # its name in captions, queries and labels
    verb: str  # what it does when it sounds ("barking"); "" for a silent distractor
    photos: tuple[str, ...]  # cut-outs trained on
    unseen_photos: tuple[str, ...]  # further cut-outs of the kind, never trained on

    @property
    def sounds(self) -> tuple[str, ...]:
        """Recordings, called as the cut-outs are; none for a silent distractor."""
        return self.photos if self.verb else ()

    @property
    def phrase(self) -> str:
        """The noun with its indefinite article where it takes one, e.g. "an owl", "scissors"."""
        if self.noun in NO_ARTICLE:
            return self.noun
        return ("an " if self.noun[0] in "aeiou" else "a ") + self.noun


_TABLE = csv.DictReader(Path(__file__).with_name("catalog.csv").read_text(encoding="utf-8").splitlines())
KINDS = tuple(Kind(row["noun"], row["verb"], (row["photo"],), tuple(row["unseen_photos"].split())) for row in _TABLE)
SOUNDING = tuple(kind for kind in KINDS if kind.sounds)
SILENT = tuple(kind for kind in KINDS if not kind.sounds)


def stamp_path(root: Path, stamp: str, extension: str) -> Path:
    """Where a stamp's file lies below an unpacked tree."""
    return root / "usr/share/tuxpaint/stamps" / f"{stamp}.{extension}"


def background_photos(root: Path, split: str) -> list[Path]:
    """Background photographs of a split ("train" or "test"), sorted by name."""
    photos = (path for path in sorted((root / PHOTOS).glob("*.jpg")) if path.stem not in UNUSED_PHOTOS)
    return [path for path in photos if (path.stem in TEST_PHOTOS) == (split == "test")]


def needed_files() -> dict[str, tuple[str, ...]]:
    """Package -> the files of it that scenes cannot do without, as they lie below an unpacked tree."""
    stamps = [(stamp, "png") for kind in KINDS for stamp in (*kind.photos, *kind.unseen_photos)]
    stamps += [(stamp, "ogg") for kind in KINDS for stamp in kind.sounds]
    return {
        "tuxpaint-stamps-default": tuple(stamp_path(Path(), *stamp).as_posix() for stamp in stamps),
        "tuxpaint-data": tuple(f"{PHOTOS}/{name}.jpg" for name in TEST_PHOTOS),
    }


@lru_cache(maxsize=4)
def check_root(root: Path) -> Path:
    """Returns `root` if it holds both unpacked packages.

    Raises:
        UserError: a package is missing there, and the message holds the commands that bring it; or it lacks a file.
    """
    needed = needed_files()
    missing = {package: [name for name in names if not (root / name).exists()] for package, names in needed.items()}
    absent = [package for package, names in missing.items() if len(names) == len(needed[package])]
    if absent:
        unpack = " && ".join(f"dpkg-deb -x {package}_*.deb {root}" for package in absent)
        raise UserError(
            f"expected the Debian package {' and '.join(absent)} unpacked at {root}, found no {missing[absent[0]][0]}; "
            f"get it with: mkdir -p {root} && apt-get download {' '.join(absent)} && {unpack}"
        )
    for package, names in missing.items():
        if names:
            raise UserError(
                f"expected the files of {package} {VERSIONS[package]}, found no {names[0]} and {len(names)} missing in "
                "all; take that version of the package"
            )
    return root


@contextmanager
def open_packages(sources: Sequence[Path]) -> Iterator[tuple[Path, dict[str, str]]]:
    """Makes both packages readable; what has to be unpacked is removed when the block ends.

    Args:
        sources: one unpacked tree; or .deb files, folders that hold them, or both.

    Yields:
        root: of the tree, below which `usr/share/tuxpaint` lies.
        versions: package -> its Debian version, "unknown" where the tree does not say.

    Raises:
        UserError: a package is missing, is there twice, is broken or is another one.
    """
    if len(sources) == 1 and (sources[0] / "usr").is_dir():
        root = check_root(sources[0])
        yield root, {package: _version_of_tree(root, package) for package in sorted(VERSIONS)}
        return
    debs = _find_debs(sources)
    with tempfile.TemporaryDirectory(prefix="stamps-") as folder:
        root = Path(folder)
        for path in debs.values():
            print(f"unpacking {path}", file=sys.stderr, flush=True)  # 160 MB take a while
            for name, content in _files(path):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
        yield check_root(root), {package: _control(debs[package])["Version"] for package in sorted(VERSIONS)}


def _version_of_tree(root: Path, package: str) -> str:
    """From the first line of Debian's changelog: "tuxpaint (1:0.9.28-sdl2-1) unstable; urgency=medium"."""
    try:
        with gzip.open(root / "usr/share/doc" / package / "changelog.Debian.gz", "rt", encoding="utf-8") as changelog:
            found = re.match(r"\S+ \((\S+)\)", changelog.readline())
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        found = None
    return found[1] if found else "unknown"


def _find_debs(sources: Sequence[Path]) -> dict[str, Path]:
    """Package -> its .deb file, for both packages."""
    debs: dict[str, Path] = {}
    for source in sources:
        if not source.exists():
            raise UserError(f"expected {WANTED} at {source}, found nothing there; {_how_to_get(source)}")
        paths = sorted(path for package in VERSIONS for path in source.glob(f"{package}_*.deb"))
        for path in paths if source.is_dir() else [source]:
            package = _control(path)["Package"]
            if package not in VERSIONS:
                raise UserError(f"expected {WANTED}, found the package {package} at {path}; leave it out of --source")
            if package in debs:
                raise UserError(
                    f"expected one {package}, found {debs[package]} and {path}; name one of them in --source"
                )
            debs[package] = path
    missing = [package for package in VERSIONS if package not in debs]
    if missing:
        said, found = ", ".join(map(str, sources)), f"no {' and no '.join(missing)}"
        raise UserError(f"expected {WANTED} in {said}, found {found}; {_how_to_get(sources[0])}")
    return debs


def _files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files that scenes are made of, in the order of the archive, so that it is decompressed once."""
    wanted = {name for names in needed_files().values() for name in names}
    with _opened(path) as deb:
        archive = deb.data.tgz()
        for member in archive:
            name = PurePosixPath("/", member.name).relative_to("/")
            if str(name) in wanted or (str(name.parent) == PHOTOS and name.suffix == ".jpg"):
                yield name, archive.extractfile(member).read()


def _control(path: Path) -> Mapping[str, str]:
    """The package's own account of itself; "Package" and "Version" are in it."""
    with _opened(path) as deb:
        control = deb.control.debcontrol()
        return {name: control[name] for name in ("Package", "Version")}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A `debian.debfile.DebFile`; whatever turns out to be wrong with it is said in one sentence."""
    unpack = f"unpack it with: dpkg-deb -x {shlex.quote(str(path))} FOLDER, then --source FOLDER"
    try:
        from debian.debfile import ArError, DebFile  # not every installation has it
    except ImportError as error:
        raise UserError(
            f"expected the Python package python-debian to read {path}, found none; pip install python-debian, or "
            f"{unpack}"
        ) from error
    try:
        with DebFile(path) as deb:
            yield deb
    except (ArError, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, KeyError, ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"expected {WANTED}, found a file that cannot be read at {path} ({reason}); get it again, or {unpack}"
        ) from error


def _how_to_get(source: Path) -> str:
    folder = shlex.quote(str(source.parent if source.suffix == ".deb" else source))
    return (
        f"get them with: mkdir -p {folder} && (cd {folder} && apt-get download {' '.join(VERSIONS)}), then --source "
        f"{folder} (without apt: datasets/cards/stamps.md)"
    )
