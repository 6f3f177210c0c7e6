"""A miniature of the two Debian packages: every stamp a coloured disc, every recording half a second of one tone.

Unpacked by `build`, as .deb files by `build_debs`.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw

from datasets.stamp_world.catalog import KINDS, TEST_PHOTOS, VERSIONS, stamp_path

FOLDERS = {"tuxpaint-data": "templates", "tuxpaint-stamps-default": "stamps"}  # below usr/share/tuxpaint


def tone(number: int) -> float:
    """Hz of the recording of `KINDS[number]`."""
    return 200.0 + 40 * number


def build(root: Path) -> Path:
    """Writes the miniature below `root` and returns `root`."""
    templates = root / "usr/share/tuxpaint/templates"
    templates.mkdir(parents=True)
    for number, name in enumerate([*TEST_PHOTOS, "corn_maze", "mudstone", "sheep"]):
        Image.new("RGB", (64, 48), (20 * number, 90, 200)).save(templates / f"{name}.jpg")
    for number, kind in enumerate(KINDS):
        colour = (number * 37 % 256, number * 91 % 256, number * 53 % 256, 255)
        for stamp in (*kind.photos, *kind.unseen_photos):
            path = stamp_path(root, stamp, "png")
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.new("RGBA", (40, 30))
            ImageDraw.Draw(image).ellipse((2, 2, 37, 27), fill=colour)
            image.save(path)
        for stamp in kind.sounds:
            time = np.arange(8000) / 16000
            soundfile.write(stamp_path(root, stamp, "ogg"), 0.3 * np.sin(2 * np.pi * tone(number) * time), 16000)
    for package, version in VERSIONS.items():
        path = root / "usr/share/doc" / package / "changelog.Debian.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(f"{package} ({version}) unstable; urgency=medium\n\n  * Small.\n".encode()))
    return root


def build_debs(root: Path, folder: Path) -> Path:
    """Packs the tree at `root` into the two .deb files in `folder` and returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for package, version in VERSIONS.items():
        files = sorted((root / "usr/share/tuxpaint" / FOLDERS[package]).rglob("*.*"))
        data = {f"./{path.relative_to(root).as_posix()}": path.read_bytes() for path in files}
        data["./usr/share/tuxpaint/stamps/not/wanted.png"] = b"another stamp"
        write_deb(folder / f"{package}_{version.split(':')[-1]}_all.deb", package, version, data)
    return folder


def write_deb(path: Path, package: str, version: str, data: dict[str, bytes]) -> None:
    """Writes a .deb: an ar archive of a version, a tar archive about the package and one of its files."""
    control = f"Package: {package}\nVersion: {version}\nArchitecture: all\nDescription: small\n".encode()
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tar({"./control": control}, "w:gz"),
        "data.tar.xz": _tar(data, "w:xz"),
    }
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in members.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))


def _tar(files: dict[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
