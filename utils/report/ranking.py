"""Which method is best, by how much, and whether that is certain: in words at the top and as charts below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils.report.blocks import Answer, Cell, ChartTable, Header, Paragraph, Section, Strong, Subsection, Table
from utils.report.charts import DotChart, DotRow, Scale
from utils.report.numbers import NOTHING, counted, interval, percent, points, row
from utils.report.verdicts import Comparison, against, best_method, headline, methods_that_listen, ranked
from utils.scoring.bootstrap import LEAST_DRAWS

__all__ = ["resolution", "standing", "standing_answers"]

NO_LEADS: Mapping[str, str] = {}


def standing_answers(results: Mapping[str, Any]) -> list[Answer]:
    """Which is best, how far ahead of the next, and how far above what does not listen."""
    best = best_method(results)
    if best is None:
        return [Answer("Which method is best?", "No method of this run listens", "Only baselines were run.", "unsure")]
    own = [name for name in ranked(results) if name in methods_that_listen(results)]
    number = headline(best, results)
    said = f"{_title(results)} {percent(number['value'])} %"
    found = f"{_confidence(results)} interval {interval(number)}" if interval(number) else "No interval"
    rest = ", ".join(f"{name} {percent(headline(name, results)['value'])}" for name in own[1:])
    if not rest:
        answers = [
            Answer("How good is it?", (Strong(best), f": {said}"), f"{found}; no other method that listens was run.")
        ]
    else:
        answers = [
            Answer("Which method is best?", (Strong(best), f": {said}"), f"{found}. Then {rest}."),
            _ahead("By how much, and is that certain?", best, own[1], results, further=_not_behind(best, own, results)),
        ]
    baselines = [name for name in ranked(results) if name not in own]
    if baselines:
        which = "the only baseline" if len(baselines) == 1 else f"the strongest of {len(baselines)} baselines"
        further = f" {baselines[0]} is {which}."
        leads = {"yes": "Yes, ", "unsure": "Not certainly, ", "no": "No, "}
        answers.append(_ahead("Does it beat what does not listen?", best, baselines[0], results, further, leads))
    return answers


def standing(results: Mapping[str, Any]) -> Section:
    """The headline of all methods, and the differences of the best from each other one."""
    own = methods_that_listen(results)
    rows = [
        row(name, headline(name, results), *(("method",) if name in own else ("baseline", "does not listen")))
        for name in ranked(results)
    ]
    blocks: list[object] = [
        Paragraph((results["intervals"]["headline"]["definition"], f" In percent, at {resolution(results)}.")),
        DotChart(
            f"Each method's {_title(results)}, best first, with {_confidence(results)} intervals. "
            "Filled dots listen; hollow diamonds are baselines, which do not listen.",
            rows,
        ),
        ChartTable(_table(results)),
    ]
    best = best_method(results)
    others = [(name, found) for name in ranked(results) if best and (found := against(best, name, results))]
    if others:
        blocks.append(_differences(best, others, results))
    return Section("scores", "Scores", blocks)


def _table(results: Mapping[str, Any]) -> Table:
    own = methods_that_listen(results)
    rows = []
    for name in ranked(results):
        number = headline(name, results)
        listens = "yes" if name in own else "no, baseline"
        rows.append([Cell(name), Cell(percent(number["value"])), Cell(interval(number) or NOTHING), Cell(listens)])
    headers = [Header("method"), Header(_title(results)), Header("interval"), Header("listens")]
    return Table("All methods and baselines, best first, in percent.", headers, rows)


def resolution(results: Mapping[str, Any]) -> str:
    """The pixels that were compared, in words."""
    size = results["measurement"]["resolution"]
    return "each image's own resolution" if isinstance(size, str) else " × ".join(map(str, size)) + " pixels"


def _differences(best: str, others: list[tuple[str, Comparison]], results: Mapping[str, Any]) -> Subsection:
    own = methods_that_listen(results)
    bounds = [one for _, found in others for one in (found.value, found.low, found.high) if one is not None]
    rows, cells = [], []
    for name, found in others:
        between = interval({"low": found.low, "high": found.high}) or "no interval"
        said = _certainty(found)
        rows.append(
            DotRow(
                name,
                found.value,
                found.low,
                found.high,
                points(found.value),
                f"{between}, {said}",
                "" if name in own else "does not listen",
                "method" if name in own else "baseline",
            )
        )
        cells.append([Cell(name if name in own else f"({name})"), Cell(points(found.value)), Cell(between), Cell(said)])
    table = Table(
        f"Differences of {best} from the others, in points.",
        [Header("against"), Header("difference"), Header("interval"), Header("verdict")],
        cells,
    )
    return Subsection(
        "differences",
        f"Is {best} certainly ahead?",
        [
            Paragraph(
                "Both methods answer the same samples, so what counts is the interval of their difference, not whether "
                f"their own intervals overlap. A difference is called certain where its {_confidence(results)} "
                "interval leaves out 0; of twenty that are none, one does so by chance."
            ),
            DotChart(
                f"Difference in {_title(results)}: {best} minus each other method, in points.",
                rows,
                Scale.around(bounds, 0.1),
                (0.0, "0, no difference"),
            ),
            ChartTable(table),
        ],
    )


def _ahead(
    question: str, best: str, other: str, results: Mapping[str, Any], further: str, leads: Mapping[str, str] = NO_LEADS
) -> Answer:
    """The difference of two methods as an answer; `leads` are its first words by mood."""
    found = against(best, other, results)
    if found is None:
        return Answer(question, f"Not known: no difference from {other} was computed", further.strip(), "unsure")
    between = interval({"low": found.low, "high": found.high})
    if between:
        contained = "leaves out 0" if found.certain else "contains 0"
        because = f"The {_confidence(results)} interval of the difference, {between}, {contained}."
    else:
        units = counted(results["intervals"]["units"], results["intervals"]["unit"])
        asked = results["intervals"]["draws"] >= LEAST_DRAWS
        because = (
            f"There is no interval: {f'{units} are too few for one' if asked else 'too few draws were asked for'}."
        )
    mood = ("yes" if found.value > 0 else "no") if found.certain else "unsure"
    amount = Strong(f"{leads.get(mood, '')}{points(found.value)} points against {other}")
    return Answer(question, (amount, f": {_certainty(found)}"), because + further, mood)


def _not_behind(best: str, own: list[str], results: Mapping[str, Any]) -> str:
    """Which further methods could be as good as the best one."""
    rest = [name for name in own[2:] if (found := against(best, name, results)) and not found.certain]
    return f" Not certainly worse either: {', '.join(rest)}." if rest else ""


def _certainty(found: Comparison) -> str:
    return "certain" if found.certain else "not certain"


def _title(results: Mapping[str, Any]) -> str:
    return f"mean {results['intervals']['headline']['title']}"


def _confidence(results: Mapping[str, Any]) -> str:
    return f"{100 * results['intervals']['confidence']:.0f} %"
