"""The gallery as one figure for a paper, PDF and PNG: a row for each sample, the picture, the truth and the methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from utils.files import atomic_path
from utils.report.elements import ReportedRun, percent
from utils.report.sections_run import name_of_data

BOX, GAP, FONT_SIZE = 400, 12, 30  # pixels: the square a picture is fitted into, the room beside it, letters
LINE = FONT_SIZE + 10
WIDTH_INCHES = 7.0  # of a page's text in two columns
MOST_ROWS = 12


def write_figure(folder: Path, run: ReportedRun) -> list[str]:
    """Writes figure.pdf and figure.png from the pictures in the run's folder; the names of what was written.

    Columns are the methods that listen, or the baselines where none does. Samples with a missing picture are left out.
    """
    methods = run.listening or run.baselines
    rows = [row for one in run.results["gallery"] if (row := _row(folder, one, methods))]
    if not rows:
        return []
    figure = _drawn(rows[:MOST_ROWS], ["Image", "Ground truth", *methods])
    dpi = figure.width / WIDTH_INCHES
    with atomic_path(folder / "figure.png") as partial_path:
        figure.save(partial_path, "PNG", dpi=(dpi, dpi), optimize=True)
    dates = {"creationDate": None, "modDate": None}  # the same run gives the same file
    with atomic_path(folder / "figure.pdf") as partial_path:
        figure.save(partial_path, "PDF", resolution=dpi, quality=92, title=f"Gallery of {name_of_data(run)}", **dates)
    return ["figure.pdf", "figure.png"]


def _row(folder: Path, sample: Mapping[str, Any], methods: list[str]) -> tuple[str, list[tuple[str, Image.Image]]]:
    """What sounds, and (words below, picture) of each column; () where a picture is missing."""
    shown = [("", sample["image"]), ("nothing to find" if sample["blank"] else "", sample["truth"])]
    for name in methods:
        one = sample["methods"].get(name)
        if one is None:
            return ()
        said = f"{percent(one['area'])} % found" if sample["blank"] else f"IoU {percent(one['iou'])}"
        shown.append((said if one["area"] else f"{said}, empty", one["map"]))
    pictures = []
    for words, path in shown:
        inside = (folder / path).resolve()
        try:
            if not inside.is_relative_to(folder.resolve()):
                return ()
            with Image.open(inside) as opened:
                picture = opened.convert("RGB")
        except (OSError, Image.DecompressionBombError):
            return ()
        scale = BOX / max(picture.size)
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        pictures.append((words, picture.resize(size, Image.Resampling.LANCZOS)))
    return ", ".join(sample["categories"]) or sample["scenario"] or sample["id"], pictures


def _drawn(rows: list[tuple[str, list[tuple[str, Image.Image]]]], heads: list[str]) -> Image.Image:
    font = ImageFont.load_default(FONT_SIZE)
    small = ImageFont.load_default(0.8 * FONT_SIZE)
    heights = [max(picture.height for _, picture in pictures) for _, pictures in rows]
    left = LINE + GAP  # of the pictures: beside them stands what sounds
    width = left + len(heads) * (BOX + GAP)
    canvas = Image.new("RGB", (width, LINE + sum(heights) + len(rows) * (LINE + GAP)), "white")
    draw = ImageDraw.Draw(canvas)
    for column, head in enumerate(heads):
        middle = left + column * (BOX + GAP) + BOX / 2
        draw.text((middle, LINE / 2), _cut(head, font, BOX), fill="black", font=font, anchor="mm")
    top = LINE
    for (sounding, pictures), height in zip(rows, heights, strict=True):
        name = Image.new("RGB", (height, LINE), "white")
        words = _cut(sounding, font, height)
        ImageDraw.Draw(name).text((height / 2, LINE / 2), words, fill="black", font=font, anchor="mm")
        canvas.paste(name.transpose(Image.Transpose.ROTATE_90), (0, top))
        for column, (words, picture) in enumerate(pictures):
            start = left + column * (BOX + GAP)
            canvas.paste(picture, (start + (BOX - picture.width) // 2, top + (height - picture.height) // 2))
            below = (start + BOX / 2, top + height + LINE / 2)
            draw.text(below, _cut(words, small, BOX), fill="black", font=small, anchor="mm")
        top += height + LINE + GAP
    return canvas


def _cut(text: str, font: ImageFont.FreeTypeFont, room: int) -> str:
    """The text, its end left away where it would be longer than the room."""
    kept = text
    while kept and font.getlength(kept) > room:
        text, kept = text[:-1], f"{text[:-2].rstrip()}..."
        if len(text) < 2:
            return text
    return kept
