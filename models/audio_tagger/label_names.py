"""What a network calls its labels, as names people use: AudioSet's numbers and machine ids are looked up."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from utils.language.audioset import TABLE, labels

NUMBERED = re.compile(r"(LABEL_)?\d+")  # what the library writes where a checkpoint names nothing
MACHINE_ID = re.compile(r"/[mtg]/[\w-]+")  # "/m/09x0r"


def label_names(given: Sequence[str]) -> list[str]:
    """Names a network's labels.

    Args:
        given: as the checkpoint's config has them, in the network's order.

    Returns:
        As many: as given where they are names; AudioSet's names where they are AudioSet's machine ids, or where they
        are 527 mere numbers, which are taken to be in AudioSet's official order.
    """
    if len(given) == len(labels()) and all(NUMBERED.fullmatch(label) for label in given):
        return list(labels())
    if given and all(MACHINE_ID.fullmatch(label) for label in given):
        names = _names_by_machine_id()
        return [names.get(label, label) for label in given]
    return list(given)


def _names_by_machine_id() -> dict[str, str]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["mid"]: row["label"] for row in csv.DictReader(file)}
