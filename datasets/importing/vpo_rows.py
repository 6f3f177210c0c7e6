"""The lists of VPO: csv files in which a row is one object in a photograph and the sound it was given."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError

__all__ = ["CATEGORIES", "SPLITS", "Row", "read_rows"]

SPLITS = {"test": ("test", "val"), "train": ("train",)}  # as its authors read it: "val" is the test split
CATEGORIES = {  # COCO's numbers; those above 90 are VPO's own
    **{3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 16: "bird", 17: "cat", 18: "dog", 19: "horse"},
    **{20: "sheep", 21: "cow", 22: "elephant", 24: "zebra", 37: "sports ball", 41: "skateboard"},
    **{43: "tennis racket", 74: "mouse", 76: "keyboard", 77: "cell phone", 92: "male", 93: "female", 94: "baby"},
}
COLUMNS = ("img_Id", "ann_Ids", "cateId", "cateName", "vgg_file", "split")


@dataclass(frozen=True)
class Row:
    """One object and its sound.

    Attributes:
        image: the photograph's name, COCO's number in twelve digits.
        annotation: COCO's number of the object, as short as it is.
        category: a key of CATEGORIES.
        name: the category's, which is also a folder of VPO-SS.
        recording: file name of the sound without its suffix.
        position: where a stereo recording has it, 0 left to 1 right; None where the list does not say.
        multi_instance: whether the row belongs to a photograph with several things of one category; None where the
            list does not say.
    """

    image: str
    annotation: str
    category: int
    name: str
    recording: str
    position: float | None
    multi_instance: bool | None


def read_rows(path: Path, split: str, further_columns: tuple[str, ...] = ()) -> list[Row]:
    """Reads the rows of one split.

    Args:
        path: csv file in UTF-8, with or without a byte order mark.
        split: a key of SPLITS.
        further_columns: columns that must be there beside COLUMNS.

    Raises:
        UserError: it is no csv file with VPO's columns, or a value is not what its column holds.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            wanted, found = (*COLUMNS, *further_columns), reader.fieldnames or []
            if not set(wanted) <= set(found):
                raise UserError(
                    f"expected the columns {', '.join(wanted)} in {path}, found {', '.join(found) or 'none'}; "
                    "download VPO again"
                )
            return [_row(values, f"{path} line {reader.line_num}") for values in reader if _is_in(values, split)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the list {path}: {error}; download VPO again") from error


def _is_in(values: Mapping[str, str | None], split: str) -> bool:
    return (values["split"] or "").strip() in SPLITS[split]


def _row(values: Mapping[str, str | None], where: str) -> Row:
    annotation = re.sub(r"\.0\b", "", values["ann_Ids"] or "")  # 157452.0: a column that once held a gap
    category = int(_number(values, "cateId", where))
    name, recording = ((values[column] or "").strip() for column in ("cateName", "vgg_file"))
    if category not in CATEGORIES or not name or not recording or not re.search(r"\d", annotation):
        raise UserError(
            f"expected an annotation, one of VPO's {len(CATEGORIES)} categories and a recording in {where}, found "
            f"ann_Ids {annotation!r}, cateId {category}, cateName {name!r}, vgg_file {recording!r}; download VPO again"
        )
    return Row(
        image=f"{int(_number(values, 'img_Id', where)):012d}",
        annotation="-".join(number.lstrip("0") or "0" for number in re.findall(r"\d+", annotation)),
        category=category,
        name=name,
        recording=recording.removesuffix(".wav"),
        position=_number(values, "audio_pos", where) if values.get("audio_pos") else None,
        multi_instance=bool(_number(values, "multi_instance", where)) if "multi_instance" in values else None,
    )


def _number(values: Mapping[str, str | None], column: str, where: str) -> float:
    try:
        number = float(values[column] or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"expected a number as {column} in {where}, found {values[column]!r}; download VPO again")
    return number
