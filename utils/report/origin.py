"""Where the numbers come from: the command, code, data, networks, settings, seeds, versions and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from utils.report.blocks import (
    Bullets,
    Cell,
    Code,
    Command,
    Fold,
    Header,
    Paragraph,
    Section,
    Strong,
    Subsection,
    Table,
)
from utils.report.numbers import NOTHING, counted
from utils.report.verdicts import ranked

__all__ = ["origin_section"]

LONG = 25  # entries, from which a mapping or a list is not a setting but has one for each sample
LONGEST = 40  # of them that are shown


def origin_section(results: Mapping[str, Any]) -> Section:
    """Everything needed to believe the run, and to make it again."""
    intervals, config = results["intervals"], results["config"]
    said = [
        f"{100 * intervals['confidence']:.0f} % bootstrap intervals of {counted(intervals['draws'], 'draw')} of whole "
        f"groups, {counted(intervals['units'], intervals['unit'])}, seed {intervals['seed']}: what lies in one group "
        "is not independent and is drawn together.",
    ]
    if intervals["unit"] == "sample":
        said.append("No samples belong together here, as far as the data set says.")
    return Section(
        "origin",
        "Where these numbers come from",
        [
            Command(results["command"]),
            *_code(results),
            Subsection("data", "Data", _data(results["data"])),
            Subsection("networks", "Networks", _networks(results["models"])),
            Subsection(
                "settings",
                "Settings",
                [
                    Paragraph(("Config ", Strong(str(config.get("name"))), f", read from {config.get('path')}.")),
                    Fold("Networks as configured", [_table("Networks as configured", config.get("roles", {}))]),
                    *_methods(config.get("methods", {})),
                ],
            ),
            Subsection(
                "measurement",
                "Measurement",
                [_table("How the numbers were taken", results["measurement"]), Bullets(said)],
            ),
            Subsection("time", "Time", [_seconds(results)]),
            Subsection(
                "machine",
                "Machine, seeds, versions",
                [
                    _table("Seeds and device", {"device": results["device"], "seed": results["seeds"]}),
                    Fold("Versions", [_table("Versions of what can change a result", results["versions"])]),
                ],
            ),
        ],
    )


def _code(results: Mapping[str, Any]) -> list[object]:
    if results["commit"] is None:
        found: list[object] = [Paragraph("The code ran outside of its repository: its commit is not known.", "warning")]
    else:
        found = [Paragraph(("Code: commit ", Code(results["commit"]), f"; {results['date']}."))]
    if results["uncommitted_changes"]:
        found.append(
            Paragraph(
                "The code had uncommitted changes: the commit alone does not make this run again.",
                "warning",
            )
        )
    return found


def _data(data: Mapping[str, Any]) -> list[object]:
    rows = list(_flat(data))
    blocks: list[object] = [_rows("What was scored", [row for row in rows if not _long(row[1])])]
    for name, value in rows:
        if not _long(value):
            continue
        items = value.items() if isinstance(value, Mapping) else enumerate(value, 1)
        blocks.append(Fold(f"{name} ({len(value):,})", [_rows(name, list(islice(items, LONGEST)))]))
        if len(value) > LONGEST:
            blocks.append(Paragraph(f"{len(value) - LONGEST:,} more of {name} are in results.json.", "note"))
    return blocks


def _networks(models: Mapping[str, Any]) -> list[object]:
    rows = [row for role, one in models.items() for row in _network_rows(role, one)]
    if not rows:
        return [Paragraph("No networks were used.")]
    keys = list(dict.fromkeys(key for _, values in rows for key in values))
    return [
        Table(
            "Networks as loaded; a sha256 stands for local files, a revision for a commit of the hub.",
            [Header("role"), *(Header(_words(key)) for key in keys)],
            [[Cell(role), *(Cell(_value(values.get(key))) for key in keys)] for role, values in rows],
            numeric=False,
        )
    ]


def _network_rows(role: str, one: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A network and, where several play a role together, each of them."""
    one = one if isinstance(one, Mapping) else {"origin": one}
    yield role, {key: value for key, value in one.items() if key != "parts"}
    for part, values in (one.get("parts") or {}).items():
        yield from _network_rows(f"{role}: {part}", values)


def _methods(settings: Mapping[str, Any]) -> Iterator[object]:
    for name, values in settings.items():
        if values:
            yield Fold(f"Settings of {name}", [_table(f"Settings of {name}", values)])


def _seconds(results: Mapping[str, Any]) -> Table:
    spent = results["seconds"]["methods"]
    stages = list(dict.fromkeys(stage for of in spent.values() for stage in of))
    rows = []
    for name in [one for one in ranked(results) if one in spent]:
        answers = sum(name in of_control for of_control in results["controls"].values()) * results["data"]["samples"]
        total = sum(spent[name].values())
        rows.append(
            [
                Cell(name),
                *(Cell(f"{spent[name].get(stage, 0):,.1f}") for stage in stages),
                Cell(f"{total:,.1f}"),
                Cell(f"{total / answers:,.3f}" if answers else NOTHING),
            ]
        )
    return Table(
        f"Seconds by stage, summed over samples and audio controls; {results['seconds']['total']:,} from the first "
        "sample to the last. What several methods share counts for the first that needed it.",
        [Header("method"), *(Header(stage) for stage in stages), Header("total"), Header("per answer")],
        rows,
    )


def _table(caption: str, values: Mapping[str, Any]) -> Table:
    return _rows(caption, list(_flat(values)))


def _rows(caption: str, rows: Sequence[tuple[Any, Any]]) -> Table:
    cells = [[Cell(str(name)), Cell(_value(value))] for name, value in rows]
    return Table(caption + ".", [Header("what"), Header("value")], cells, numeric=False)


def _flat(values: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """What is nested as rows, "audio_text.family"; only what has a row for each sample stays as it is."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value and not _long(value):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _value(value: Any) -> str:
    if value is None or value == {} or value == []:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return f"{len(value):,} entries, in results.json"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _words(key: Any) -> str:
    return str(key).replace("_", " ")


def _long(value: Any) -> bool:
    return isinstance(value, (Mapping, list)) and len(value) > LONG
