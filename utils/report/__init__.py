"""The report of an evaluation: one HTML file to look at and one Markdown file to paste, made from results.json.

python -m utils.report FOLDER

Python computes rows, charts and the sentences that depend on numbers. sections.jinja puts them in order with the words
that are the same for every run, in macros that page.html and page.md write each in their own way, all of it escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from utils.files import make_folder, write_text_atomic
from utils.report import sections_abstaining, sections_extent, sections_run, sections_samples, sections_scores
from utils.report.elements import PERCENT, ReportedRun, cell, counted, header, percent
from utils.report.embedding import Embedded, count_pictures
from utils.report.sample_table import sample_table
from utils.runs.results import read_results
from utils.scoring.bootstrap import LEAST_GROUPS

TEMPLATES = Path(__file__).with_name("templates")
SPECIAL = re.compile(r"([\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_]))")  # in Markdown; no _ inside of a word


def write_report(folder: Path, results: Mapping[str, Any] | None = None) -> None:
    """Writes report.html and report.md beside results.json.

    Args:
        folder: what eval.py wrote: results.json, per_sample.csv, and gallery/ with pictures and sounds, of which any
            may be missing.
        results: what results.json holds, see `utils.runs.results.EvalResults`; read from the folder if None.

    Raises:
        UserError: there is no results.json, it is not one of eval.py, or the folder cannot be written to.
    """
    results = read_results(folder / "results.json") if results is None else results
    make_folder(folder)
    run = ReportedRun(results)
    shown = {
        "run": run,
        "results": results,
        "title": sections_run.title(run),
        "facts": sections_run.facts(run),
        "resolution": sections_run.resolution(run),
        "answers": sections_scores.answers(run),
        "scores": sections_scores.scores(run),
        "sound": sections_scores.audio_controls(run),
        "extent": sections_extent.extent(run),
        "abstaining": sections_abstaining.abstaining(run),
        "protocols": sections_scores.protocols(run),
        "scenarios": sections_samples.scenarios(run),
        "categories": sections_samples.categories(run),
        "histograms": sections_samples.histograms(run),
        "thresholds": sections_samples.thresholds(run),
        "reliability": sections_samples.reliability(run),
        "best_and_worst": sections_samples.best_and_worst(run),
        "gallery": sections_samples.gallery(run),
        "sample_table": sample_table(folder, run),
        "provenance": sections_run.provenance(run),
    }
    html, markdown = _environment(), _environment(finalize=_markdown)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    sha256 = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()  # no other script is let run
    embedded = Embedded(folder, count_pictures(results["gallery"]))
    html.globals.update(embedded=embedded, script=Markup(script), script_sha256=sha256)
    markdown.filters.update(code=_code, code_block=_code_block)
    page, text = html.get_template("page.html").render(shown), markdown.get_template("page.md").render(shown)
    write_text_atomic(folder / "report.html", page.strip() + "\n")
    write_text_atomic(folder / "report.md", re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n")


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.globals.update(percent_scale=PERCENT, least_groups=LEAST_GROUPS, zip=zip)
    environment.filters.update(cell=cell, header=header, percent=percent, counted=counted)
    return environment


def _markdown(value: Any) -> Markup:
    """Whatever page.md prints, on one line and none of it markup; what a macro of it wrote stays as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(SPECIAL.sub(r"\\\1", escape(re.sub(r"\s+", " ", str(value)), quote=False)))


def _code(text: str) -> Markup:
    """A code span; where its marks or a table's would break it, plain text."""
    text = " ".join(text.split())
    return _markdown(text) if "`" in text or "|" in text or not text else Markup(f"`{text}`")


def _code_block(text: str) -> Markup:
    """A command to paste, in a fence that nothing in it closes."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{fence}\n{text}\n{fence}")
