"""Compares two evaluations: what differs between the runs, and whether their scores differ beyond chance.

python -m utils.compare RUN_A RUN_B
python -m utils.compare RUN_A RUN_B --methods classify cross_modal
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from utils.errors import UserError, run_script
from utils.files import write_text_atomic
from utils.runs.changes import Change, changes, remarks
from utils.runs.comparison import MethodComparison, Run, compare_methods
from utils.runs.comparison_text import describe, verdict
from utils.runs.results import read_results

__all__ = ["RunComparison", "compare", "main"]


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side; A is the first, B the second.

    Attributes:
        first, second: where they lie; the same where methods of one run are compared.
        samples: number of samples in each.
        warnings: why the numbers of a run mean nothing (random weights).
        incomparable: why the scores cannot be compared at all; empty where they can.
        other_data: whether the samples are not known to be the same.
        changes, remarks: see `utils.runs.changes`.
        methods: one comparison for each method in both, or of the two that were asked for.
        told: the methods of A whose headline the verdict tells: those that listen, or all where none does.
    """

    first: str
    second: str
    samples: tuple[int, int]
    warnings: tuple[str, ...]
    incomparable: tuple[str, ...]
    other_data: bool
    changes: tuple[Change, ...]
    remarks: tuple[str, ...]
    methods: tuple[MethodComparison, ...]
    told: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> RunComparison:
    """Prints a comparison, and writes it where asked to.

    Raises:
        UserError: a file cannot be read or written, or a run has no such method.
    """
    parser = argparse.ArgumentParser(prog="python -m utils.compare", description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path, metavar="A", help="results.json of a run, or its folder")
    parser.add_argument("second", type=Path, metavar="B", help="those of another; A once more to compare within a run")
    parser.add_argument("--methods", nargs=2, metavar=("X", "Y"), help="compare method X of A with method Y of B")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the comparison there")
    arguments = parser.parse_args(argv)
    found = compare(_read(arguments.first), _read(arguments.second), arguments.methods)
    if arguments.json:
        text = json.dumps({"verdict": verdict(found), **asdict(found)}, indent=2, allow_nan=False)
        try:
            write_text_atomic(arguments.json, text + "\n")
        except OSError as error:
            raise UserError(f"cannot write {arguments.json}: {error.strerror}; choose another path") from error
    print(describe(found))
    return found


def compare(first: Run, second: Run, methods: Sequence[str] | None = None) -> RunComparison:
    """Compares two runs.

    Args:
        first, second: the runs.
        methods: a method of the first and one of the second; None for each method that both have.

    Raises:
        UserError: a run has no such method.
    """
    runs = {"A": first, "B": second}
    if methods is None:
        pairs = [(name, name) for name in first.results["methods"] if name in second.results["methods"]]
        told = [name for name, _ in pairs if first.results["methods"][name]["listens"]]
    else:
        pairs, told = [(methods[0], methods[1])], []
        for (letter, run), name in zip(runs.items(), methods, strict=True):
            if name not in run.results["methods"]:
                known = ", ".join(run.results["methods"])
                raise UserError(f'there is no method "{name}" in {letter} ({run.folder}); choose from: {known}')
    different = changes(first.results, second.results)
    measured = tuple(one for one in different if one.part == "measurement")
    return RunComparison(
        first=str(first.folder / "results.json"),
        second=str(second.folder / "results.json"),
        samples=(first.results["data"]["samples"], second.results["data"]["samples"]),
        warnings=tuple(f"{name}: {run.results['warning']}" for name, run in runs.items() if run.results["warning"]),
        incomparable=tuple(f"{one.key} is {one.first} in A and {one.second} in B" for one in measured),
        other_data=any(one.part == "data" for one in different),
        changes=tuple(different),
        remarks=tuple(remarks(first.results, second.results)),
        methods=tuple(compare_methods(first, second, pair, not measured) for pair in pairs),
        told=tuple(told or (name for name, _ in pairs)),
    )


def _read(path: Path) -> Run:
    return Run(path if path.is_dir() else path.parent, read_results(path))


if __name__ == "__main__":
    sys.exit(run_script(main))
