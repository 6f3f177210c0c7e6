"""Makes the report of a finished evaluation anew: python -m utils.report outputs/eval."""

from __future__ import annotations

import sys
from pathlib import Path

from utils.cli import Parser
from utils.errors import run_script
from utils.report import write_report
from utils.report.papers import write_paper_files


def main() -> None:
    """Runs what the command line asks for."""
    parser = Parser(prog="python -m utils.report", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="holds results.json; the report is written there")
    folder = parser.parse_args().folder
    write_report(folder)
    print(f"written to {folder}: {', '.join(['report.html', 'report.md', *write_paper_files(folder)])}")


if __name__ == "__main__":
    sys.exit(run_script(main))
