"""A report as one HTML file: no script, no network, pictures inside; everything a user supplied is escaped by jinja."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from utils.report.blocks import Document
from utils.report.charts import Curves, Line
from utils.report.pictures import data_uri

__all__ = ["to_html"]

TEMPLATES = Path(__file__).with_name("templates")
COLOURS = 6  # in style.css
DASHES = ("", "7 4", "2 4", "10 3 2 3")
BASELINE_DASHES = ("1 3", "6 3 1 3", "1 7", "12 6")


def to_html(document: Document, folder: Path) -> str:
    """Writes a report as HTML.

    Args:
        document: the report.
        folder: of the run, with the pictures.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        kind=lambda block: type(block).__name__,
        data_uri=lambda path: data_uri(folder, path),
        number=lambda value: f"{100 * value:.0f}",
        path=_path,
        dashes=_dashes,
        colour=lambda line: "baseline" if line.baseline else f"line-{line.number % COLOURS}",
    )
    return environment.get_template("page.html").render(document=document, style=_style()) + "\n"


def _style() -> str:
    return (TEMPLATES / "style.css").read_text(encoding="utf-8")


def _path(line: Line, chart: Curves) -> str:
    """A line in the coordinates of a 100 x 100 drawing, the origin at its upper left."""
    return " ".join(f"{chart.horizontal[1].at(x):g},{100 - chart.vertical[1].at(y):g}" for x, y in line.points)


def _dashes(line: Line) -> str:
    dashes = BASELINE_DASHES if line.baseline else DASHES
    return dashes[line.number % len(dashes)]
