"""What a person knows of his own samples: `labels.csv`, read where a dataset folder has no `manifest.json`.

    stem,category,group,scenario
    kitchen_1,dog,kitchen,single
    kitchen_2,dog; radio,kitchen,multi

`stem` is the files' name without its ending. Of the other columns at least one is there: what sounds (several separated
by ; or |), what belongs together, and how the sample came about. An empty cell says nothing: a sample without a group
is by itself. Spreadsheets write commas, semicolons or tabs, with a mark of the encoding in front or none: all are read.
"""

from __future__ import annotations

import csv
import filecmp
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from datasets.findings import count, some
from utils.errors import UserError
from utils.scoring.bootstrap import by_group
from utils.types import Entry

LABELS = "labels.csv"
STEM, COLUMNS = "stem", ("category", "group", "scenario")
SEPARATORS = ",;\t"
BETWEEN = re.compile(r"\s*[;|]\s*")  # of categories
ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # by the mark in front


def read_labels(path: Path) -> dict[str, Entry]:
    """What a labels.csv says: stem (Unicode NFC) -> entry, of which only the mask knows whether it is blank.

    Raises:
        UserError: it cannot be read; one sentence names all that is wrong with it.
    """
    entries, faults = look_at_labels(path)
    if faults:
        raise _wrong(f"expected one row for each sample in {path}, found {', '.join(faults)}")
    return entries


def look_at_labels(path: Path) -> tuple[dict[str, Entry], list[str]]:
    """What the rows of a labels.csv say, and what is wrong with others of them; of several for a stem the first counts.

    Raises:
        UserError: it cannot be read as a table with these columns.
    """
    names, rows = _table(path)
    known = [name for name in COLUMNS if name in names]
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if STEM not in names or not known or twice:
        found = f"{some(twice)} twice" if twice else (some(filter(None, names)) or "none")
        raise _wrong(f"expected the columns {STEM} and {', '.join(COLUMNS)} in {path}, found {found}")
    entries: dict[str, Entry] = {}
    no_stem, ragged, again = [], [], {}
    for number, cells in rows:
        values = dict(zip(names, map(str.strip, cells), strict=False))
        stem = unicodedata.normalize("NFC", values.get(STEM, ""))
        if any(map(str.strip, cells[len(names) :])) or len(cells) < len(names):
            ragged.append(f"line {number}")
        if not stem:
            no_stem.append(f"line {number}")
        elif stem in entries:
            again[stem] = number
        else:
            categories = dict.fromkeys(filter(None, BETWEEN.split(values.get("category", ""))))
            group = values.get("group") or stem
            entries[stem] = Entry(group, tuple(categories), values.get("scenario", ""), blank=None)
    found = (
        ("row", "without a stem", no_stem),
        ("row", f"with another number of cells than the {len(names)} columns", ragged),
        ("stem", "in several rows", again),
    )
    faults = [f"{count(len(lines), what)} {which} ({some(lines)})" for what, which, lines in found if lines]
    return entries, faults if entries or faults else ["no row"]


def unread_columns(path: Path) -> list[str]:
    """Columns that mean nothing here; those of a misspelled name are among them. Raises as `read_labels` does."""
    return [name for name in _table(path)[0] if name and name not in (STEM, *COLUMNS)]


def group_unit(entries: Mapping[str, Entry], images: Mapping[str, Path]) -> str:
    """What a group is: an "image" where its samples have the same picture, else a "clip"; "sample" without groups."""
    groups = [[stem for stem in group if stem in images] for group in by_group(entries, lambda one: entries[one].group)]
    beside = [pair for group in groups for pair in pairwise(group)]
    if not beside:
        return "sample"
    try:
        same = all(filecmp.cmp(images[first], images[second], shallow=False) for first, second in beside)
    except OSError:  # told elsewhere
        same = False
    return "image" if same else "clip"


def _table(path: Path) -> tuple[list[str], Sequence[tuple[int, list[str]]]]:
    """The columns' names in small letters, and the rows that are not empty with their lines."""
    try:
        content = path.read_bytes()
        text = content.decode(ENCODINGS.get(content[:2], "utf-8-sig"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give permission, or move it away") from error
    except UnicodeDecodeError as error:
        raise _wrong(f"expected {path} in UTF-8, found another encoding", 'save it as "CSV UTF-8"') from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines and re.fullmatch(r'"?sep=.?"?', lines[0].strip(), re.I):  # a spreadsheet's hint to itself
        lines[0] = ""
    head = next((line for line in lines if line.strip()), "")
    separator = max(SEPARATORS, key=head.count)
    try:
        reader = csv.reader(lines, delimiter=separator, strict=True)
        rows = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise _wrong(f"expected {path} to be a table, found a row that cannot be read ({error})") from error
    names = [name.strip().lower() for name in rows[0][1]] if rows else []
    return names, rows[1:]


def _wrong(found: str, advice: str = "mend it, or move it away") -> UserError:
    return UserError(f"{found}; {advice}")
