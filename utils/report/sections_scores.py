"""How good the methods are: the answers at the top, the ranking, what other sounds do, and every protocol's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils.report.elements import (
    NOTHING,
    TELLING_CONTROLS,
    Part,
    ReportedRun,
    Scale,
    Words,
    cell,
    dot,
    header,
    interval,
    listed,
    number_cell,
    percent,
    points,
    top,
    zero,
)

HEARD = {
    "original": "its own sound",
    "silence": "silence",
    "noise": "white noise of the same loudness",
    "swap": "the sound of another sample",
    "offscreen": "the sound of something not in view",
}
SOUND = "Does the sound matter?"
THRESHOLDS = {
    "oracle": "Oracle: its threshold is chosen with the ground truth, so no user would get this number",
    "honest": "Honest: its threshold does not know the ground truth",
}


def answers(run: ReportedRun) -> list[Part]:
    """Which method is best, how far ahead of the next and of what does not listen, and whether the sound matters."""
    best, own, question = run.best, run.listening, "Which method is best?"
    if best is None:
        said = _answer(question, "No method of this run listens", "Only baselines were run.", "unsure")
        return [said, _sound_answer(run)]
    number = run.score(best)
    leads = f"A tie: {listed(run.tied)}" if len(run.tied) > 1 else best
    said = [("strong", leads), f": {run.headline} {percent(number['value'])} %{run.nothing}"]
    between = f"{run.confidence} interval {interval(number)}" if interval(number) else "No interval"
    if len(own) == 1:
        found = [_answer("How good is it?", said, f"{between}; no other method that listens was run.")]
    else:
        rest = ", ".join(f"{name} {percent(run.score(name)['value'])}" for name in own if name not in run.tied)
        equals = [name for name in own[2:] if (one := run.difference(best, name)) and not one["certain"]]
        further = f" Not certainly worse either: {', '.join(equals)}." if equals else ""
        found = [
            _answer(question, said, f"{between}. {f'Then {rest}.' if rest else ''}".rstrip()),
            _ahead_answer("By how much, and is that certain?", best, own[1], further, run),
        ]
    if run.baselines:
        count, other = len(run.baselines), run.baselines[0]
        further = (
            f" Of {count} baselines none scores higher than {other}." if count > 1 else " It is the only baseline."
        )
        found.append(_ahead_answer("Does it beat what does not listen?", best, other, further, run))
    return [*found, _sound_answer(run)]


def _answer(question: str, answer: Words, explanation: str, mood: str = "plain") -> Part:
    """One question that a reader has; its mood, "yes", "unsure", "no" or "plain", also shows as a word and a sign."""
    return {"question": question, "answer": answer, "explanation": explanation, "mood": mood}


def _ahead_answer(question: str, best: str, other: str, further: str, run: ReportedRun) -> Part:
    """The difference of two methods as an answer; against a baseline it begins with yes or no."""
    found = run.difference(best, other)
    if found is None:
        return _answer(question, f"Not known: no difference from {other} was computed", further.strip(), "unsure")
    if between := interval(found, points):
        because = f"The {run.confidence} interval of the difference is {between}."
    elif run.has_intervals:
        because = f"Too few for one: {run.units}."
    else:
        because = "Too few draws were asked for."
    mood = ("yes" if found["value"] > 0 else "no") if found["certain"] else "unsure"
    lead = {"yes": "Yes, ", "unsure": "Not certainly, ", "no": "No, "}[mood]
    amount = f"{points(found['value'])} points against {other}"
    amount = amount if other in run.methods else lead + amount
    return _answer(question, [("strong", amount), f": {zero(found)}"], because + further, mood)


def _sound_answer(run: ReportedRun) -> Part:
    """Whether the methods listen, and what each control does to the best one."""
    found = {name: one for name in run.methods if (one := run.control_effect(name))}
    if not run.methods:
        return _answer(SOUND, "Not to any of these: they are baselines", "A baseline is not given the sound.", "no")
    if not found:
        return _answer(SOUND, "Not tested: no other thing's sound was played", ask(run), "unsure")
    deaf = [name for name, one in found.items() if not one.listens]
    shown = run.best if run.best in found else next(iter(found))
    one, floor = found[shown], percent(_floor(run))
    if one.listens:
        falls = f"falls from {percent(one.before)} to {percent(one.after)}; finding nothing at all would get {floor}."
        said = f"With {HEARD[one.control]} {shown} {falls}{_empty_answers(shown, run)}"
    else:
        said = f"{''.join(_effect(shown, run))} Finding nothing at all would get {floor}."
    if deaf:
        return _answer(SOUND, [("strong", f"Not certainly for {', '.join(deaf)}")], said, "unsure")
    answer = f"Yes, {shown} listens" if len(found) == 1 else f"Yes, all {len(found)} methods listen"
    change = f": {points(one.change['value'])} points for {shown}"
    return _answer(SOUND, [("strong", answer), change], said, "yes")


def _empty_answers(name: str, run: ReportedRun) -> str:
    shares = [
        f"{control} {percent(of_control[name]['empty']['value'])} %"
        for control, of_control in run.results["controls"].items()
        if control in ("silence", "noise", "offscreen") and name in of_control
    ]
    return f" Empty answers, ideally 100 %: {', '.join(shares)}." if shares else ""


def _floor(run: ReportedRun) -> float:
    """The headline of finding nothing: the share of samples with nothing to find."""
    return run.results["data"]["gt_empty"] / max(run.results["data"]["samples"], 1)


def _effect(name: str, run: ReportedRun) -> tuple[str, str]:
    """Whether a method listens, and what the telling control, which was run, does to it."""
    found = run.control_effect(name)
    between = f", interval {interval(found.change, points)}" if interval(found.change) else ""
    change = f"(change {points(found.change['value'])}{between})"
    numbers = f"from {percent(found.before)} to {percent(found.after)} {change}"
    return found.verdict, f": with {HEARD[found.control]} its IoU goes {numbers}."


def ask(run: ReportedRun) -> str:
    """How to find out whether the sound matters: only with audio controls that the data set can have."""
    refused = run.results.get("refused_controls", {})
    reasons = [f"{why[:1].upper()}{why[1:]}".removesuffix(", or leave the control out") for why in refused.values()]
    telling = [one for one in TELLING_CONTROLS if one not in refused]
    lead = "To find out" if telling else "To see at least what is found without it"
    command = f"{lead}, run eval.py again with --audio_control {' '.join(['silence', 'noise', *telling])}"
    return " ".join(f"{one}." for one in (command, *reasons))


def scores(run: ReportedRun) -> Part:
    """The headline of all methods, and the differences of the best from each other one."""
    numbers = {name: run.score(name) for name in run.ranked}
    others = {name: found for name in run.ranked if run.best and (found := run.difference(run.best, name))}
    differences, difference_dots = [], []
    for name, found in others.items():
        amount, between, said = points(found["value"]), interval(found, points) or NOTHING, zero(found)
        differences.append([run.label(name), amount, between, said])
        note = said if found["low"] is None else f"{between}, {said}"
        difference_dots.append({**dot(name, found, *run.look(name)), "text": amount, "note": note})
    bounds = [one[key] for one in others.values() for key in ("value", "low", "high") if one[key] is not None]
    return {
        "dots": [dot(name, one, *run.look(name)) for name, one in numbers.items()],
        "rows": [
            [name, percent(one["value"]), interval(one) or NOTHING, "yes" if name in run.methods else "no, baseline"]
            for name, one in numbers.items()
        ],
        "differences": differences,
        "difference_dots": difference_dots,
        "difference_scale": Scale.around(bounds, 0.1),
    }


def audio_controls(run: ReportedRun) -> Part:
    """IoU, found area and empty answers of each method under each audio control, as charts and as a table."""
    controls, own = run.results["controls"], run.listening
    floor, rows, starts = percent(_floor(run)), [], set()
    charts: dict[str, list[Part]] = {name: [] for name in own}
    ideals = {  # IoU, change, area and empty answers of a method that hears and sees perfectly
        "original": ("100.0", NOTHING, NOTHING, floor),
        "swap": (f"about {floor}" if run.results["categories"] else NOTHING, "falls", NOTHING, NOTHING),
    }
    for control, of_control in controls.items():
        starts.add(len(rows))
        for name in (name for name in own if name in of_control):
            numbers = of_control[name]
            charts[name].append(dot(control, numbers["IoU"], "method" if control == "original" else "few"))
            IoU, area, empty = (number_cell(numbers[one], numbers[one]["value"]) for one in ("IoU", "area", "empty"))
            note = ", ".join(filter(None, [interval(numbers["change"], points), zero(numbers["change"])]))
            change = NOTHING if control == "original" else cell(points(numbers["change"]["value"]), note)
            rows.append([[("strong", control), f" {name}"], IoU, change, area, empty])
        rows.append([[("strong", control), " ideal"], *ideals.get(control, (floor, "falls", "0.0", "100.0"))])
    known = "known to sound different, of the same image where it has another one that sounds"
    further = {"swap": f", {known if run.results['categories'] else 'which may be of the same kind'}"}
    effects = [_effect(name, run) for name in own if run.control_effect(name)]
    return {
        "run": len(controls) > 1 and own,
        "ask": ask(run),
        "floor": _floor(run),
        "effects": [[("strong", verdict), said] for verdict, said in effects],
        "charts": charts,
        "rows": rows,
        "starts": starts,
        "heard": "; ".join(f"{one}: {HEARD.get(one, one)}{further.get(one, '')}" for one in controls) + ".",
    }


def protocols(run: ReportedRun) -> list[Part]:
    """A table for each protocol; of those that say nothing about the run the reason."""
    tables = []
    for number, (name, one) in enumerate(run.results["protocols"].items()):
        table = {} if one["refused"] else _protocol(number, name, one, run)
        tables.append({"name": name, "id": f"protocol-{number}", "refused": one["refused"], **table})
    return tables


def _protocol(number: int, name: str, protocol: Mapping[str, Any], run: ReportedRun) -> Part:
    headers, terms, tops = ["method"], [], {}
    scores = {method: run.results["scores"][method][name] for method in run.ranked}
    for position, column in enumerate(protocol["columns"]):
        title, better, id = column["title"], column["better"], f"column-{number}-{position}"
        lower = ["lower is better"] if better == "lower" else []
        headers.append(header(title, [column["kind"], *lower], id))
        kind = THRESHOLDS.get(column["kind"], column["kind"].capitalize())
        terms.append((id, title, f"{column['definition']} {kind}; {better} is better."))
        tops[title] = top(better, [scores[method][title] for method in run.methods])
    rows = []
    for method, row in scores.items():
        is_top = {title: best is not None and row[title].get("value") == best for title, best in tops.items()}
        cells = [number_cell(row[title], bold=method in run.methods and is_top[title]) for title in tops]
        rows.append([run.label(method), *cells])
    numbers = [one for row in scores.values() for one in row.values()]
    return {
        "summary": protocol["summary"],
        "headers": headers,
        "rows": rows,
        "reasons": list(dict.fromkeys(one["refused"] for one in numbers if "refused" in one)),
        "undefined": any(one.get("value", 0) is None for one in numbers),
        "terms": terms,
    }
