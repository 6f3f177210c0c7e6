"""The run itself: its title and facts, and where the numbers come from: code, data, networks, settings, seeds, time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from utils.report.elements import NOTHING, Part, ReportedRun, Words, counted

Rows = list[list[str]]

LONG = 25  # entries, from which a mapping or a list is not a setting but has one for each sample
LONGEST = 40  # of them that are shown


def title(run: ReportedRun) -> str:
    """Up to four methods, and the data set."""
    own = run.methods or list(run.results["methods"])
    shown = ", ".join(own[:4]) + (f" and {len(own) - 4} more" if len(own) > 4 else "")
    return f"{shown} on {name_of_data(run)}"


def name_of_data(run: ReportedRun) -> str:
    """The name of the data set's folder."""
    path = str(run.results["data"]["path"])
    return PurePath(path).name or path


def resolution(run: ReportedRun) -> str:
    """The pixels that were compared, in words."""
    size = run.results["measurement"]["resolution"]
    return "each image's own resolution" if isinstance(size, str) else " × ".join(map(str, size)) + " pixels"


def facts(run: ReportedRun) -> list[tuple[str, Words]]:
    """What was measured, with what and when: (term, words)."""
    results = run.results
    data, intervals = results["data"], results["intervals"]
    groups = "" if intervals["unit"] == "sample" else f" in {run.units}"
    code = results["commit"][:10] if results["commit"] else "not known"
    samples = f"{counted(data['samples'], 'sample')}{groups}, {data['gt_empty']:,} with nothing to find"
    if skipped := data.get("skipped"):
        samples += f"; {len(skipped):,} left out with faults: {', '.join(sorted(skipped))}"
    return [
        ("Samples", samples),
        ("Measured", f"threshold {results['measurement']['threshold']:g}, at {resolution(run)}"),
        ("Config", f"{results['config'].get('name')}, on {results['device']}"),
        ("Date", results["date"].replace("T", " ").replace("+00:00", " UTC")),
        ("Code", [("code", code), " with uncommitted changes" if results["uncommitted_changes"] else ""]),
    ]


def provenance(run: ReportedRun) -> Part:
    """Everything needed to believe the run, and to make it again."""
    results = run.results
    config, intervals, spent = results["config"], results["intervals"], results["seconds"]["methods"]
    flat, roles = dict(_flat(results["data"])), _networks(results["models"])
    long = {name: value for name, value in flat.items() if _is_long(value)}
    settings = {f"Settings of {name}": _rows(values) for name, values in config.get("methods", {}).items() if values}
    drawn = [
        f"{run.confidence} bootstrap intervals of {counted(intervals['draws'], 'draw')} of whole groups, "
        f"{run.units}, seed {intervals['seed']}: what lies in one group is not "
        "independent and is drawn together."
    ]
    if not run.has_intervals:
        drawn = [f"No intervals: {counted(intervals['draws'], 'draw')} were asked for."]
    if intervals["unit"] == "sample":
        drawn.append("No samples belong together here, as far as the data set says.")
    keys = list(dict.fromkeys(key for _, values in roles for key in values))
    stages = list(dict.fromkeys(stage for seconds in spent.values() for stage in seconds))
    return {
        "data": _rows({name: value for name, value in flat.items() if name not in long}),
        "long": [(name, len(value), _entries(value)[:LONGEST], len(value) - LONGEST) for name, value in long.items()],
        "network_headers": ["role", *(str(key).replace("_", " ") for key in keys)],
        "networks": [[role, *(_value(values.get(key)) for key in keys)] for role, values in roles],
        "settings": {"Networks as configured": _rows(config.get("roles", {})), **settings},
        "measurement": _rows(results["measurement"]),
        "drawn": drawn,
        "seconds_headers": ["method", *stages, "total", "per answer"],
        "seconds": [_seconds(name, stages, run) for name in run.ranked if name in spent],
        "seeds": _rows({"device": results["device"], "seed": results["seeds"]}),
        "versions": _rows(results["versions"]),
    }


def _networks(models: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(role, facts) of every network; where several play a role together, of each of them."""
    rows = []
    for role, one in models.items():
        one = one if isinstance(one, Mapping) else {"origin": one}
        rows.append((role, {key: value for key, value in one.items() if key != "parts"}))
        rows += _networks({f"{role}: {part}": values for part, values in (one.get("parts") or {}).items()})
    return rows


def _seconds(name: str, stages: list[str], run: ReportedRun) -> list[str]:
    """A method's row of the table of time."""
    spent = run.results["seconds"]["methods"][name]
    controls = sum(name in of_control for of_control in run.results["controls"].values())
    answers, total = controls * run.results["data"]["samples"], sum(spent.values())
    each = f"{total / answers:,.3f}" if answers else NOTHING
    return [name, *(f"{spent.get(stage, 0):,.1f}" for stage in stages), f"{total:,.1f}", each]


def _rows(values: Mapping[Any, Any]) -> Rows:
    """Rows of a table: what, and its value in words."""
    return [[name, _value(value)] for name, value in _flat(values)]


def _entries(values: Mapping[Any, Any] | list[Any]) -> Rows:
    """The same of something long."""
    found = values.items() if isinstance(values, Mapping) else enumerate(values, 1)
    return [[str(name), _value(value)] for name, value in found]


def _flat(values: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """What is nested as rows, "audio_text.family"; only what has a row for each sample stays as it is."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value and not _is_long(value):
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


def _is_long(value: Any) -> bool:
    return isinstance(value, (Mapping, list)) and len(value) > LONG
