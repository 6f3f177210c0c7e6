"""Whether the sound matters: what other sounds, noise and silence do to each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from utils.report.blocks import Answer, Bullets, Cell, Header, Paragraph, Section, Strong, Table, Words, plain
from utils.report.charts import DotChart, Panels
from utils.report.numbers import NOTHING, cell, interval, percent, points, row
from utils.report.verdicts import Hearing, best_method, hearing, methods_that_listen, ranked

__all__ = ["hearing_answer", "hearing_section"]

HEARD = {
    "original": "its own sound",
    "silence": "silence",
    "noise": "white noise of the same loudness",
    "swap": "the sound of another thing",
    "offscreen": "the sound of something not in view",
}
QUESTION = "Does the sound matter?"
ASK = "run eval.py again with --audio_control silence noise swap offscreen"


def hearing_answer(results: Mapping[str, Any]) -> Answer:
    """Whether the methods listen, and what each control does to the best one."""
    own = methods_that_listen(results)
    found = {name: one for name in own if (one := hearing(name, results))}
    if not own:
        return Answer(QUESTION, "Not to any of these: they are baselines", "A baseline is not given the sound.", "no")
    if not found:
        return Answer(QUESTION, "Not tested: no other thing's sound was played", f"To find out, {ASK}.", "unsure")
    deaf = [name for name, one in found.items() if not one.listens]
    best = best_method(results)
    shown = best if best in found else next(iter(found))
    one = found[shown]
    said = (
        f"With {HEARD[one.control]} {shown} falls from {percent(one.before)} to {percent(one.after)}; finding nothing "
        f"at all would get {percent(_floor(results))}.{_emptied(shown, results)}"
    )
    if not one.listens:
        said = f"{plain(_said(one))} Finding nothing at all would get {percent(_floor(results))}."
    if not deaf:
        answer = f"Yes, {shown} listens" if len(found) == 1 else f"Yes, all {len(found)} methods listen"
        return Answer(QUESTION, (Strong(answer), f": {points(one.change['value'])} points for {shown}"), said, "yes")
    answer = (Strong(f"Not certainly for {', '.join(deaf)}"),)
    known = one.change["low"] is not None
    return Answer(QUESTION, answer, said, "no" if shown in deaf and known else "unsure")


def hearing_section(results: Mapping[str, Any]) -> Section:
    """IoU, found area and empty answers of each method under each audio control, as a chart and as a table."""
    controls, own = results["controls"], [name for name in ranked(results) if name in methods_that_listen(results)]
    if len(controls) < 2 or not own:
        said = f"No audio control was run, so nothing here says whether a method listens; {ASK}."
        return Section("sound", QUESTION, [Paragraph(said)])
    floor = _floor(results)
    blocks: list[object] = [
        Paragraph(
            "The same images and the same ground truth, heard with another sound. A method that listens has to lose "
            "the thing it no longer hears: its IoU falls to what finding nothing gets, here "
            f"{percent(floor)} (the samples with nothing to find, rightly left empty), and it finds little. One that "
            "only looks stays where it was."
        ),
    ]
    said = [_said(found) for name in own if (found := hearing(name, results))]
    blocks += [Bullets(said)] if said else [Paragraph(f"No other thing's sound was played; {ASK} to see who listens.")]
    blocks.append(
        Panels(
            f"Mean IoU. Filled dot: its own sound; hollow dots: other sounds. Dashed line: {percent(floor)}, what "
            "finding nothing gets.",
            [
                DotChart(
                    f"{name}: IoU by what it hears",
                    [
                        row(control, of_control[name]["IoU"], "method" if control == "original" else "few")
                        for control, of_control in controls.items()
                        if name in of_control
                    ],
                    mark=(floor, ""),
                )
                for name in own
            ],
        )
    )
    blocks.append(_table(own, results))
    blocks.append(Paragraph(_explained(controls), "note"))
    return Section("sound", QUESTION, blocks)


def _table(own: list[str], results: Mapping[str, Any]) -> Table:
    rows, starts = [], set()
    for control, of_control in results["controls"].items():
        starts.add(len(rows))
        for name in own:
            if name not in of_control:
                continue
            numbers = of_control[name]
            rows.append(
                [
                    Cell((Strong(control), f" {name}")),
                    _barred(numbers["IoU"]),
                    Cell(NOTHING) if control == "original" else _change(numbers["change"]),
                    _barred(numbers["area"]),
                    _barred(numbers["empty"]),
                ]
            )
        rows.append([Cell((Strong(control), " ideal")), *(Cell(one) for one in _ideal(control, results))])
    return Table(
        "By what is heard: IoU, its change from the own sound, the share of the image that is found, and the share of "
        "empty answers; percent, with intervals. The last row of each block is the ideal; under swap that is the thing "
        "now heard where it is in view, so how much is found depends on the image.",
        [Header("heard"), Header("IoU"), Header("change"), Header("area found"), Header("empty answers")],
        rows,
        starts=frozenset(starts),
    )


def _change(change: Mapping[str, Any]) -> Cell:
    """The difference from the own sound, and whether that is certain."""
    said = [interval(change), "certain" if change["certain"] else "not certain"]
    return Cell(points(change["value"]), ", ".join(filter(None, said)))


def _ideal(control: str, results: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Cells for IoU, change, area and empty answers of a method that hears and sees perfectly."""
    floor = percent(_floor(results))
    if control == "original":
        return ("100.0", NOTHING, NOTHING, floor)
    if control == "swap":
        return (f"about {floor}", "falls", NOTHING, NOTHING)
    return (floor, "falls", "0.0", "100.0")


def _explained(controls: Iterable[str]) -> str:
    """What the names of the controls stand for."""
    further = {"swap": ", of the same image where it has another one that sounds"}
    return "; ".join(f"{one}: {HEARD.get(one, one)}{further.get(one, '')}" for one in controls) + "."


def _said(found: Hearing) -> Words:
    """What the telling control does to a method."""
    between = interval(found.change)
    change = f"change {points(found.change['value'])}" + (f", interval {between}" if between else "")
    numbers = f"from {percent(found.before)} to {percent(found.after)} ({change})"
    return (
        Strong(f"{found.method} {'listens' if found.listens else 'does not certainly listen'}"),
        f": with {HEARD[found.control]} its IoU goes {numbers}.",
    )


def _floor(results: Mapping[str, Any]) -> float:
    """The headline of finding nothing: the share of samples with nothing to find."""
    return results["data"]["gt_empty"] / max(results["data"]["samples"], 1)


def _emptied(name: str, results: Mapping[str, Any]) -> str:
    shares = [
        f"{control} {percent(of_control[name]['empty']['value'])} %"
        for control, of_control in results["controls"].items()
        if control in ("silence", "noise", "offscreen") and name in of_control
    ]
    return f" Empty answers, ideally 100 %: {', '.join(shares)}." if shares else ""


def _barred(number: Mapping[str, Any]) -> Cell:
    found = cell(number)
    return Cell(found.words, found.note, number["value"])
