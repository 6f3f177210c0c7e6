"""The evaluation: methods are asked without the ground truth, batch by batch; what they answer is measured and kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from utils.errors import NotFinite, UserError, first_sentence
from utils.runs.gallery import sketch
from utils.runs.journal import Batch, Ids, Journal
from utils.runs.results import SampleRecord, write_records
from utils.scoring.sample_scores import Resolution, SampleScores, measure
from utils.types import Entry, Prediction, Sample

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")  # CUDA's and MPS's, CPU's
WAY_OUT = (
    "python -m datasets.check DIR names all such files at once; then the same command goes on, or --skip_faults leaves "
    "it out"
)
RECORDED = [field.name for field in fields(SampleRecord) if hasattr(SampleScores, field.name)]

Predictions = Mapping[str, Mapping[str, Sequence[Prediction]]]  # control -> method -> one a sample


class Asked(Protocol):
    """What is needed of a method, see `methods.base.Method`."""

    listens: bool

    def prepare(self) -> None: ...

    def predict(self, samples: Sequence[Sample]) -> list[Prediction]: ...


@dataclass
class Evaluation:
    """Who is asked about samples, under which sounds, and how the answers are measured.

    Attributes:
        methods: name -> method.
        controls: name -> what gives a sample another sound; methods that do not listen hear the original only.
        forget: empties what networks and methods remember, so that what is said of a batch follows from it alone.
        groups: sample -> its group.
        threshold, resolution: see `utils.scoring.sample_scores.measure`.
        skip_faults: whether samples that cannot be read are left out, instead of ending the run.
        limit: samples that the device's memory holds at a time; None while all fit.
    """

    methods: Mapping[str, Asked]
    controls: Mapping[str, Callable[[Sample], Sample]]
    forget: Callable[[], None]
    groups: Mapping[str, str]
    threshold: float
    resolution: Resolution
    skip_faults: bool = False
    limit: int | None = None

    def run(
        self,
        batches: Sequence[Ids],
        read: Callable[[Sequence[Ids]], Iterable[Sequence[Sample | UserError]]],
        journal: Journal,
        show: Callable[[Sequence[Sample], Mapping[str, Sequence[Prediction]]], None] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """Measures the batches that the journal lacks; each is on disk at once.

        Args:
            batches: the samples of each.
            read: gives the samples of batches, with ground truth, or what is wrong with their files.
            journal: what was finished before, and is finished now.
            show: is given every batch with what the methods made of the original sound.
            quiet: whether another process talks to the terminal.

        Raises:
            UserError: a sample cannot be read, and none are to be left out.
        """
        missing = [batch for batch in batches if batch not in journal]
        if len(missing) < len(batches) and not quiet:
            done = len(batches) - len(missing)
            print(f"going on: {done} of {len(batches)} batches were measured before", flush=True)
        for method in self.methods.values() if missing else ():
            method.prepare()
        total, left = (sum(map(len, part)) for part in (batches, missing))
        try:
            with tqdm(total=total, initial=total - left, unit="sample", disable=quiet) as progress:
                for batch, found in zip(missing, read(missing), strict=True):
                    samples, skipped = self.sort_out(batch, found)
                    self.forget()
                    predictions = self.ask(samples)
                    if show and samples:  # first: what is in the journal is not asked again
                        show(samples, predictions["original"])
                    journal.write(batch, replace(self.measure(samples, predictions), skipped=skipped))
                    progress.update(len(batch))
        except BaseException as error:
            done = sum(batch in journal for batch in batches)
            on = "" if isinstance(error, UserError) else "; the same command goes on"  # the error says what to do first
            if done:
                kept = f"{done} of {len(batches)} batches are measured, and kept in {journal.folder}"
                print(f"stopped early: {kept}{on}", file=sys.stderr)
            raise
        self.forget()

    def sort_out(self, batch: Ids, found: Sequence[Sample | UserError]) -> tuple[list[Sample], dict[str, str]]:
        """The samples of a batch that can be read and heard, and why the others cannot.

        Raises:
            UserError: one cannot, and none are to be left out.
        """
        samples, faults = [], {}
        for name, one in zip(batch, found, strict=True):
            try:
                if isinstance(one, UserError):
                    raise one
                for apply in self.controls.values() if self.skip_faults else ():
                    apply(one)  # reads the sound that it is given
                samples.append(one)
            except UserError as error:
                if not self.skip_faults:
                    raise UserError(f"{error}; {WAY_OUT}") from error
                faults[name] = str(error)
                tqdm.write(f"left out: {name}: {error}", sys.stderr)
        return samples, faults

    def ask(self, samples: Sequence[Sample]) -> Predictions:
        """Predicts for as many samples at once as the device's memory holds: half of them where it does not suffice.

        What fits is found out while running, and then kept to. So where memory did not suffice, the last digits of an
        answer may depend on when that was noticed, and a run that is resumed or sharded may differ in them.

        Raises:
            UserError: one sample alone needs more memory than there is.
        """
        answers: dict[str, dict[str, list[Prediction]]] = {}
        done = 0
        while done < len(samples):
            if done:
                self.forget()
            some = samples[done : done + (self.limit or len(samples))]
            predictions = self._try(some)
            if predictions is None:
                self._halve(len(some))
                continue
            for control, of_control in predictions.items():
                for method, found in of_control.items():
                    answers.setdefault(control, {}).setdefault(method, []).extend(found)
            done += len(some)
        return answers

    def _try(self, samples: Sequence[Sample]) -> Predictions | None:
        """None where memory did not suffice; the error, which holds on to its tensors, ends with this call."""
        try:
            return self.predict(samples)
        except NotFinite as error:
            error.args = (f"{self._not_finite(samples)}: {error}",)
            raise
        except RuntimeError as error:
            if not any(words in str(error) for words in OUT_OF_MEMORY):
                raise
            if len(samples) > 1:
                return None
            said = first_sentence(error)
            raise UserError(
                f"one sample alone does not fit into the device's memory ({said}); keep the weights in half precision "
                "with --set ROLE.dtype=bfloat16, run fewer methods at once, or take a smaller config or another "
                "--device"
            ) from error

    def _not_finite(self, samples: Sequence[Sample]) -> str:
        """The first of samples, each asked by itself, of which a network has no finite numbers; or all together."""
        for sample in samples:
            try:
                self.predict([sample])
            except NotFinite:
                return f"sample {sample.id}"
        return f"samples {samples[0].id} to {samples[-1].id}, in one batch"

    def _halve(self, tried: int) -> None:
        from accelerate.utils.memory import clear_device_cache  # seconds to import

        self.limit = (tried + 1) // 2
        self.forget()
        clear_device_cache(garbage_collection=True)
        said = f"{tried} samples at a time do not fit into the device's memory; going on with {self.limit}"
        print(said, file=sys.stderr, flush=True)

    def measure(self, samples: Sequence[Sample], predictions: Predictions) -> Batch:
        """Measures all predictions for samples; the records are in an order that does not depend on their number."""
        batch = Batch()
        for index, sample in enumerate(samples):
            for control, of_control in predictions.items():
                for method, of_method in of_control.items():
                    prediction = of_method[index]
                    scores = measure(sample, prediction, self.threshold, self.resolution)
                    batch.answers.setdefault(control, {}).setdefault(method, []).append(scores)
                    names = (sample.id, self.groups[sample.id], control, method)
                    numbers = {name: getattr(scores, name) for name in RECORDED}
                    query = "; ".join(query.text for query in prediction.queries)
                    reason = prediction.trail.get("reason") or ""
                    batch.records.append(SampleRecord(*names, **numbers, query=query, reason=reason))
                    batch.add_seconds(method, prediction.trail.get("seconds", {}))
                    if control == "original":
                        batch.sketches.setdefault(method, []).append(sketch(prediction, self.threshold))
            batch.ids.append(sample.id)
            if sample.gt_ignore is not None and sample.gt_ignore.any():
                batch.ignoring.append(sample.id)
        return batch

    def predict(self, samples: Sequence[Sample]) -> Predictions:
        """What each method answers under each audio control; those that do not listen are asked once."""
        listening = {name: method for name, method in self.methods.items() if method.listens}
        predictions = {}
        for control, apply in self.controls.items():
            try:
                heard = list(map(apply, samples))
            except UserError as error:
                raise UserError(f"{error}; {WAY_OUT}") from error
            asked = self.methods if control == "original" else listening
            predictions[control] = {name: predict_blind(method, heard) for name, method in asked.items()}
        return predictions


def predict_blind(method: Asked, samples: Sequence[Sample]) -> list[Prediction]:
    """A method's predictions for samples whose ground truth it is not given, nor their names: IS3's say what sounds.

    Raises:
        ValueError: not one score map per sample, or not of its image's size.
    """
    blind = [replace(sample, id=str(index), gt_mask=None, gt_ignore=None) for index, sample in enumerate(samples)]
    predictions = method.predict(blind)
    if len(predictions) != len(samples):
        raise ValueError(f"expected {len(samples)} predictions of {method}, found {len(predictions)}")
    for sample, prediction in zip(samples, predictions, strict=True):
        if prediction.score_map.shape != sample.image.shape[:2]:
            found = f"{prediction.score_map.shape} of {method}"
            raise ValueError(f"expected a score map of {sample.image.shape[:2]} for sample {sample.id}, found {found}")
    return predictions


def collect(ids: Iterable[str], journal: Journal, path: Path, entries: Mapping[str, Entry]) -> Batch:
    """Adds up all batches in the order of the samples and writes their records, with what is known of each sample
    (`entries`), as per_sample.csv.

    Raises:
        UserError: a batch is not there.
    """
    total, batch_of = Batch(), {one: batch for batch in journal.batches for one in batch}
    parts = ((batch, set(some)) for batch, some in groupby(ids, batch_of.get))
    rows = (row for batch, some in parts for row in total.add(journal.read(batch).only(some)))
    kinds = {one: "; ".join(entry.categories) for one, entry in entries.items()}
    write_records((replace(row, category=kinds[row.id], scenario=entries[row.id].scenario) for row in rows), path)
    return total
