"""An attack: awkward input made in a folder, the command it is given to, and how that should end.

Nothing that lies in the folder before the command may be changed or be gone after it, and nothing new may lie outside
the folder `out`, where results go.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import runpy
import signal
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"demo": "inference_demo.py", "check": "datasets.check", "eval": "eval.py"}
OUT = "out"
KEEP = "precious"  # in the name of what lies in `out` and is no result
LIMIT = 120  # seconds; what takes longer does not end
PROGRESS = re.compile(r"^\s*\S*\s*\d+%\|")


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a command ended: its exit code (None where it did not end), what it printed, and the folder it ran in."""

    code: int | None
    stdout: str
    stderr: str
    folder: Path

    @property
    def said(self) -> list[str]:
        """What stands on stderr, without progress bars and argparse's usage."""
        text = self.stderr
        if text.startswith("usage:"):
            text = text[text.find("error: ") :] if "error: " in text else text
        lines = [line.rpartition("\r")[2] for line in text.split("\n")]
        return [line for line in lines if line.strip() and not PROGRESS.match(line)]

    @property
    def values(self) -> Any:
        """What --json printed."""
        return json.loads(self.stdout)


Judge = Callable[[Outcome], str]  # "" where all is as it should be, otherwise what is not
Words = Sequence[str]
Make = Callable[[Path], Words]  # makes the input in an empty folder, gives the words of the command line
Run = Callable[["Case", Words, Path], Outcome]


@dataclass(frozen=True, eq=False)
class Case:
    """One attack.

    Attributes:
        name: of few words.
        command: a key of COMMANDS.
        make: see `Make`.
        ending: what the command should have come to.
        before: is given the folder and a way to run command lines, whose outcome counts for nothing.
        renews: whether the results in `out` may be others afterwards.
        environment, encoding: of the process and its terminal.
        needs: a package without which the input cannot be made.
    """

    name: str
    command: str
    make: Make
    ending: Judge
    before: Callable[[Path, Callable[[Words], None]], None] = lambda folder, run: None
    renews: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    needs: str = ""


def attack(case: Case, folder: Path, run: Run) -> str:
    """Makes a case's input in an empty folder and runs it; returns "" or what is wrong with its end."""
    words = list(case.make(folder))
    case.before(folder, lambda before: run(case, before, folder))
    before = snapshot(folder, case.renews)
    outcome = run(case, words, folder)
    if outcome.code is None:
        return f"did not end within {LIMIT} s"
    if "Traceback (most recent call last)" in outcome.stderr:
        return f"a traceback: {outcome.stderr.strip().splitlines()[-1]}"
    wrong = [case.ending(outcome), *damage(before, snapshot(folder, case.renews))]
    return "; ".join(filter(None, wrong))


def snapshot(folder: Path, renews: bool = False) -> dict[str, tuple[str, ...]]:
    """Path -> what lies there; without results in `out` where these may be others afterwards."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            relative = os.path.relpath(path, folder)
            if not (renews and relative.startswith(OUT + os.sep) and KEEP not in name):
                found[relative] = _what_is(path)
    return found


def _what_is(path: str) -> tuple[str, ...]:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return "link", os.readlink(path)
    if stat.S_ISREG(mode):
        return "file", hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return (oct(stat.S_IFMT(mode)),)


def damage(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What was changed, removed or left outside `out`."""
    lost = [path for path in before if after.get(path) != before[path]]
    new = [path for path in after.keys() - before.keys() if path.split(os.sep)[0] != OUT]
    return [f"{path!r} was {'changed' if path in after else 'removed'}" for path in lost] + [
        f"{path!r} was left behind" for path in sorted(new)
    ]


def in_a_process(case: Case, words: Words, folder: Path) -> Outcome:
    """Runs a command line as a user does."""
    name = COMMANDS[case.command]
    start = [str(ROOT / name)] if name.endswith(".py") else ["-m", name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": case.encoding, **case.environment}
    try:
        done = subprocess.run(
            [sys.executable, *start, *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        return Outcome(None, "", "", folder)
    return Outcome(done.returncode, _text(done.stdout, case), _text(done.stderr, case), folder)


def in_this_process(case: Case, words: Words, folder: Path) -> Outcome:
    """Runs a command line's script here, with streams like those of a process."""
    name, code = COMMANDS[case.command], 0
    streams = [io.TextIOWrapper(io.BytesIO(), case.encoding, errors) for errors in ("strict", "backslashreplace")]
    with (
        _standing_in(folder),
        _at_most(LIMIT),
        mock.patch.dict(os.environ, case.environment),
        mock.patch.object(sys, "argv", [name, *words]),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        try:
            if name.endswith(".py"):
                runpy.run_path(str(ROOT / name), run_name="__main__")
            else:
                runpy.run_module(name, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
        except _DidNotEndError:
            return Outcome(None, "", "", folder)
        except Exception:
            code = 1
            traceback.print_exc()
    for stream in streams:
        stream.flush()
    out, err = (_text(stream.buffer.getvalue(), case) for stream in streams)
    return Outcome(code, out, err, folder)


def _text(printed: bytes, case: Case) -> str:
    return printed.decode(case.encoding, "surrogateescape")


class _DidNotEndError(BaseException):
    """Passes through whatever catches exceptions."""


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    """Ends what takes longer, also where it waits for a file."""

    def end(*_: object) -> None:
        raise _DidNotEndError

    previous = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@contextlib.contextmanager
def _standing_in(folder: Path) -> Iterator[None]:
    previous = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(previous)
