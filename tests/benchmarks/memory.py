"""How much an evaluation grows: the memory of eval.py's process while it measures many samples, and when it sums up.

python -m tests.benchmarks.memory --test_data_path DIR --methods classify cross_modal
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from time import sleep

import psutil

from utils.errors import UserError, run_script

ROOT = Path(__file__).resolve().parents[2]
EVERY = 1.0  # s
PROGRESS = re.compile(r"(\d+)/\d+ \[[^\]]*sample/s")  # tqdm's, of samples, not of the files looked at before


def main(argv: Sequence[str] | None = None) -> list[tuple[int, float]]:
    """Runs eval.py and prints how its memory goes.

    Args:
        argv: eval.py's own arguments, without an output folder; None takes the process's.

    Returns:
        (samples measured, MB resident) every second; workers that read files are not counted.

    Raises:
        UserError: the evaluation failed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.memory",
        description=__doc__.split("\n")[0],
        epilog="All arguments are eval.py's.",
    )
    _, given = parser.parse_known_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("w") as file:
            command = [sys.executable, "eval.py", *given, "--output_dir", str(Path(folder) / "run")]
            process = psutil.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
            points = []
            while process.poll() is None:
                try:
                    resident = process.memory_info().rss / 1e6
                except psutil.NoSuchProcess:
                    break
                found = PROGRESS.findall(log.read_text(errors="replace")[-2000:])
                points.append((int(found[-1]) if found else 0, resident))
                sleep(EVERY)
        if process.wait():
            raise UserError("eval.py failed: " + log.read_text(errors="replace").strip().splitlines()[-1])
    print(report(points))
    return points


def report(points: Sequence[tuple[int, float]]) -> str:
    """Markdown: the highest memory within each tenth of the samples, and after the last one."""
    total = max(done for done, _ in points)
    measuring = [(done, resident) for done, resident in points if 0 < done < total]
    lines = ["| samples measured | MB at most |", "|---|---|"]
    edges = [round(total * tenth / 10) for tenth in range(11)]
    highest = []
    for low, high in pairwise(edges):
        within = [resident for done, resident in measuring if low < done <= high]
        if within:
            highest.append(max(within))
            lines.append(f"| {low} to {high} | {highest[-1]:.0f} |")
    after = max((resident for done, resident in points if done == total), default=0.0)
    lines.append(f"| then: summary and report | {after:.0f} |")
    growth = max(highest[1:], default=0.0) - (highest[0] if highest else 0.0)
    lines += ["", f"growth while measuring, after the first tenth: {growth:.0f} MB"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_script(main))
