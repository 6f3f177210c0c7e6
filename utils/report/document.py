"""The whole report in the order it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from utils.report.audio_controls import hearing_answer, hearing_section
from utils.report.blocks import Code, Document, Words
from utils.report.breakdown import kinds_section
from utils.report.examples import gallery_section, samples_section
from utils.report.numbers import counted
from utils.report.origin import origin_section
from utils.report.protocols import protocol_section
from utils.report.ranking import resolution, standing, standing_answers
from utils.report.spread import spread_section
from utils.report.verdicts import methods_that_listen

__all__ = ["compose"]


def compose(results: Mapping[str, Any]) -> Document:
    """Puts what results.json holds into sections.

    Args:
        results: see `utils.runs.results.EvalResults`.
    """
    own = methods_that_listen(results) or list(results["methods"])
    shown = ", ".join(own[:4]) + (f" and {len(own) - 4} more" if len(own) > 4 else "")
    return Document(
        f"{shown} on {PurePath(str(results['data']['path'])).name or results['data']['path']}",
        _facts(results),
        [*standing_answers(results), hearing_answer(results)],
        [
            standing(results),
            hearing_section(results),
            protocol_section(results),
            kinds_section(results),
            spread_section(results),
            samples_section(results),
            gallery_section(results),
            origin_section(results),
        ],
    )


def _facts(results: Mapping[str, Any]) -> list[tuple[str, Words]]:
    data, intervals = results["data"], results["intervals"]
    groups = "" if intervals["unit"] == "sample" else f" in {counted(intervals['units'], intervals['unit'])}"
    code = results["commit"][:10] if results["commit"] else "not known"
    changed = " with uncommitted changes" if results["uncommitted_changes"] else ""
    return [
        ("Samples", f"{counted(data['samples'], 'sample')}{groups}, {data['gt_empty']:,} with nothing to find"),
        ("Measured", f"threshold {results['measurement']['threshold']:g}, at {resolution(results)}"),
        ("Config", f"{results['config'].get('name')}, on {results['device']}"),
        ("Date", results["date"].replace("T", " ").replace("+00:00", " UTC")),
        ("Code", (Code(code), changed)),
    ]
