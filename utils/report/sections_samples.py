"""What lies behind the means: kinds of samples, how IoU and confidence are distributed, and single samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from utils.report.elements import NOTHING, Part, ReportedRun, Scale, Words, counted, dot, header, number_cell, percent
from utils.scoring.bootstrap import LEAST_GROUPS

RIGHT = 0.5  # IoU from which an answer is called right, as in the reliability
BAR = re.compile(r"\s+=+$")  # a trail's bars are for terminals


def scenarios(run: ReportedRun) -> Part:
    """The headline by scenario: those that listen and the strongest baseline as charts, all as a table."""
    shown = run.listening + run.baselines[:1]
    overtaken, charts = [], {}
    for name, one in run.results["scenarios"].items():
        numbers = {method: one["scores"][method]["IoU"] for method in shown}
        rows = [dot(method, number, *run.look(method, _look(one))) for method, number in numbers.items()]
        charts[f"{name}: {counted(one['samples'], 'sample')}{_few(one)}"] = rows
        values = {method: number["value"] for method, number in numbers.items() if number["value"] is not None}
        top = max(values, key=values.__getitem__, default=None)
        if run.methods and top is not None and top not in run.methods:
            best = percent(max((value for method, value in values.items() if method in run.methods), default=None))
            above = f"({percent(values[top])}) is above every method that listens, the best of which has {best}."
            overtaken.append(f"In {name} the baseline {top} {above}")
    headers, rows = _by_part("scenario", run.results["scenarios"], run.ranked, run)
    return {"overtaken": overtaken, "charts": charts, "headers": headers, "rows": rows}


def categories(run: ReportedRun) -> Part:
    """The headline by category of what sounds, best first by the best method."""
    best = run.best or run.ranked[0]
    shown = [best, *(name for name in run.listening if name != best)]
    found = run.results["categories"]
    by_best = run.best_first({name: one["scores"][best]["IoU"] for name, one in found.items()})
    parts = {name: found[name] for name in by_best}
    tags = {part: f"n = {one['samples']}{_few(one)}" for part, one in parts.items()}
    headers, rows = _by_part("category", parts, shown, run)
    return {
        "few": sum(bool(_few(one)) for one in parts.values()),
        "best": best,
        "charts": {
            name: [dot(part, one["scores"][name]["IoU"], _look(one), tags[part]) for part, one in parts.items()]
            for name in shown
        },
        "headers": headers,
        "rows": rows,
    }


def _by_part(kind: str, parts: Mapping[str, Any], methods: list[str], run: ReportedRun) -> tuple[list, list]:
    """Headers and rows of a table with a row for each part of the samples."""
    headers = [kind, "samples", *(run.label(name) for name in methods)]
    return headers, [
        [name, f"{one['samples']}{_few(one)}", *(number_cell(one["scores"][method]["IoU"]) for method in methods)]
        for name, one in parts.items()
    ]


def _few(part: Mapping[str, Any]) -> str:
    """What is said where a part of the samples has too few independent groups to be sure of its number."""
    return ", few" if part["groups"] < LEAST_GROUPS else ""


def _look(part: Mapping[str, Any]) -> str:
    return "few" if _few(part) else "method"


def histograms(run: ReportedRun) -> Part:
    """How many samples have which IoU, by method; "any" says whether there is one with something to find."""
    found = run.results["histograms"]
    section: Part = {"any": any(sum(one["counts"]) for one in found.values()), "own": [], "baselines": []}
    for name in run.ranked if section["any"] else ():
        counts, edges = found[name]["counts"], found[name]["edges"]
        bars = [(100 * count / max(*counts, 1), edge >= RIGHT) for count, edge in zip(counts, edges[:-1], strict=True)]
        right = sum(count for count, (_, is_right) in zip(counts, bars, strict=True) if is_right)
        said = (
            f"{right} of {sum(counts)} have an IoU of at least 50; {counts[0]} of {sum(counts)} are below "
            f"{percent(edges[1])}. The highest bar is {max(counts)}."
        )
        section["own" if name in run.methods else "baselines"].append({"name": name, "said": said, "bars": bars})
    return section


def thresholds(run: ReportedRun) -> Part:
    """The mean IoU at every fixed threshold: as lines, at its best, and as a table."""
    curves, used = run.results["curves"], run.results["measurement"]["threshold"]
    grid = curves[run.ranked[0]]["thresholds"]
    nearest = min(range(len(grid)), key=lambda i: abs(grid[i] - used))
    near = f"at {grid[nearest]:g}" + ("" if abs(grid[nearest] - used) < 1e-9 else f", the nearest to {used:g}")
    lines, best_rows = [], []
    for name in run.ranked:
        ious, listens = curves[name]["iou"], name in run.methods
        best = max(range(len(ious)), key=ious.__getitem__)
        best_rows.append([run.label(name), percent(ious[nearest]), percent(ious[best]), f"{grid[best]:g}"])
        number = sum(line["listens"] is listens for line in lines)  # chooses colour and dashes among its like
        points = list(zip(curves[name]["thresholds"], ious, strict=True))
        lines.append({"name": name, "points": points, "number": number, "listens": listens})
    return {
        "height": Scale.around([max(value for one in curves.values() for value in one["iou"])], 0.1),
        "lines": lines,
        "mark": (used, f"{used:g}, the threshold that was used"),
        "best_headers": ["method", near, header("best", ["oracle"]), "at threshold"],
        "best_rows": best_rows,
        "headers": ["threshold", *(run.label(name) for name in run.ranked)],
        "rows": [[f"{one:g}", *(percent(curves[name]["iou"][i]) for name in run.ranked)] for i, one in enumerate(grid)],
    }


def reliability(run: ReportedRun) -> Part:
    """How often answers are right by the confidence they were given with, and which methods have none to judge."""
    found = run.results["reliability"]
    charts, rows, starts, aurocs = {}, [], set(), []
    for name in (name for name in run.ranked if name in found):
        one, charts[name] = found[name], []
        starts.add(len(rows))
        for part in one["bins"]:
            between = f"{part['low']:.2f} to {part['high']:.2f}"
            share = {"value": part["right"], "low": None, "high": None}
            charts[name].append({**dot(between, share, "bar", f"n = {part['samples']}"), "note": ""})
            rows.append([name, between, str(part["samples"]), percent(part["right"])])
        asked = f"{one['asked']:,} of {counted(one['samples'], 'sample')}"
        aurocs.append([name, asked, percent(one["auroc_right"]), percent(one["auroc_in_view"])])
    silent = [name for name in run.listening if name not in found]
    return {"charts": charts, "rows": rows, "starts": starts, "aurocs": aurocs, "silent": silent}


def best_and_worst(run: ReportedRun) -> dict[str, list[list[Words]]]:
    """The ids of the best and the worst samples: method -> rows of a table."""
    places = {one["id"]: f"sample-{i}" for i, one in enumerate(run.results["gallery"])}

    def cells(one: Mapping[str, Any]) -> list[Words]:
        name = one["id"]
        return [[("link", name, places[name]) if name in places else ("code", name)], percent(one["iou"])]

    tables = {}
    for method in run.listening:
        named = run.results["samples"][method]
        pairs = zip(named["best"], named["worst"], strict=True)  # the same samples from either end
        tables[method] = [[str(i), *cells(best), *cells(worst)] for i, (best, worst) in enumerate(pairs, 1)]
    return {method: rows for method, rows in tables.items() if rows}


def gallery(run: ReportedRun) -> list[Part]:
    """The samples that eval.py drew, with pictures and the way to each answer in words."""
    return [_sample(i, one, run) for i, one in enumerate(run.results["gallery"])]


def _sample(number: int, one: Mapping[str, Any], run: ReportedRun) -> Part:
    sounding = ", ".join(one["categories"])
    what = "nothing to find" if one["blank"] else (f"sounds: {sounding}" if sounding else "something to find")
    facts = [what]
    facts += [f"scenario: {one['scenario']}"] if one["scenario"] else []
    facts += [f"group: {one['group']}"] if one["group"] != one["id"] else []
    truth = "Nothing to find" if one["blank"] else "Ground truth"
    return {
        "id": f"sample-{number}",
        "title": one["id"],
        "facts": "; ".join(facts),
        "sound": one.get("sound", ""),  # older runs have none
        "given": [
            _picture(one["image"], f"Image of {one['id']}", "Image"),
            _picture(one["truth"], f"Ground truth of {one['id']}: {sounding or what}", truth),
        ],
        "answers": [_answer(name, one) for name in run.listening if name in one["methods"]],
        "baselines": [_answer(name, one) for name in run.baselines if name in one["methods"]],
    }


def _picture(path: str, alt: str, title: str) -> Part:
    """A picture of the run's folder; a verdict is a word on it, `said` and `story` are the trail: (label, text)."""
    return {"path": path, "alt": alt, "title": title, "verdict": "", "good": False, "said": (), "story": ()}


def _answer(name: str, sample: Mapping[str, Any]) -> Part:
    one = sample["methods"][name]
    good = one["area"] == 0 if sample["blank"] else (one["iou"] or 0) >= RIGHT
    if sample["blank"]:
        found = "finds nothing" if good else f"finds {percent(one['area'])} % of the image"
    else:
        found = f"IoU {percent(one['iou'])}" + (", finds nothing" if one["area"] == 0 else "")
    verdict = f"{'right' if good else 'wrong'}: {found}"
    lines: list[tuple[str, str]] = []
    for label, text in one["trail"]:
        text = " ".join(BAR.sub("", str(text)).split()) or NOTHING
        if label or not lines:
            lines.append((label or "heard", text))
        else:  # one more candidate
            lines[-1] = (lines[-1][0], f"{lines[-1][1]}, {text}")
    said = [line for line in lines if line[0] in ("heard", "asked")]
    story = [line for line in lines if line not in said]
    picture = _picture(one["map"], f"Answer of {name} for {sample['id']}: {verdict}", name)
    return {**picture, "verdict": verdict, "good": good, "said": said, "story": story}
