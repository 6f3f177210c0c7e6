"""Pictures of a result: the mask over its image, with a caption, several pictures side by side, and their files.

Conventions:
    image: (H, W, 3) uint8 RGB; what is drawn over it keeps its size and aspect.
    mask: (H, W) bool.
    score_map: (H, W) float in [0, 1].
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from utils.files import atomic_path, file_name

TINT = (255.0, 0.0, 144.0)  # a magenta that photographs rarely hold
LINE, RIM = np.array([255, 255, 255], np.uint8), np.array([0, 0, 0], np.uint8)  # together they show on anything
TINT_SHARE = 0.45  # of a certain pixel
LEAST_SEEN = 0.05  # a score below which a near miss fades out
NEAR_MISS = 0.6  # of that, at the strongest pixel where no pixel is certain
LINE_SHARE = 0.005  # of the image's mean side
PANEL = 420  # pixels, the box a picture is fitted into
FONT_SIZE = 22
GAP = 12
CAPTION_SHARE, CAPTION_SIZES = 0.045, (12, 48)  # of the picture's width, and least and most pixels
CAPTION_LINES = 3  # of a caption that is longer, the end is left out
NARROWEST = 96  # pixels: below it, no word is to be read
MADE_OF = "made-of"  # the text of a PNG that tells of what it was made


def draw_overlay(image: np.ndarray, mask: np.ndarray, score_map: np.ndarray | None = None) -> Image.Image:
    """Draws a mask's contour and tint over its image.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        score_map: (H, W) float in [0, 1]; where given, the tint's strength follows it, inside and outside of the mask.
            Under an empty mask it is the near miss: faint, but seen, down to scores of LEAST_SEEN.

    Returns:
        RGB picture of the image's size.

    Raises:
        ValueError: the sizes differ.
    """
    mask = np.asarray(mask, bool)
    strength = mask.astype(np.float32) if score_map is None else np.asarray(score_map, np.float32).clip(0, 1)
    if not image.shape[:2] == mask.shape == strength.shape:
        raise ValueError(f"expected one size, found image {image.shape}, mask {mask.shape}, score map {strength.shape}")
    if not mask.any() and strength.any():
        strength = NEAR_MISS * strength / max(float(strength.max()), LEAST_SEEN)
    share = TINT_SHARE * strength
    canvas = np.empty_like(image)
    for channel, tint in enumerate(TINT):  # one at a time: a large photograph in floats takes its toll on memory
        canvas[..., channel] = np.rint(image[..., channel] * (1 - share) + tint * share)
    width = line_width(mask.shape)
    outer, inner = _grown(mask, width), ~_grown(~mask, width)
    canvas[outer & ~mask] = RIM
    canvas[mask & ~inner] = LINE
    return Image.fromarray(canvas)


def draw_layer(mask: np.ndarray) -> Image.Image:
    """A mask's contour and tint alone, on nothing: RGBA of the mask's size, to lay over its image."""
    layer, width = np.zeros((*mask.shape, 4), np.uint8), line_width(mask.shape)
    layer[mask] = (*map(int, TINT), round(255 * TINT_SHARE))
    layer[_grown(mask, width) & ~mask] = (*RIM, 255)
    layer[_grown(~mask, width) & mask] = (*LINE, 255)
    return Image.fromarray(layer)


def line_width(shape: tuple[int, int]) -> int:
    """Returns the contour's width in pixels for an image of shape (H, W)."""
    return max(1, round(LINE_SHARE * (shape[0] + shape[1]) / 2))


def grey(values: np.ndarray) -> Image.Image:
    """Turns a mask or score map into an 8-bit grey picture of its size: 0 to 255 for 0 to 1, False to True."""
    return Image.fromarray(shades(values))


