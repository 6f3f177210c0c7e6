"""Where the stamps world's photographs and recordings come from: an unpacked tree, or the two .deb files themselves."""

from __future__ import annotations

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
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from datasets.stamp_world.catalog import PHOTOS, VERSIONS, check_root, needed_files
from utils.errors import UserError

if TYPE_CHECKING:
    from debian.debfile import DebFile

__all__ = ["Packages", "open_packages"]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Packages:
    """Both packages, unpacked.

    Attributes:
        root: of the tree, below which `usr/share/tuxpaint` lies.
        versions: package -> its Debian version, "unknown" where the tree does not say.
    """

    root: Path
    versions: Mapping[str, str]


@contextmanager
def open_packages(sources: Sequence[Path]) -> Iterator[Packages]:
    """Makes both packages readable; what has to be unpacked is removed when the block ends.

    Args:
        sources: one unpacked tree; or .deb files, folders that hold them, or both.

    Raises:
        UserError: a package is missing, is there twice, is broken or is another one.
    """
    if len(sources) == 1 and (sources[0] / "usr").is_dir():
        root = check_root(sources[0])
        yield Packages(root, {package: _version_of_tree(root, package) for package in sorted(VERSIONS)})
        return
    debs = _find_debs(sources)
    with tempfile.TemporaryDirectory(prefix="stamps-") as folder:
        root = Path(folder)
        for path in debs.values():
            _unpack(path, root)
        yield Packages(check_root(root), {package: _control(debs[package])["Version"] for package in sorted(VERSIONS)})


def _version_of_tree(root: Path, package: str) -> str:
    """The first line of Debian's changelog: "tuxpaint (1:0.9.28-sdl2-1) unstable; urgency=medium"."""
    path = root / "usr/share/doc" / package / "changelog.Debian.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as changelog:
            found = re.match(r"\S+ \((\S+)\)", changelog.readline())
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        return UNKNOWN
    return found[1] if found else UNKNOWN


def _find_debs(sources: Sequence[Path]) -> dict[str, Path]:
    """Package -> its .deb file, for both packages."""
    debs: dict[str, Path] = {}
    for source in sources:
        if source.is_dir():
            paths = sorted(path for package in VERSIONS for path in source.glob(f"{package}_*.deb"))
        elif source.is_file():
            paths = [source]
        else:
            raise UserError(f"expected {_wanted()} at {source}, found nothing there; {_how_to_get(source)}")
        for path in paths:
            package = _control(path)["Package"]
            if package not in VERSIONS:
                raise UserError(
                    f"expected {_wanted()}, found the package {package} at {path}; leave it out of --source"
                )
            if package in debs:
                raise UserError(
                    f"expected one {package}, found {debs[package]} and {path}; name one of them in --source"
                )
            debs[package] = path
    missing = [package for package in VERSIONS if package not in debs]
    if missing:
        said = ", ".join(map(str, sources))
        raise UserError(
            f"expected {_wanted()} in {said}, found no {' and no '.join(missing)}; {_how_to_get(sources[0])}"
        )
    return debs


def _unpack(path: Path, root: Path) -> None:
    print(f"unpacking {path}", file=sys.stderr, flush=True)  # 160 MB take a while
    for name, content in _files(path):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def _files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files that scenes are made of, in the order of the archive, so that it is decompressed once."""
    wanted = {name for names in needed_files().values() for name in names}
    with _reading(path) as deb:
        archive = deb.data.tgz()
        for member in archive:
            name = PurePosixPath("/", member.name).relative_to("/")
            if str(name) in wanted or (str(name.parent) == PHOTOS and name.suffix == ".jpg"):
                yield name, archive.extractfile(member).read()


def _control(path: Path) -> Mapping[str, str]:
    """The package's own account of itself; "Package" and "Version" are in it."""
    with _reading(path) as deb:
        control = deb.control.debcontrol()
        return {name: control[name] for name in ("Package", "Version")}


@contextmanager
def _reading(path: Path) -> Iterator[DebFile]:
    """The opened file; whatever turns out to be wrong with it is said in one sentence."""
    try:
        from debian.debfile import ArError, DebFile
    except ImportError as error:
        raise UserError(
            f"expected the Python package python-debian to read {path}, found none; pip install python-debian, or "
            f"{_how_to_unpack(path)}"
        ) from error
    try:
        with DebFile(path) as deb:
            yield deb
    except (ArError, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, KeyError, ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"expected {_wanted()}, found a file that cannot be read at {path} ({reason}); get it again, or "
            f"{_how_to_unpack(path)}"
        ) from error


def _wanted() -> str:
    return f"the Debian packages {' and '.join(VERSIONS)}, unpacked or as .deb files"


def _how_to_unpack(path: Path) -> str:
    return f"unpack it with: dpkg-deb -x {shlex.quote(str(path))} FOLDER, then --source FOLDER"


def _how_to_get(source: Path) -> str:
    folder = shlex.quote(str(source.parent if source.suffix == ".deb" else source))
    return (
        f"get them with: mkdir -p {folder} && (cd {folder} && apt-get download {' '.join(VERSIONS)}), then --source "
        f"{folder} (without apt: datasets/cards/stamps.md)"
    )
