"""`python -m datasets.check DIR`: a line for each kind of thing that is found, a digest and a verdict."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.check import check_contents, check_headers
from datasets.findings import Report
from utils.cli import Parser, at_least
from utils.errors import UserError, run_script
from utils.files import make_folder, write_text_atomic


def main(argv: Sequence[str] | None = None) -> Report:
    """Checks a folder, prints the report and writes it where that is asked for; argparse ends a wrong command line.

    Raises:
        UserError: there is no such folder, or the report cannot be written.
    """
    parser = Parser(
        prog="python -m datasets.check",
        description="Tells what is wrong with a dataset folder.",
        epilog="Exit code: 0 fit for eval.py, 1 not fit, 2 wrong command line or no such folder.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="holds image/ wav/ gt_seg/, paired by stem")
    add("--fast", action="store_true", help="read only headers: seconds, and no broken pixel or sample is found")
    add("--all", action="store_true", help="name every file, not the first three of each kind")
    add("--num_workers", type=at_least(0), default=2, metavar="N", help="processes; 0 for one (default: %(default)s)")
    add("--json", type=Path, metavar="PATH", help="also write the report there, with every name")
    arguments = parser.parse_args(argv)
    if arguments.json:
        make_folder(arguments.json.parent)
        if arguments.json.is_dir():
            raise UserError(f"expected a file to write at {arguments.json}, found a folder; add a file name")
    check = check_headers if arguments.fast else check_contents
    report = check(arguments.folder, num_workers=arguments.num_workers)
    print(report.text(None) if arguments.all else report.text())
    if arguments.json:
        write_text_atomic(arguments.json, json.dumps(report.values(), indent=1, ensure_ascii=False) + "\n")
    return report


def _run() -> None:
    if main().errors:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(run_script(_run))
