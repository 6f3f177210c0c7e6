"""Pictures and sounds of a run's folder inside of its page, as data: URIs, as far as there is room."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

LARGE, SMALL = 512, 224  # pixels of a picture's longest side
MANY = 120  # pictures, from which all are small
QUALITY = 75
ROOM = 13_000_000  # characters of all data: a browser, or an attachment, gets along with a page of 15 MB


class Embedded:
    """What a page takes along; what does not fit any more is left out, and said to be.

    Args:
        folder: of the run; nothing outside of it is read.
        pictures: how many there are.
    """

    def __init__(self, folder: Path, pictures: int) -> None:
        self._folder, self._room = folder.resolve(), ROOM
        self._side = LARGE if pictures <= MANY else SMALL
        self.uri = cache(self._uri)
        self.left_out: set[str] = set()

    def _uri(self, path: str) -> str | None:
        """A picture, or an MP3, as a data: URI; None where there is none, it lies outside, or there is no room."""
        inside = (self._folder / path).resolve()
        if not inside.is_relative_to(self._folder) or not inside.is_file():
            return None
        try:
            kind, data = ("audio/mpeg", inside.read_bytes()) if inside.suffix == ".mp3" else self._picture(inside)
        except (OSError, Image.DecompressionBombError):
            return None
        uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        if len(uri) > self._room:
            self.left_out.add(path)
            return None
        self._room -= len(uri)
        return uri

    def why(self, path: str) -> str:
        """Why there is no data: URI of a file."""
        return f"Left out, or this page would be too large: {path}" if path in self.left_out else f"Missing: {path}"

    def _picture(self, path: Path) -> tuple[str, bytes]:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((self._side, self._side), Image.Resampling.LANCZOS)
        data = BytesIO()
        picture.save(data, "JPEG", quality=QUALITY, optimize=True)
        return "image/jpeg", data.getvalue()


def count_pictures(gallery: list[Mapping[str, Any]]) -> int:
    """How many pictures a gallery of results.json has."""
    return sum(2 + len(one["methods"]) for one in gallery)
