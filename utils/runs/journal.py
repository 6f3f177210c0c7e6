"""The finished batches of an evaluation on disk, from which a killed run goes on.

    OUTPUT/unfinished/run.json           what the run is: everything that decides its numbers, and its batches
    OUTPUT/unfinished/batch_1f0c....json a batch: names, records, measurements, seconds
    OUTPUT/unfinished/lock               held by the processes at work

A batch's file appears whole or not at all, is named by a digest of all that decides what is said of the batch, and has
a digest of what it holds; where either does not agree it counts as none. The same command takes the batches that are
there and computes the others, cut as before, so its records are those of an undisturbed run to the byte. A run that
differs is refused, never mixed; samples that were mended, added or removed cost their own batches only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.files import lock_bytes, make_own_folder, write_text_atomic
from utils.runs.gallery import Sketch
from utils.runs.provenance import differing
from utils.runs.results import SampleRecord
from utils.runs.shards import Shard
from utils.scoring.sample_scores import SampleScores

FOLDER = "unfinished"
MARK = "unfinished run of eval.py, 3"  # with the version of the layout
LOCK = "lock"
RECORD = r"(run|batch_[0-9a-f]{64})\.json"
BEGUN = rf"lock|\.{RECORD}\.[0-9]+\.partial"  # what is there before run.json is
OURS = rf"{RECORD}|{BEGUN}"
FLOATS, BYTES = "/float32", "/bytes"  # in JSON, what stands for them; no sample is called so
NO_CURVE = np.zeros(0, np.float32)
NAMED_AT_MOST = 3  # differences in one message


@dataclass(frozen=True, eq=False)
class Batch:
    """What was measured on a batch of samples.

    Attributes:
        skipped: sample that could not be read -> why; it is nowhere else.
        ids: of the samples.
        ignoring: of those with pixels that do not count.
        answers: control -> method -> the scores of every sample.
        records: the rows of per_sample.csv, by sample, then by control, then by method.
        seconds: method -> stage -> seconds, summed over samples and controls.
        sketches: method -> one Sketch per sample, of its answer to the original sound.
    """

    skipped: dict[str, str] = field(default_factory=dict)  # the first, see WHOLE
    ids: list[str] = field(default_factory=list)
    ignoring: list[str] = field(default_factory=list)
    answers: dict[str, dict[str, list[SampleScores]]] = field(default_factory=dict)
    records: list[SampleRecord] = field(default_factory=list)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    sketches: dict[str, list[Sketch]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Number of samples, of those with empty ground truth, and of those with pixels that do not count."""
        one = next(iter(self.answers.get("original", {}).values()), [])
        empty = sum(scores.gt_empty for scores in one)
        return {"samples": len(self.ids), "gt_empty": empty, "gt_ignore": len(self.ignoring)}

    def only(self, ids: Collection[str]) -> Batch:
        """What it holds of some samples; the seconds go with the first."""
        rows = [row for row, one in enumerate(self.ids) if one in ids]
        return Batch(
            skipped={one: why for one, why in self.skipped.items() if one in ids},
            ids=[self.ids[row] for row in rows],
            ignoring=[one for one in self.ignoring if one in ids],
            answers={
                control: {method: [own[row] for row in rows] for method, own in of_control.items()}
                for control, of_control in self.answers.items()
            },
            records=[record for record in self.records if record.id in ids],
            seconds=self.seconds if 0 in rows else {},
            sketches={method: [own[row] for row in rows] for method, own in self.sketches.items()},
        )

    def add(self, further: Batch) -> list[SampleRecord]:
        """Adds the numbers of a further batch, not its sketches nor curves that nobody reads; returns its records."""
        self.skipped.update(further.skipped)
        self.ids.extend(further.ids)
        self.ignoring.extend(further.ignoring)
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


Ids = tuple[str, ...]  # of a batch
WHOLE = '{"skipped": {}, '  # how the record of a batch begins of which nothing was skipped


