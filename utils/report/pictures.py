"""Pictures of a run's folder as data: URIs, so that a report is one file."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image

__all__ = ["data_uri"]

LONGEST_SIDE = 224  # pixels
QUALITY = 70


def data_uri(folder: Path, path: str) -> str | None:
    """A picture, small, as a data: URI.

    Args:
        folder: of the run; nothing outside of it is read.
        path: relative to it.

    Returns:
        "data:image/jpeg;base64,..."; None where there is no such picture.
    """
    inside = (folder / path).resolve()
    if not inside.is_relative_to(folder.resolve()) or not inside.is_file():
        return None
    try:
        with Image.open(inside) as opened:
            picture = opened.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    data = BytesIO()
    picture.save(data, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
