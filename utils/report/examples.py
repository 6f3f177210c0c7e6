"""Single samples: each method's best and worst, and a gallery with pictures and the way to each answer in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from utils.report.blocks import Cell, Code, Fold, Header, Link, Paragraph, Picture, Sample, Section, Table, Words
from utils.report.numbers import NOTHING, counted, percent
from utils.report.verdicts import methods_that_listen, ranked

__all__ = ["gallery_section", "samples_section"]

RIGHT = 0.5  # IoU from which an answer is called right, as in the reliability
BAR = re.compile(r"\s+=+$")  # a trail's bars are for terminals


def samples_section(results: Mapping[str, Any]) -> Section:
    """The ids of the best and the worst samples of each method."""
    places = {one["id"]: f"sample-{i}" for i, one in enumerate(results["gallery"])}
    own = methods_that_listen(results)
    order = [name for name in ranked(results) if name in own and any(results["samples"][name].values())]
    if not order:
        return Section("samples", "Best and worst samples", [Paragraph("No sample has anything to find.")])
    tables = [_named(name, results["samples"][name], places) for name in order]
    return Section(
        "samples",
        "Best and worst samples",
        [
            Paragraph(
                "By IoU in percent at the fixed threshold, among samples with something to find. Linked ids are "
                "in the gallery; all others are in per_sample.csv."
            ),
            tables[0],
            *(Fold(f"The same for {name}", [table]) for name, table in zip(order[1:], tables[1:], strict=True)),
        ],
    )


def gallery_section(results: Mapping[str, Any]) -> Section:
    """The samples that eval.py drew."""
    if not results["gallery"]:
        return Section("gallery", "Gallery", [Paragraph("This run drew no pictures.")])
    threshold = results["measurement"]["threshold"]
    blank = "some with nothing to find, " if any(one["blank"] for one in results["gallery"]) else ""
    return Section(
        "gallery",
        "Gallery",
        [
            Paragraph(
                f"{counted(len(results['gallery']), 'sample')}: the worst and the best of each method, "
                f"{blank}some chosen by lot. So they show what happens, not how often. Magenta is the score "
                f"map, the white line its mask at the threshold {threshold:g}. An answer is called right where its IoU "
                "is at least 50 or, where there is nothing to find, where it is empty."
            ),
            *(_sample(i, one, results) for i, one in enumerate(results["gallery"])),
        ],
    )


def _named(method: str, named: Mapping[str, Any], places: Mapping[str, str]) -> Table:
    rows = []
    for i in range(max(len(named["best"]), len(named["worst"]))):
        cells = [Cell(str(i + 1))]
        for kind in ("best", "worst"):
            one = named[kind][i] if i < len(named[kind]) else None
            cells += [Cell(""), Cell("")] if one is None else [Cell(_id(one["id"], places)), Cell(percent(one["iou"]))]
        rows.append(cells)
    headers = [Header("rank"), Header("best"), Header("IoU"), Header("worst"), Header("IoU")]
    return Table(f"Best and worst samples of {method}.", headers, rows)


def _id(name: str, places: Mapping[str, str]) -> Words:
    return (Link(name, places[name]),) if name in places else (Code(name),)


def _sample(number: int, one: Mapping[str, Any], results: Mapping[str, Any]) -> Sample:
    own = methods_that_listen(results)
    sounding = ", ".join(one["categories"])
    what = "nothing to find" if one["blank"] else (f"sounds: {sounding}" if sounding else "something to find")
    truth = "Nothing to find" if one["blank"] else "Ground truth"
    facts = [what, f"scenario: {one['scenario']}" if one["scenario"] else ""]
    facts.append(f"group: {one['group']}" if one["group"] != one["id"] else "")
    answers = {name: _answer(name, one) for name in ranked(results) if name in one["methods"]}
    return Sample(
        f"sample-{number}",
        one["id"],
        "; ".join(fact for fact in facts if fact),
        [
            Picture(one["image"], f"Image of {one['id']}", "Image"),
            Picture(one["truth"], f"Ground truth of {one['id']}: {sounding or what}", truth),
        ],
        [answer for name, answer in answers.items() if name in own],
        [answer for name, answer in answers.items() if name not in own],
    )


def _answer(name: str, sample: Mapping[str, Any]) -> Picture:
    one = sample["methods"][name]
    good = one["area"] == 0 if sample["blank"] else (one["iou"] or 0) >= RIGHT
    area = f"{percent(one['area'])} % of the image"
    if sample["blank"]:
        verdict = "right: finds nothing" if good else f"wrong: finds {area}"
    else:
        found = f"IoU {percent(one['iou'])}" + (", finds nothing" if one["area"] == 0 else "")
        verdict = f"{'right' if good else 'wrong'}: {found}"
    lines = _lines(one["trail"])
    said = [line for line in lines if line[0] in ("heard", "asked")]
    alt = f"Answer of {name} for {sample['id']}: {verdict}"
    return Picture(one["map"], alt, name, verdict, good, said, [line for line in lines if line not in said])


def _lines(trail: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """A trail's lines, those without a label joined to the one before."""
    lines: list[tuple[str, str]] = []
    for label, text in trail:
        text = " ".join(BAR.sub("", str(text)).split()) or NOTHING
        if label or not lines:
            lines.append((label or "heard", text))
        else:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]}, {text}")
    return lines
