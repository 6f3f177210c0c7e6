"""What a report is made of, before it is HTML or Markdown: sections of words, tables, charts and pictures.

Conventions:
    Words: a text, or several pieces of which some stand out. Nothing is escaped here; that is for who writes it.
    Charts are drawn in HTML only; what they show also stands in words or in a table.
    Positions on a scale: percent of its length, 0 to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Answer",
    "Bullets",
    "Cell",
    "ChartTable",
    "Code",
    "Command",
    "Definitions",
    "Document",
    "Fold",
    "Header",
    "Link",
    "Paragraph",
    "Picture",
    "Sample",
    "Section",
    "Strong",
    "Subsection",
    "Table",
    "Words",
    "plain",
]


@dataclass(frozen=True)
class Strong:
    """Stands out."""

    text: str


@dataclass(frozen=True)
class Code:
    """A name, an id, a command: shown as it is."""

    text: str


@dataclass(frozen=True)
class Link:
    """Leads to another place of the report, by its id."""

    text: str
    target: str


Words = str | tuple["str | Strong | Code | Link", ...]


def plain(words: Words) -> str:
    """The text alone."""
    return words if isinstance(words, str) else "".join(one if isinstance(one, str) else one.text for one in words)


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; a "note" is smaller, a "warning" louder."""

    words: Words
    look: Literal["text", "note", "warning"] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[Words]


@dataclass(frozen=True)
class Command:
    """Something to paste into a shell."""

    text: str


@dataclass(frozen=True)
class Answer:
    """One question that a reader has, answered in a few words; `mood` also shows as a word and a sign."""

    question: str
    answer: Words
    explanation: Words
    mood: Literal["yes", "unsure", "no", "plain"] = "plain"


@dataclass(frozen=True)
class Header:
    """A column's head: its title, remarks below it, and the id of its definition, if it has one."""

    title: str
    remarks: Sequence[str] = ()
    target: str | None = None


@dataclass(frozen=True)
class Cell:
    """A table's cell: the text, a smaller note below it, a bar of this share (0 to 1) behind, bold or not."""

    words: Words
    note: str = ""
    share: float | None = None
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """The first cell of a row is the row's head; `numeric` aligns all others to the right.

    `starts` are the indices of rows that begin a new block of rows.
    """

    caption: Words
    headers: Sequence[Header]
    rows: Sequence[Sequence[Cell]]
    numeric: bool = True
    starts: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ChartTable:
    """What the chart before it shows, as a table: folded away beside the chart, open where there are no charts."""

    table: Table


@dataclass(frozen=True)
class Definitions:
    """(id, term, what it means)."""

    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Fold:
    """Something long that is opened when wanted."""

    summary: str
    blocks: Sequence[object]


@dataclass(frozen=True)
class Picture:
    """A picture of the run's folder; `verdict` is a word on it, `story` the trail: (label, text)."""

    path: str
    alt: str
    title: str
    verdict: str = ""
    good: bool | None = None
    said: Sequence[tuple[str, str]] = ()
    story: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Sample:
    """One sample with its pictures; those of the baselines are folded away."""

    id: str
    title: str
    facts: str
    given: Sequence[Picture]
    answers: Sequence[Picture]
    baselines: Sequence[Picture] = ()


@dataclass(frozen=True)
class Subsection:
    """Part of a section, with a heading."""

    id: str
    title: str
    blocks: Sequence[object]


@dataclass(frozen=True)
class Section:
    """Part of a report, with a heading and a line in the table of contents."""

    id: str
    title: str
    blocks: Sequence[object]


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    facts: Sequence[tuple[str, Words]]
    answers: Sequence[Answer]
    sections: Sequence[Section] = field(default_factory=tuple)
