"""What is found in a dataset folder: findings of three severities, and the report they make up."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
Depth = Literal["contents", "headers"]
SEVERITIES = ("error", "warning", "note")
NAMED_AT_MOST = 3  # names in one message


@dataclass(frozen=True)
class Finding:
    """One kind of thing that is found, in however many files.

    An "error": eval.py cannot run or its numbers would be wrong; a "warning": the numbers are right, and who reads them
    should know; a "note": a fact.
    """

    severity: Severity
    kind: str  # the same word in every report, for programs
    found: str  # what, with its number: "3 masks without foreground"
    names: tuple[str, ...] = ()  # of all files or samples it was found in, with what is special about each
    advice: str = ""  # what to do; "" where there is nothing to do
    command: str = ""  # that does so to one FILE, of this STEM, from within the folder; "" where there is none

    def text(self, at_most: int | None = NAMED_AT_MOST) -> str:
        """What was found, where, and what to do, on one line; with `at_most` names, all of them for None."""
        return self.without_advice(at_most) + (f"; {self.advice}" if self.advice else "")

    def without_advice(self, at_most: int | None = NAMED_AT_MOST) -> str:
        """What was found, and where."""
        return f"{self.found} ({some(self.names, at_most)})" if self.names else self.found


@dataclass(frozen=True)
class Report:
    """What a dataset folder is made of, and what is wrong with it."""

    root: Path
    checked: Depth  # "contents" where every file was decoded, "headers" where only its header was read
    samples: int  # how many were looked at
    findings: tuple[Finding, ...]  # errors first, then warnings, then notes
    digest: str | None = None  # sha256 of the folder's names and contents; None where contents were not read

    @property
    def errors(self) -> list[Finding]:
        """The findings that eval.py would fail on."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """The findings that eval.py gets along with."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    @property
    def verdict(self) -> str:
        """Whether eval.py can be run on the folder, on one line."""
        warnings = count(len(self.warnings), "warning")
        if self.errors:
            verdict = f"not fit for eval.py: {count(len(self.errors), 'error')}, {warnings}"
        else:
            verdict = f"fit for eval.py: {count(self.samples, 'sample')}, {warnings}"
        return verdict if self.checked == "contents" else f"{verdict} (headers only; without --fast every file is read)"

    def text(self, at_most: int | None = NAMED_AT_MOST) -> str:
        """The report as it is printed: a line per finding, the digest, the verdict."""
        lines = []
        for finding in self.findings:
            lines.append(f"{finding.severity:<8} {finding.text(at_most)}")
            lines += [f"{'':<8} for one: {finding.command}"] if finding.command else []
        if self.digest is not None:
            lines.append(f"digest {self.digest[:16]}")
        return "\n".join([*lines, self.verdict])

    def refusal(self) -> str:
        """One sentence for whoever cannot go on because of the errors, at least one."""
        first = ", ".join(finding.without_advice() for finding in self.errors[:NAMED_AT_MOST])
        more = f" and {len(self.errors) - NAMED_AT_MOST} more" if len(self.errors) > NAMED_AT_MOST else ""
        return (
            f"expected a folder fit for scoring at {self.root}, found {count(len(self.errors), 'fault')}: "
            f"{first}{more}; {check_command(self.root)} says what to do"
        )

    def values(self) -> dict[str, Any]:
        """The report for JSON."""
        return {
            "folder": str(self.root),
            "checked": self.checked,
            "fit": not self.errors,
            "verdict": self.verdict,
            "samples": self.samples,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "digest": self.digest,
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_command(root: str | os.PathLike) -> str:
    """What to type to have a folder checked."""
    return f"python -m datasets.check {shlex.quote(str(root))}"


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 mask", "3 masks"."""
    return f"{number} {noun if number == 1 else f'{noun}s'}"


def some(names: Iterable[str], at_most: int | None = NAMED_AT_MOST) -> str:
    """The first few names: "a, b, c and 4 more"; all of them where `at_most` is None. What is not UTF-8 is escaped."""
    names = sorted(name.encode(errors="backslashreplace").decode() for name in names)
    more = 0 if at_most is None else max(0, len(names) - at_most)
    return ", ".join(names[: len(names) - more]) + (f" and {more} more" if more else "")
