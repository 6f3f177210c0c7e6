"""Words under a frame: what is heard at that moment and what is shown for it, large enough to be read."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SHORTEST, LONGEST = 360, 1280  # pixels: the shorter side of a picture that is written at least, the longer at most
FONT_SHARE, LEAST_FONT = 0.045, 16  # of the shorter side; pixels
PROMPT = re.compile(r"\b(?:a|the) (?:photo|picture|image) of (?:an? |the )?", re.IGNORECASE)


class Said(Protocol):
    """A moment, see `utils.demo.looks.Moment`."""

    heard: str
    looked_for: str
    sure: float
    share: float
    why: str


def words_of(moment: Said) -> tuple[str, str]:
    """Two lines for a person: what is heard, and what is shown or why nothing is."""
    thing = _thing(moment)
    heard = f"Heard: {moment.heard or 'something'}"
    if not thing and not moment.share:
        return heard, f"Shown: nothing, {moment.why}" if moment.why else "Shown: nothing"
    if not moment.share:
        return heard, f"Looked for: {thing}, not found"
    return heard, f"Shown: {thing_of(moment)}, {moment.sure:.0%} sure, {moment.share:.0%} of the picture"


def thing_of(moment: Said) -> str:
    """What is shown, in a few words: "dog"; "nothing" without a mask."""
    return (_thing(moment) or "what sounds") if moment.share else "nothing"


def _thing(moment: Said) -> str:
    return PROMPT.sub("", moment.looked_for).replace("; ", ", ")


def canvas_size(size: tuple[int, int]) -> tuple[int, int]:
    """(H, W) that a picture is drawn at: large enough for words, not too large for a small machine, even numbers."""
    scale = min(max(1.0, SHORTEST / min(size)), LONGEST / max(size))
    height, width = (max(2, 2 * round(side * scale / 2)) for side in size)
    return height, width


def subtitled(image: np.ndarray, lines: tuple[str, str]) -> np.ndarray:
    """An image with two lines of words below it, each cut to its width: (H + band, W, 3) uint8; the band is even."""
    height, width = image.shape[:2]
    points = max(LEAST_FONT, round(FONT_SHARE * min(height, width)))
    band = _band(lines, width, points)
    return np.concatenate([image, band])


@lru_cache(maxsize=8)
def _band(lines: tuple[str, str], width: int, points: int) -> np.ndarray:
    line_height = round(1.4 * points)
    band = Image.new("RGB", (width, 2 * line_height + 2 * (points // 4)), "black")
    draw, font = ImageDraw.Draw(band), ImageFont.load_default(points)
    for number, line in enumerate(lines):
        draw.text((points // 2, points // 4 + number * line_height), fitted(line, font, width - points), "white", font)
    return np.asarray(band)


def fitted(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """A line, cut at a word with "..." where it is wider than `width` pixels."""
    words, cut = line.split(" "), line
    while len(words) > 1 and font.getlength(cut) > width:
        words.pop()
        cut = " ".join(words).rstrip(",:;") + " ..."
    return cut
