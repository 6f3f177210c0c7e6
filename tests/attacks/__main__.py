"""Attacks the demo, the checker and the evaluation as a user's shell runs them, and tells which ended as they should.

python -m tests.attacks DIR
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.attacks import dataset_inputs, demo_inputs
from tests.attacks.case import COMMANDS, Case, attack, in_a_process
from utils.errors import UserError, run_script
from utils.files import make_folder


def main(argv: Sequence[str] | None = None) -> dict[Case, str]:
    """Runs the attacks of a command line, prints a line each and the counts.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        Case -> "" where it ended as it should, otherwise what is wrong.

    Raises:
        UserError: the folder holds something, or no attack is named so.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the inputs are made: a new folder")
    parser.add_argument("--only", default="", metavar="PATTERN", help='such as "demo sound" or "manifest"')
    arguments = parser.parse_args(argv)
    make_folder(arguments.folder)
    if any(arguments.folder.iterdir()):
        raise UserError(f"expected an empty folder at {arguments.folder}, found files; name a new one")
    every = [*demo_inputs.CASES, *dataset_inputs.CASES]
    chosen = [case for case in every if re.search(arguments.only, f"{case.command} {case.name}")]
    chosen = [case for case in chosen if not case.needs or importlib.util.find_spec(case.needs)]
    if not chosen:
        raise UserError(f"expected a part of an attack's name, found {arguments.only!r}; leave --only out for all")
    ends = {}
    for number, case in enumerate(chosen):
        folder = arguments.folder.resolve() / f"{number:03d}"
        folder.mkdir()
        ends[case] = attack(case, folder, in_a_process)
        print(
            f"{'wrong' if ends[case] else 'right'}  {number:03d} {case.command:<5} {case.name}  {ends[case]}",
            flush=True,
        )
    tried, right = (Counter(case.command for case in ends if not (only_right and ends[case])) for only_right in (0, 1))
    print(*(f"{command}: {tried[command]} tried, {right[command]} right" for command in COMMANDS), sep="\n")
    return ends


def _run() -> None:
    if any(main().values()):
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(run_script(_run))
