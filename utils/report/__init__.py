"""The report of an evaluation: one HTML file to look at and one Markdown file to paste, made from results.json.

python -m utils.report FOLDER
"""

from __future__ import annotations

from pathlib import Path

from utils.files import make_folder, write_text_atomic
from utils.report.document import compose
from utils.report.html import to_html
from utils.report.markdown import to_markdown
from utils.runs.results import read_results

__all__ = ["write_report"]


def write_report(folder: Path) -> None:
    """Writes report.html and report.md beside results.json.

    Args:
        folder: what eval.py wrote: results.json, and gallery/ with the pictures, of which any may be missing.

    Raises:
        UserError: there is no results.json, it is not one of eval.py, or the folder cannot be written to.
    """
    results = read_results(folder / "results.json")
    make_folder(folder)
    document = compose(results)
    write_text_atomic(folder / "report.html", to_html(document, folder))
    write_text_atomic(folder / "report.md", to_markdown(document))