class Journal:
    """The finished batches of one run.

    Attributes:
        folder: where they are.
        batches: the samples of each batch.
    """

    def __init__(
        self,
        output_dir: Path,
        run: Mapping[str, Any],
        samples: Mapping[str, Any],
        cut: Callable[[Sequence[str]], Sequence[Sequence[str]]],
        shard: Shard | None = None,
        skip_faults: bool = False,
    ) -> None:
        """Begins the journal of a run, or goes on with it.

        Args:
            output_dir: of the run.
            run: everything that decides its numbers but the samples, for JSON.
            samples: sample -> all that decides what is said of it, for JSON; in the order of the data set.
            cut: from samples to batches.
            shard: the part of it that is measured here; None for all.
            skip_faults: whether batches of which samples were skipped count as finished.

        Raises:
            UserError: another run was left unfinished there, another process is at work, the folder is not a run's.
        """
        refuse_foreign(output_dir)
        self.folder, self._skip_faults = output_dir / FOLDER, skip_faults
        self._known = {one: digest(what) for one, what in samples.items()}
        run = json.loads(json.dumps(run, default=str))  # as it comes back from a file
        self._run = digest(run)
        make_own_folder(self.folder)
        self._hold(shard or Shard())
        there = _read(self.folder / "run.json")
        if there:
            self._refuse_other(there, run, output_dir)
        planned = [[one for one in batch if one in samples] for batch in (there or {}).get("batches", ())]
        new = samples.keys() - {one for batch in planned for one in batch}
        planned += cut([one for one in samples if one in new])
        self.batches: list[Ids] = [tuple(batch) for batch in planned if batch]
        values = {"journal": MARK, "run": run, "samples": self._known, "batches": self.batches}
        _write(self.folder / "run.json", json.dumps(values))

    def __contains__(self, batch: Ids) -> bool:
        """Whether a batch is there as it was written; where it is not, and something else is, that is said."""
        body = _sealed(path := self._path(batch))
        if body is None and os.path.lexists(path):
            found = f"{path} is not as a run wrote it: what it held ({_names(batch)}) is measured again"
            print(found, file=sys.stderr, flush=True)
        return body is not None and (self._skip_faults or body.startswith(WHOLE))

    def read(self, batch: Ids) -> Batch:
        """A batch that is there, to the last bit as it was written.

        Raises:
            UserError: it is not, or not any more.
        """
        values = _read(self._path(batch))
        if values is None:
            raise UserError(
                f"expected what was measured of {_names(batch)} in {self._path(batch)}, found something else; run the "
                "same command again, it measures them"
            )
        answers = {
            control: {method: [SampleScores(**one) for one in own] for method, own in of_control.items()}
            for control, of_control in values["answers"].items()
        }
        records = [SampleRecord(**record) for record in values["records"]]
        sketches = {method: [Sketch(**one) for one in own] for method, own in values["sketches"].items()}
        return Batch(**{**values, "answers": answers, "records": records, "sketches": sketches})

    def write(self, batch: Ids, measured: Batch) -> None:
        """Keeps what was measured of a batch; it is on disk when this returns."""
        _write(self._path(batch), json.dumps(asdict(measured), default=_packed))

    def remove(self) -> None:
        """Ends the journal: the results are written. Files that are none of a run stay, and then the folder does."""
        for path in self.folder.iterdir():
            if re.fullmatch(OURS, path.name) and path.name != LOCK:
                path.unlink()
        (self.folder / LOCK).unlink(missing_ok=True)  # last: who has it is alone here
        self.close()
        try:
            self.folder.rmdir()
        except OSError:
            found = ", ".join(sorted(path.name for path in self.folder.iterdir()))
            print(f"{self.folder} stays: not of this run is {found}", file=sys.stderr)

    def close(self) -> None:
        """Lets other processes at it."""
        if self._lock:
            self._lock.close()

    def _path(self, batch: Ids) -> Path:
        return self.folder / f"batch_{digest([self._run, [[one, self._known[one]] for one in batch]])}.json"

    def _hold(self, shard: Shard) -> None:
        """Holds this process's part of the lock for as long as it lives."""
        self._lock = None
        if shard.locked is None:
            return
        try:
            self._lock = lock_bytes(self.folder / LOCK, *shard.locked)
        except BlockingIOError as error:
            raise UserError(
                f"expected no other process at work on this in {self.folder.parent}, found one; wait until it has "
                "ended, give each its own part with --shard I/N, or choose another --output_dir"
            ) from error
        except OSError as error:
            said = f"{self.folder} cannot be locked ({error.strerror}): see that no other process does the same there"
            print(said, file=sys.stderr, flush=True)

    def _refuse_other(self, there: Mapping[str, Any], run: Mapping[str, Any], output_dir: Path) -> None:
        """Refuses a journal of other settings, or of other data: most of its samples are not here as they were."""
        found = sorted(differing(there["run"], run), key=itemgetter(0))
        different = [f"{'.'.join(key)} {json.dumps(one)} there, {json.dumps(other)} here" for key, one, other in found]
        same = sum(self._known.get(one) == known for one, known in there["samples"].items())
        if not found and 2 * same < len(there["samples"]) and any(self.folder.glob("batch_*.json")):
            different = [f"{same} of its {len(there['samples'])} samples are in this data set as they were"]
        if different:
            self.close()
            more = f" and {len(different) - NAMED_AT_MOST} more" if len(different) > NAMED_AT_MOST else ""
            raise UserError(
                f"expected no unfinished run in {output_dir} but one of this command, found another one "
                f"({'; '.join(different[:NAMED_AT_MOST])}{more}); choose another --output_dir, or remove {self.folder}"
            )


