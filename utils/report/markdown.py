"""A report as GitHub-flavoured Markdown: the same sentences and tables, without charts, to paste into an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import singledispatch
from html import escape
from urllib.parse import quote

from utils.report.blocks import (
    Bullets,
    Cell,
    ChartTable,
    Code,
    Command,
    Definitions,
    Document,
    Fold,
    Link,
    Paragraph,
    Picture,
    Sample,
    Section,
    Strong,
    Subsection,
    Table,
    Words,
)
from utils.report.charts import Histogram, Panels

__all__ = ["to_markdown"]

SPACE = re.compile(r"\s+")
SPECIAL = re.compile(r"([\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_]))")


def to_markdown(document: Document) -> str:
    """Writes a report as Markdown."""
    parts = [f"# {_text(document.title)}: evaluation"]
    parts.append("\n".join(f"- {_text(term)}: {_inline(words)}" for term, words in document.facts))
    parts.append("## At a glance")
    parts.append(
        "\n".join(
            f"- {_text(one.question)} {_inline(one.answer)}. {_inline(one.explanation)}" for one in document.answers
        )
    )
    parts += _all(document.sections)
    return "\n\n".join(parts) + "\n"


def _all(blocks: Iterable[object]) -> Iterator[str]:
    return (text for block in blocks if (text := _block(block)))


@singledispatch
def _block(block: object) -> str:
    """Charts of which a table says the same are left out."""
    return ""


@_block.register
def _(block: Section) -> str:
    return "\n\n".join([f"## {_text(block.title)}", *_all(block.blocks)])


@_block.register
def _(block: Subsection) -> str:
    return "\n\n".join([f"### {_text(block.title)}", *_all(block.blocks)])


@_block.register
def _(block: Paragraph) -> str:
    words = _inline(block.words)
    return f"> **Note:** {words}" if block.look == "warning" else words


@_block.register
def _(block: Bullets) -> str:
    return "\n".join(f"- {_inline(item)}" for item in block.items)


@_block.register
def _(block: Command) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
    return f"{fence}\n{block.text}\n{fence}"


@_block.register
def _(block: Definitions) -> str:
    return "\n".join(f"- **{_text(term)}**: {_text(meaning)}" for _, term, meaning in block.items)


@_block.register
def _(block: Fold) -> str:
    inner = "\n\n".join(_all(block.blocks))
    if not inner:
        return ""
    return f"<details><summary>{_text(block.summary)}</summary>\n\n{inner}\n\n</details>"


@_block.register
def _(block: Table) -> str:
    heads = [" ".join([_text(one.title), *(f"({_text(remark)})" for remark in one.remarks)]) for one in block.headers]
    rule = ["---", *(("---:" if block.numeric else "---") for _ in heads[1:])]
    rows = [[_cell(cell) for cell in row] for row in block.rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [heads, rule, *rows])
    return f"{_inline(block.caption)}\n\n{table}"


@_block.register
def _(block: ChartTable) -> str:
    return _block(block.table)


@_block.register
def _(block: Panels) -> str:
    return "\n".join(_all(block.charts))


@_block.register
def _(block: Histogram) -> str:
    return f"- **{_text(block.caption)}**: {_text(block.said)}"


@_block.register
def _(block: Sample) -> str:
    rows = [
        f"| {_text(one.title)} | {_text(one.verdict)} | {_said(one, 'heard')} | {_said(one, 'asked')} | {_link(one)} |"
        for one in block.answers
    ]
    table = "\n".join(["| method | verdict | heard | asked | map |", "| --- | --- | --- | --- | --- |", *rows])
    return f"### {_text(block.title)}\n\n{_text(block.facts)}: {', '.join(map(_link, block.given))}\n\n{table}"


def _cell(cell: Cell) -> str:
    words = _inline(cell.words)
    text = f"**{words}**" if cell.bold else words
    return f"{text} ({_text(cell.note)})" if cell.note else text


def _said(picture: Picture, label: str) -> str:
    return _text("; ".join(text for found, text in picture.said if found == label))


def _link(picture: Picture) -> str:
    return f"[{_text(picture.title)}]({quote(picture.path)})"


def _inline(words: Words) -> str:
    return "".join(_piece(one) for one in ([words] if isinstance(words, str) else words))


def _piece(one: str | Strong | Code | Link) -> str:
    if isinstance(one, str):
        return _text(one)
    return f"**{_text(one.text)}**" if isinstance(one, Strong) else _code(one.text)


def _code(text: str) -> str:
    """A code span; where its marks or a table's would break it, plain text."""
    text = " ".join(text.split())
    return _text(text) if "`" in text or "|" in text or not text else f"`{text}`"


def _text(text: str) -> str:
    """Any text on one line, none of it markup."""
    return SPECIAL.sub(r"\\\1", escape(SPACE.sub(" ", text), quote=False))
