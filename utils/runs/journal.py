"""Which batches of an evaluation a process measures, and the finished ones on disk, from which a killed run goes on.

    python eval.py ...                                  all of them
    accelerate launch eval.py ... / torchrun eval.py    one process per device, which wait for each other
    python eval.py ... --shard 2/8                      a part of them, on any machine that sees the output folder

Batches are dealt out in turn, so which process measures a batch is fixed and none is measured twice.

    OUTPUT/unfinished/run.json        what the run is: everything that decides its numbers
    OUTPUT/unfinished/00000016.json   the batch whose first sample is the 16th: names, records, measurements, seconds

A batch's file appears whole or not at all. The same command takes the batches that are there and computes the others,
cut as before, so its records are those of an undisturbed run to the byte. A run that differs is refused, never mixed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import make_folder, write_text_atomic
from utils.runs.gallery import Sketch
from utils.runs.provenance import differing
from utils.runs.results import SampleRecord
from utils.scoring.sample_scores import SampleScores

FOLDER = "unfinished"
NO_CURVE = np.zeros(0, np.float32)
NAMED_AT_MOST = 3  # differences in one message
LONGEST_WAIT = timedelta(days=14)  # for the slowest process


@dataclass(frozen=True)
class Shard:
    """A process's part of a run: its index from 0, the number of processes, and whether these wait for each other."""

    index: int = 0
    count: int = 1
    together: bool = False

    @property
    def leads(self) -> bool:
        """Whether this process talks to the terminal."""
        return self.index == 0 or not self.together

    @property
    def collects(self) -> bool:
        """Whether this process writes the results."""
        return self.count == 1 or (self.together and self.index == 0)

    @property
    def cores(self) -> int:
        """Processor cores for this process: those it may use, divided among the processes of its machine."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // (int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if self.together else 1))

    def device(self, device: str) -> str:
        """The device of this process: with "auto" or "cuda" each takes the GPU of its number on its machine."""
        local = os.environ.get("LOCAL_RANK")
        if not self.together or local is None or device not in ("auto", "cuda"):
            return device
        import torch

        return f"cuda:{local}" if torch.cuda.is_available() else device

    def join(self, device: str) -> Callable[[], None]:
        """Joins the processes that were started together; the networks of this one run on `device`.

        What it gives back returns when all of them have called it; at once where there are no others.
        """
        if not self.together:
            return lambda: None
        from accelerate import PartialState  # seconds to import, and needed by several processes only

        return PartialState(cpu=device == "cpu", timeout=LONGEST_WAIT).wait_for_everyone


def launched_shard() -> Shard:
    """The part of a process that `accelerate launch` or `torchrun` started; all of it for any other process."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    return Shard(int(os.environ["RANK"]), count, together=True) if count > 1 else Shard()


@dataclass(frozen=True, eq=False)
class Batch:
    """What was measured on a batch of samples.

    Attributes:
        ids: of the samples.
        counts: number of samples, of those with empty ground truth, and of those with pixels that do not count.
        answers: control -> method -> the scores of every sample.
        records: the rows of per_sample.csv, by sample, then by control, then by method.
        seconds: method -> stage -> seconds, summed over samples and controls.
        sketches: method -> one Sketch per sample, of its answer to the original sound.
    """

    ids: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"samples": 0, "gt_empty": 0, "gt_ignore": 0})
    answers: dict[str, dict[str, list[SampleScores]]] = field(default_factory=dict)
    records: list[SampleRecord] = field(default_factory=list)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    sketches: dict[str, list[Sketch]] = field(default_factory=dict)

    def add(self, further: Batch) -> list[SampleRecord]:
        """Adds the numbers of a further batch, not its sketches nor curves that nobody reads; returns its records."""
        self.ids.extend(further.ids)
        for name, count in further.counts.items():
            self.counts[name] += count
        for control, of_control in further.answers.items():
            for method, answers in of_control.items():
                kept = answers
                if control != "original":  # curves would take most of the room
                    kept = [replace(one, f_curve=NO_CURVE, iou_curve=NO_CURVE) for one in answers]
                self.answers.setdefault(control, {}).setdefault(method, []).extend(kept)
        for method, stages in further.seconds.items():
            self.add_seconds(method, stages)
        return further.records

    def add_seconds(self, method: str, stages: Mapping[str, float]) -> None:
        """Adds what a method spent in its stages."""
        spent = self.seconds.setdefault(method, {})
        for stage, seconds in stages.items():
            spent[stage] = spent.get(stage, 0.0) + seconds


class Journal:
    """The finished batches of one run, by the position of their first sample.

    Attributes:
        folder: where they are.
    """

    def __init__(self, output_dir: Path, run: Mapping[str, Any]) -> None:
        """Begins the journal of a run, or goes on with it; `run` is everything that decides its numbers, for JSON.

        Raises:
            UserError: another run was left unfinished there.
        """
        self.folder = output_dir / FOLDER
        wanted = json.loads(json.dumps(run, default=str))
        path = self.folder / "run.json"
        if path.exists() and (there := _read(path)) != wanted:
            found = sorted(differing(there, wanted), key=itemgetter(0))
            different = [
                f"{'.'.join(key)} {json.dumps(one)} there, {json.dumps(other)} here" for key, one, other in found
            ]
            more = f" and {len(different) - NAMED_AT_MOST} more" if len(different) > NAMED_AT_MOST else ""
            raise UserError(
                f"expected no unfinished run in {output_dir} but one of this command, found another one "
                f"({'; '.join(different[:NAMED_AT_MOST])}{more}); choose another --output_dir, or remove {self.folder}"
            )
        make_folder(self.folder)
        write_text_atomic(path, json.dumps(wanted, indent=1) + "\n")

    def __contains__(self, first: int) -> bool:
        """Whether the batch that begins with sample number `first` is there."""
        return self._path(first).exists()

    def read(self, first: int) -> Batch:
        """The batch that begins with sample number `first`, to the last bit as it was written."""
        values = _read(self._path(first))
        answers = {
            control: {method: [SampleScores(**one) for one in own] for method, own in of_control.items()}
            for control, of_control in values["answers"].items()
        }
        records = [SampleRecord(**record) for record in values["records"]]
        sketches = {method: [Sketch(**one) for one in own] for method, own in values["sketches"].items()}
        return Batch(**{**values, "answers": answers, "records": records, "sketches": sketches})

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
        return json.loads(path.read_text(encoding="utf-8"), object_hook=_unpacked)
    except (OSError, ValueError) as error:
        raise UserError(
            f"expected the journal of a run in {path.parent}, found something else in {path.name} ({error}); "
            "remove that folder to begin anew"
        ) from error


def _packed(value: object) -> object:
    """Curves and pictures as text, bit by bit; numpy's numbers as numbers."""
    if isinstance(value, np.ndarray):
        return {"float32": base64.b64encode(value.astype("<f4").tobytes()).decode("ascii")}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected what JSON takes, found {type(value).__name__}")


def _unpacked(value: dict[str, Any]) -> Any:
    match value:
        case {"float32": str(text)}:
            return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
        case {"bytes": str(text)}:
            return base64.b64decode(text)
    return value