def refuse_foreign(output_dir: Path) -> None:
    """Refuses an output folder in which the journal's folder is not one, or no run's; called before the long work.

    Raises:
        UserError: so it is.
    """
    folder = output_dir / FOLDER
    if not os.path.lexists(folder):
        return
    make_own_folder(folder)
    paths = list(folder.iterdir())  # first: another process of this run may be about to begin it
    begun = all(re.fullmatch(BEGUN, path.name) and not path.is_dir() for path in paths)
    values = _read(folder / "run.json")
    if not begun and (values is None or values["journal"] != MARK):
        raise UserError(
            f"expected the journal of a run of eval.py in {folder}, found something else (no run.json of one, or a "
            "changed one); move that folder away, or choose another --output_dir"
        )


def digest(value: Any) -> str:
    """SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()


def _names(batch: Ids) -> str:
    return batch[0] if len(batch) == 1 else f"{batch[0]} to {batch[-1]}"


def _write(path: Path, body: str) -> None:
    write_text_atomic(path, _seal(path, body))


def _seal(path: Path, body: str) -> str:
    """JSON with a digest of the file's name and of what it holds."""
    sha256 = hashlib.sha256(f"{path.name}\n{body}".encode()).hexdigest()
    return f'{{"sha256": "{sha256}", "content":\n{body}\n}}\n'


def _sealed(path: Path) -> str | None:
    """What a file holds, as JSON; None where there is none, or it is not as `_write` wrote it."""
    if not path.is_file():
        return None
    try:
        text = path.read_bytes().decode()
    except (OSError, ValueError):
        return None
    body = "\n".join(text.split("\n")[1:-2])
    return body if text == _seal(path, body) else None


def _read(path: Path) -> Any:
    body = _sealed(path)
    return None if body is None else json.loads(body, object_hook=_unpacked)


def _packed(value: object) -> object:
    """Curves and pictures as text, bit by bit; numpy's numbers as numbers."""
    if isinstance(value, np.ndarray):
        return {FLOATS: base64.b64encode(value.astype("<f4").tobytes()).decode("ascii")}
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected what JSON takes, found {type(value).__name__}")


def _unpacked(value: dict[str, Any]) -> Any:
    if FLOATS in value:
        return np.frombuffer(base64.b64decode(value[FLOATS]), "<f4").astype(np.float32)
    return base64.b64decode(value[BYTES]) if BYTES in value else value
