"""Finished batches of an evaluation on disk, so that a run that was killed goes on where it was.

    OUTPUT/unfinished/run.json        what the run is: everything that decides its numbers
    OUTPUT/unfinished/00000016.json   the batch whose first sample is the 16th: names, records, measurements, seconds

A batch's file appears whole or not at all. The same command takes the batches that are there and computes the others,
cut as before, so its records are those of an undisturbed run to the byte. A run that differs is refused, never mixed.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import make_folder, write_text_atomic
from utils.runs.engine import Batch
from utils.runs.results import SampleRecord
from utils.scoring.reliability import Answer
from utils.scoring.sample_scores import SampleScores

__all__ = ["Journal"]

FOLDER = "unfinished"
NAMED_AT_MOST = 3  # differences in one message


class Journal:
    """The finished batches of one run, by the position of their first sample.

    Attributes:
        folder: where they are.
    """

    def __init__(self, output_dir: Path, run: Mapping[str, Any]) -> None:
        """Begins the journal of a run, or goes on with it.

        Args:
            output_dir: of the run.
            run: everything that decides its numbers; JSON-serialisable.

        Raises:
            UserError: another run was left unfinished there.
        """
        self.folder = output_dir / FOLDER
        wanted = json.loads(json.dumps(run, default=str))
        path = self.folder / "run.json"
        if path.exists():
            there = _read(path)
            if there != wanted:
                raise UserError(
                    f"expected no unfinished run in {output_dir} but one of this command, found another one "
                    f"({_named(there, wanted)}); choose another --output_dir, or remove {self.folder}"
                )
        make_folder(self.folder)
        write_text_atomic(path, json.dumps(wanted, indent=1) + "\n")

    def __contains__(self, first: int) -> bool:
        """Whether the batch that begins with sample number `first` is there."""
        return self._path(first).exists()

    def read(self, first: int) -> Batch:
        """The batch that begins with sample number `first`, to the last bit as it was written."""
        values = _read(self._path(first))
        values["answers"] = {
            control: {method: [_answer(one) for one in answers] for method, answers in of_control.items()}
            for control, of_control in values["answers"].items()
        }
        values["records"] = [SampleRecord(**record) for record in values["records"]]
        return Batch(**values)

    def write(self, first: int, batch: Batch) -> None:
        """Keeps a batch; it is on disk when this returns."""
        write_text_atomic(self._path(first), json.dumps(asdict(batch), default=_packed))

    def remove(self) -> None:
        """Ends the journal: the results are written."""
        shutil.rmtree(self.folder)

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:08d}.json"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"expected the journal of a run in {path.parent}, found something else in {path.name} ({error}); "
            "remove that folder to begin anew"
        ) from error


def _packed(value: object) -> object:
    """Curves as text, bit by bit; numpy's numbers as numbers."""
    if isinstance(value, np.ndarray):
        return {"float32": base64.b64encode(value.astype("<f4").tobytes()).decode("ascii")}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected what JSON takes, found {type(value).__name__}")


def _answer(values: dict[str, Any]) -> Answer:
    scores = {
        name: np.frombuffer(base64.b64decode(value["float32"]), "<f4").astype(np.float32)
        if isinstance(value, dict)
        else value
        for name, value in values["scores"].items()
    }
    return Answer(SampleScores(**scores), values["confidence"])


def _named(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    differences = [*_differences(there, wanted, "")]
    more = f" and {len(differences) - NAMED_AT_MOST} more" if len(differences) > NAMED_AT_MOST else ""
    return "; ".join(differences[:NAMED_AT_MOST]) + more


def _differences(there: Any, wanted: Any, name: str) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in sorted(there.keys() | wanted.keys()):
            yield from _differences(there.get(key), wanted.get(key), f"{name}.{key}" if name else key)
    elif there != wanted:
        yield f"{name} {json.dumps(there)} there, {json.dumps(wanted)} here"
