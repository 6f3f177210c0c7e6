"""How a command should end: with an answer that is so and so, or with one sentence about what is wrong."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.attacks.case import OUT, Judge, Outcome

USER_ERROR_CODE, NOT_FIT_CODE = 2, 1


def refuses(*patterns: str) -> Judge:
    """Exit code 2 and one sentence that says "error: " and has something of every pattern, whatever the case."""

    def judge(outcome: Outcome) -> str:
        if outcome.code != USER_ERROR_CODE:
            return f"expected a refusal, found exit code {outcome.code}: {_last_words(outcome)}"
        if len(outcome.said) != 1 or not re.match(r"error: ", outcome.said[0]):
            return f"expected one line on stderr that begins with error:, found {outcome.said}"
        return _unsaid(outcome.said[0], patterns)

    return judge


def either(*judges: Judge) -> Judge:
    """One of several ends."""

    def judge(outcome: Outcome) -> str:
        wrong = [one(outcome) for one in judges]
        return "" if "" in wrong else " / ".join(wrong)

    return judge


def answers(
    size: tuple[int, int] | None = None, asked: str | None = None, reason: str | None = None, as_json: bool = True
) -> Judge:
    """The demo ends well, and its pictures have the size.

    Args:
        size: (width, height) of the image, in pixels, upright.
        asked: what is asked for; "" for nothing.
        reason: a pattern of why nothing is asked for.
        as_json: whether --json was given; otherwise only what is printed is looked at.
    """

    def judge(outcome: Outcome) -> str:
        if outcome.code != 0:
            return f"expected an answer, found exit code {outcome.code}: {_last_words(outcome)}"
        if not as_json:
            printed = re.search(r"^ *asked +(.*)", outcome.stdout, re.MULTILINE)
            masks = list((outcome.folder / OUT).glob("*_mask.png"))
            return _differences(asked, printed[1] if printed else "", size, masks)
        for answer in outcome.values["methods"].values():
            trail, mask = answer["trail"], outcome.folder / answer["files"]["mask"]
            if wrong := _differences(asked, trail.get("query") or "", size, [mask]):
                return wrong
            said = trail.get("reason") or ""
            if reason and not (re.search(reason, said, re.IGNORECASE) and answer["mask_share"] == 0):
                return f"expected nothing because of {reason!r}, found {said!r} and {answer['mask_share']:.1%}"
        return ""

    return judge


def finds(severity: str, kind: str, *names: str) -> Judge:
    """The checker finds a kind of thing in files or samples of these names, no error beside it, and judges by it.

    Args:
        severity: "error", "warning", "note".
        kind: of `datasets.check`.
        names: each a part of what is named.
    """

    def judge(outcome: Outcome) -> str:
        found = _report(outcome)
        if isinstance(found, str):
            return found
        here = [one for one in found if (one["severity"], one["kind"]) == (severity, kind)]
        if not here:
            return f"expected the {severity} {kind}, found {_kinds(found)}"
        named = " ".join([*here[0]["names"], here[0]["found"]])
        if lacking := [name for name in names if name not in named]:
            return f"expected {lacking} to be named by {kind}, found {named!r}"
        if others := [one["kind"] for one in found if one["severity"] == "error" and one["kind"] != kind]:
            return f"expected no other error, found {others}"
        return _verdict(outcome, NOT_FIT_CODE if severity == "error" else 0)

    return judge


def suspects(name: str, unless: Sequence[str] = ()) -> Judge:
    """The checker says an error or a warning of a file, of another kind than these."""

    def judge(outcome: Outcome) -> str:
        found = _report(outcome)
        if isinstance(found, str):
            return found
        said = [one for one in found if one["severity"] != "note" and one["kind"] not in unless]
        return "" if any(name in " ".join(one["names"]) for one in said) else f"expected {name}, found {_kinds(found)}"

    return judge


def unfit(*patterns: str) -> Judge:
    """The checker calls the folder not fit, in words that have something of every pattern."""

    def judge(outcome: Outcome) -> str:
        return _verdict(outcome, NOT_FIT_CODE) or _unsaid(outcome.stdout, patterns)

    return judge


def fit(without: Sequence[str] = ("error", "warning")) -> Judge:
    """The checker calls the folder fit and finds nothing of these severities or kinds."""

    def judge(outcome: Outcome) -> str:
        found = _report(outcome)
        if isinstance(found, str):
            return found
        wrong = [one["kind"] for one in found if one["severity"] in without or one["kind"] in without]
        return _verdict(outcome, 0) or (f"expected nothing of {without}, found {wrong}" if wrong else "")

    return judge


def scores(ids: Sequence[str] | None = None, *patterns: str, samples: int | None = None) -> Judge:
    """The evaluation ends well: per_sample.csv has these samples, the report is there, and the results say things.

    Args:
        ids: the samples; None for any.
        patterns: each is found in results.json.
        samples: how many there are.
    """

    def judge(outcome: Outcome) -> str:
        if outcome.code != 0:
            return f"expected scores, found exit code {outcome.code}: {_last_words(outcome)}"
        rows = rows_of(outcome.folder / OUT)
        found = list(dict.fromkeys(row["id"] for row in rows))
        if ids is not None and sorted(found) != sorted(ids):
            return f"expected the samples {list(ids)}, found {found}"
        if samples is not None and len(found) != samples:
            return f"expected {samples} samples, found {found}"
        if missing := [name for name in ("report.html", "report.md") if not (outcome.folder / OUT / name).is_file()]:
            return f"expected {missing} in {OUT}, found none"
        text = (outcome.folder / OUT / "results.json").read_text(encoding="utf-8")
        json.loads(text, parse_constant=_no_constant)
        return _unsaid(text, patterns)

    return judge


def ends_well(outcome: Outcome) -> str:
    """The exit code is 0."""
    return _verdict(outcome, 0)


def neat_rows(outcome: Outcome) -> str:
    """The evaluation ends well, and no cell of per_sample.csv is a formula to a spreadsheet."""
    if outcome.code != 0:
        return f"expected scores, found exit code {outcome.code}: {_last_words(outcome)}"
    cells = [cell for row in rows_of(outcome.folder / OUT) for cell in row.values()]
    formulas = sorted({cell for cell in cells if cell[:1] in ("=", "+", "@", "\t")})
    return f"expected no formula in per_sample.csv, found {formulas}" if formulas else ""


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The rows of per_sample.csv."""
    with (folder / "per_sample.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _no_constant(name: str) -> None:
    raise ValueError(f"results.json holds {name}")


def _report(outcome: Outcome) -> list[dict[str, Any]] | str:
    path = outcome.folder / OUT / "check.json"
    if not path.is_file():
        return f"expected a report, found exit code {outcome.code}: {_last_words(outcome)}"
    return json.loads(path.read_text(encoding="utf-8"))["findings"]


def _verdict(outcome: Outcome, code: int) -> str:
    return "" if outcome.code == code else f"expected exit code {code}, found {outcome.code}: {_last_words(outcome)}"


def _kinds(found: Sequence[dict[str, Any]]) -> list[str]:
    return [f"{one['severity']} {one['kind']}" for one in found if one["severity"] != "note"]


def _differences(asked: str | None, asked_for: str, size: tuple[int, int] | None, masks: Sequence[Path]) -> str:
    if asked is not None and (asked not in asked_for if asked else asked_for):
        return f"expected {asked!r} to be asked for, found {asked_for!r}"
    if len(masks) != 1:
        return f"expected a mask in {OUT}, found {len(masks)}"
    if size and (found := Image.open(masks[0]).size) != size:
        return f"expected a mask of {size} pixels, found {found}"
    return ""


def _unsaid(text: str, patterns: Sequence[str]) -> str:
    lacking = [pattern for pattern in patterns if not re.search(pattern, text, re.IGNORECASE)]
    return f"expected {lacking} to be said, found {text[-400:]!r}" if lacking else ""


def _last_words(outcome: Outcome) -> str:
    return " | ".join([*outcome.stdout.strip().splitlines()[-1:], *outcome.said[-1:]])[-300:]