def shades(values: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1] or bool -> (H, W) uint8."""
    values = np.asarray(values)
    found = np.empty(values.shape, np.uint8)
    for row, out in zip(values, found, strict=True):  # one at a time: in floats, a large map fills the memory
        out[:] = np.rint(row.astype(np.float32).clip(0, 1) * 255)
    return found


def side_by_side(pictures: Sequence[tuple[str, Image.Image]], columns: int | None = None) -> Image.Image:
    """Puts titled pictures into one (RGB), row by row, each fitted into a box of the same size in its own aspect.

    Args:
        pictures: (title, picture); a title may have several lines, those too long for the box are wrapped.
        columns: pictures a row; by default all in one row up to three, then as near to a square as it goes.

    Raises:
        ValueError: there are no pictures.
    """
    if not pictures:
        raise ValueError("expected at least one picture to put side by side, found none")
    columns = columns or (len(pictures) if len(pictures) <= 3 else int(np.ceil(np.sqrt(len(pictures)))))
    font = ImageFont.load_default(FONT_SIZE)
    titles = [_wrapped(title, font, PANEL) for title, _ in pictures]
    fitted = [_fitted(picture) for _, picture in pictures]
    line_height = FONT_SIZE + 6
    rows = [range(first, min(first + columns, len(pictures))) for first in range(0, len(pictures), columns)]
    title_heights = [line_height * max(len(titles[i]) for i in row) for row in rows]
    panel_heights = [max(fitted[i].height for i in row) for row in rows]
    height = GAP + sum(title_heights) + sum(panel_heights) + GAP * len(rows)
    canvas = Image.new("RGB", (GAP + columns * (PANEL + GAP), height), "white")
    draw = ImageDraw.Draw(canvas)
    top = GAP
    for row, title_height, panel_height in zip(rows, title_heights, panel_heights, strict=True):
        for column, i in enumerate(row):
            left = GAP + column * (PANEL + GAP)
            for number, line in enumerate(titles[i]):
                draw.text((left, top + number * line_height), line, fill="black", font=font)
            canvas.paste(fitted[i], (left + (PANEL - fitted[i].width) // 2, top + title_height))
        top += title_height + panel_height + GAP
    return canvas


def captioned(picture: Image.Image, caption: str) -> Image.Image:
    """Puts a caption below a picture (RGB), which is taller then; one of less than NARROWEST pixels stays as it is."""
    if picture.width < NARROWEST:
        return picture
    size = int(np.clip(CAPTION_SHARE * picture.width, *CAPTION_SIZES))
    font, gap, step = ImageFont.load_default(size), size // 2, round(1.3 * size)
    lines = _wrapped(caption, font, picture.width - 2 * gap)
    if len(lines) > CAPTION_LINES:
        lines = [*lines[: CAPTION_LINES - 1], f"{lines[CAPTION_LINES - 1]} ..."]
    canvas = Image.new("RGB", (picture.width, picture.height + step * len(lines) + gap), "white")
    canvas.paste(picture)
    for number, line in enumerate(lines):
        place = (gap, picture.height + gap // 2 + number * step)
        ImageDraw.Draw(canvas).text(place, line, fill="black", font=font)
    return canvas


def save_png(picture: Image.Image, path: str | os.PathLike, made_of: str = "") -> Path:
    """Writes a picture as PNG, whole or not at all: a reader never finds half a file.

    Args:
        made_of: tells `save_pictures` of what it was made; "" where nobody asks.
    """
    about = PngInfo()
    if made_of:
        about.add_text(MADE_OF, made_of)
    with atomic_path(Path(path)) as partial_path:
        picture.save(partial_path, format="PNG", pnginfo=about)
    return Path(path)


def save_pictures(
    pictures: Mapping[str, Image.Image], folder: Path, stem: str, of: str, made_of: str
) -> dict[str, Path]:
    """Writes pictures as PNG that replace none that was made of something else.

    Args:
        pictures: kind -> picture, written as STEM + of + "_KIND.png"; where a file of such a name was made of something
            else, or is none of ours, all are STEM-MADE_OF + of + "_KIND.png".
        made_of: digits that differ where what the pictures are made of does.

    Returns:
        Kind -> path.
    """
    paths = {kind: folder / file_name(stem, f"{of}_{kind}.png") for kind in pictures}
    if not all(_is_free(path, made_of) for path in paths.values()):
        paths = {kind: folder / file_name(stem, f"-{made_of}{of}_{kind}.png") for kind in pictures}
    return {kind: save_png(picture, paths[kind], made_of) for kind, picture in pictures.items()}


def _is_free(path: Path, made_of: str) -> bool:
    """Whether nothing of worth is lost by writing there; a link is replaced, not followed."""
    if path.is_symlink() or not path.exists():
        return True
    try:
        with Image.open(path) as picture:
            return picture.info.get(MADE_OF) == made_of
    except (OSError, ValueError, SyntaxError):  # no picture of ours
        return False


def _grown(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels within `width` of the mask along either axis, corners cut."""
    cut = max(width - width // 3, 1)
    return _stretched(_stretched(mask, width).T, cut).T | _stretched(_stretched(mask.T, width).T, cut)


def _stretched(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels at most `width` above or below the mask, by one running sum."""
    counts = np.cumsum(np.pad(mask, ((width + 1, width), (0, 0))), axis=0, dtype=np.int32)
    return counts[2 * width + 1 :] > counts[: -2 * width - 1]


def _fitted(picture: Image.Image) -> Image.Image:
    scale = PANEL / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _wrapped(title: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = []
    for paragraph in title.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
