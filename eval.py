"""Scores connection strategies on a dataset folder: tables, results.json, one record per sample, and a report.

python eval.py --methods cross_modal --test_data_path /your/dataset/path/
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import methods
from utils.cli import add_data_options, add_measure_options, add_run_options
from utils.errors import UserError, run_script

if TYPE_CHECKING:
    from datasets.controls import AudioControls
    from datasets.folder import FolderDataset
    from methods.base import Method
    from models.config import Config
    from models.stage_cache import DiskCache
    from utils.runs.engine import ScoreBook
    from utils.runs.journal import Journal
    from utils.runs.results import EvalResults
    from utils.types import Prediction, Sample

BASELINES = ("nothing", "everything", "centre", "image_only")


def main(argv: Sequence[str] | None = None) -> EvalResults | None:
    """Runs the evaluation that a command line describes.

    Args:
        argv: arguments without the script's name; None takes the process's own.

    Returns:
        What was written to results.json; None where only an explanation was asked for, or a part of the run measured.

    Raises:
        UserError: the dataset, the configuration or a name is wrong.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    arguments = parse_arguments(argv)
    if arguments.explain is not None:
        from utils.scoring.protocols import explain

        print(explain(arguments.explain))
        return None
    dataset = open_dataset(arguments.test_data_path, arguments.limit)
    data = dataset.describe()  # before the run, which may take hours
    from datasets.batches import cut_batches
    from datasets.controls import AudioControls
    from models.config import load_config  # from here on imports take seconds, which no mistake so far should wait for
    from models.loading import load_models, resolve_device
    from models.stage_cache import DiskCache
    from utils.files import make_folder
    from utils.report import write_report
    from utils.report.terminal import format_tables
    from utils.runs import provenance
    from utils.runs.engine import describe_measurement
    from utils.runs.journal import Journal
    from utils.runs.results import SCHEMA, EvalResults, write_results
    from utils.runs.shards import cores_of, device_of, launched_share, wait_for_all
    from utils.scoring.protocols import Setting, applicable
    from utils.scoring.summary import summarise

    applicable(arguments.protocols, Setting())
    entries, group_unit = dataset.entries(arguments.group_size)
    controls = AudioControls(dataset, arguments.audio_control, arguments.seed or 0)
    config = load_config(arguments.config, arguments.set, methods.available())
    names = list(dict.fromkeys((*arguments.methods, *arguments.baselines)))
    settings = {name: method_settings(name, config, arguments.seed) for name in names}
    roles = [role for name in settings for role in methods.requires(name)]
    make_folder(arguments.output_dir)
    share = arguments.shard or launched_share()
    device = resolve_device(device_of(share, arguments.device))
    wait = wait_for_all(share, device)
    if arguments.num_workers is None:
        arguments.num_workers = 0 if device == "cpu" else min(4, cores_of(share))

    if share.leads:
        print(f"config {config.name}: {config.summary}", flush=True)
    cache = DiskCache(arguments.cache, arguments.cache_gb) if arguments.cache else None
    models = load_models(config, roles, device, cache)
    strategies = {name: create(name, models, values, cache) for name, values in settings.items()}
    groups = {name: entry.group for name, entry in entries.items()}
    batches = cut_batches([groups[name] for name in dataset.ids], arguments.batch_size)
    commit, uncommitted_changes = provenance.git_state(Path(__file__).parent)
    origins = {role: getattr(model, "provenance", None) for role, model in models.items()}
    measurement = describe_measurement(arguments.threshold, arguments.resolution)
    run = {  # what decides the numbers
        "data": {name: value for name, value in data.items() if name != "path"},
        "latest_change": dataset.layout.latest_change(dataset.ids),
        "groups": arguments.group_size,
        "config": config.roles,
        "models": origins,
        "methods": settings,
        "measurement": measurement,
        "audio_controls": [controls.names, arguments.seed or 0],
        "batch_size": arguments.batch_size,
        "cache": cache is not None,
        "code": [commit, uncommitted_changes],
        "versions": {name: version for name, version in provenance.versions().items() if name != "platform"},
        "device": device.split(":")[0],
    }
    journal = Journal(arguments.output_dir, run)
    start = perf_counter()
    own = [batch for position, batch in enumerate(batches) if share.takes(position)]
    measure(dataset, own, groups, strategies, controls, journal, share.leads, arguments)
    wait()
    if not share.collects:
        if not share.together:
            print(f"part {share.index + 1} of {share.count} is measured; the same command without --shard collects all")
        return None
    book = collect(batches, journal, arguments.output_dir)
    seconds = perf_counter() - start
    summary = summarise(
        book.answers,
        book.ids,
        [entries[name] for name in book.ids],
        group_unit=group_unit,
        threshold=arguments.threshold,
        protocols=arguments.protocols,
        draws=arguments.draws,
    )
    results = EvalResults(
        schema=SCHEMA,
        command=provenance.command_line("eval.py", argv),
        date=provenance.current_date(),
        commit=commit,
        uncommitted_changes=uncommitted_changes,
        versions=provenance.versions(),
        config={"name": config.name, "path": str(config.path), "roles": config.roles, "methods": settings},
        models=origins,
        device=device,
        data={**data, **book.counts},
        measurement=measurement,
        seeds={"given": arguments.seed, "audio_controls": arguments.seed or 0, "bootstrap": summary.intervals["seed"]},
        seconds={"total": round(seconds, 1), "methods": book.seconds},
        methods={name: {"listens": methods.listens(name)} for name in strategies},
        gallery=draw_gallery(dataset, strategies, summary.samples, entries, arguments),
        **asdict(summary),
    )
    write_results(results, arguments.output_dir / "results.json")
    write_report(arguments.output_dir)
    journal.remove()
    print(f"\n{format_tables(asdict(results))}\n\nwritten to {arguments.output_dir}: report.html, report.md, ", end="")
    print("results.json, per_sample.csv")
    return results


def measure(
    dataset: FolderDataset,
    batches: Sequence[range],
    groups: Mapping[str, str],
    strategies: Mapping[str, Method],
    controls: AudioControls,
    journal: Journal,
    leads: bool,
    arguments: argparse.Namespace,
) -> None:
    """Runs every method over the batches that the journal lacks, under every audio control; each is on disk at once.

    Args:
        dataset: with ground truth.
        batches: positions of the samples of each batch of this process.
        groups: sample -> its group.
        strategies: name -> method.
        controls: which sounds the methods that listen are given; the others hear the original only.
        journal: the batches that were finished before, and are finished now.
        leads: whether this process talks to the terminal.
        arguments: of the command line.
    """
    from tqdm import tqdm

    from datasets.batches import iterate_batches
    from models.remembering import forget
    from utils.runs.engine import measure_batch
    from utils.runs.halving import Halving

    missing = [batch for batch in batches if batch.start not in journal]
    if len(missing) < len(batches) and leads:
        print(f"going on: {len(batches) - len(missing)} of {len(batches)} batches were measured before", flush=True)
    asked = [*strategies.values(), *(model for method in strategies.values() for model in method.models.values())]
    ask = Halving(lambda samples: predict_all(samples, strategies, controls), lambda: forget(*asked))
    for method in strategies.values() if missing else ():
        method.prepare()
    read = iterate_batches(dataset, missing, arguments.num_workers)
    total, left = (sum(map(len, part)) for part in (batches, missing))
    with tqdm(total=total, initial=total - left, unit="sample", disable=not leads) as progress:
        try:
            for batch, samples in zip(missing, read, strict=True):
                forget(*asked)  # so that what is said of a batch follows from it alone
                predictions = ask(samples)
                measured = measure_batch(samples, predictions, arguments.threshold, arguments.resolution, groups)
                journal.write(batch.start, measured)
                if arguments.save_visualizations:
                    folder = arguments.output_dir / "visualizations"
                    save_overlays(samples, predictions["original"], arguments.threshold, folder)
                progress.update(len(samples))
        except BaseException:
            print(
                f"stopped early: what is measured is kept in {journal.folder}; the same command goes on",
                file=sys.stderr,
            )
            raise
    forget(*asked)


def collect(batches: Sequence[range], journal: Journal, output_dir: Path) -> ScoreBook:
    """Adds up all batches in order and writes per_sample.csv.

    Raises:
        UserError: a batch is not there.
    """
    from utils.runs.engine import ScoreBook
    from utils.runs.results import RecordFile

    missing = [batch for batch in batches if batch.start not in journal]
    if missing:
        raise UserError(
            f"expected all {len(batches)} batches to be measured, found {len(missing)} that are not; run the same "
            "command again, it measures them"
        )
    book = ScoreBook()
    with RecordFile(output_dir / "per_sample.csv") as records:
        for batch in batches:
            measured = journal.read(batch.start)
            book.add(measured)
            records.write(measured.records)
    return book


def create(name: str, models: Mapping[str, Any], settings: Mapping[str, Any], cache: DiskCache | None) -> Method:
    """A method with a memory for what is expensive in it, and the cache's part for it."""
    from models.remembering import remember

    method = methods.create(name, models, settings)
    return remember(method, store=cache and cache.of_method(name, settings, method.remembered))


def predict_all(
    samples: Sequence[Sample], strategies: Mapping[str, Method], controls: AudioControls
) -> dict[str, dict[str, list[Prediction]]]:
    """What each method answers under each audio control; those that do not listen are asked once.

    Returns:
        control -> method -> one Prediction per sample.
    """
    from utils.runs.engine import predict_blind

    listening = {name: method for name, method in strategies.items() if method.listens}
    predictions = {}
    for control in controls.names:
        heard = [controls.apply(control, sample) for sample in samples]
        chosen = strategies if control == "original" else listening
        predictions[control] = {name: predict_blind(method, heard) for name, method in chosen.items()}
    return predictions


def method_settings(name: str, config: Config, seed: int | None) -> dict[str, Any]:
    """All settings of a method: its defaults, then the seed that was given, then what the config says."""
    settings = methods.settings(name)
    if seed is not None and "seed" in settings:
        settings["seed"] = seed
    return {**settings, **config.methods.get(name, {})}


def open_dataset(path: Path, limit: int | None) -> FolderDataset:
    """The dataset, after a look at every file's header; what should be known of it is printed.

    Raises:
        UserError: there are faults: one sentence for all.
    """
    from datasets.check.__main__ import check_headers
    from datasets.faults import check_command, count
    from datasets.folder import FolderDataset

    report = check_headers(path, limit)
    if report.errors:
        raise UserError(report.refusal())
    dataset = FolderDataset(path, limit)
    if report.warnings:
        print(f"data: {count(len(report.warnings), 'warning')}; {check_command(path)} shows them", flush=True)
    if dataset.manifest is not None and dataset.manifest.left_out:
        left_out = count(len(dataset.manifest.left_out), "sample")
        print(
            f"data: {left_out} left out by the importer and not scored; {path / 'manifest.json'} names them", flush=True
        )
    return dataset


def draw_gallery(
    dataset: FolderDataset,
    strategies: Mapping[str, Method],
    named: Mapping[str, Any],
    entries: Mapping[str, Any],
    arguments: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Predicts a few telling samples again and draws them for the report."""
    from utils.runs.gallery import choose, draw

    chosen = choose(named, {name: entries[name] for name in dataset.ids}, [n for n in strategies if methods.listens(n)])
    return [
        draw(
            dataset[dataset.ids.index(name)],
            entries[name],
            strategies,
            threshold=arguments.threshold,
            resolution=arguments.resolution,
            output_dir=arguments.output_dir,
        )
        for name in chosen
    ]


def save_overlays(
    samples: Sequence[Sample], predictions: Mapping[str, Sequence[Prediction]], threshold: float, folder: Path
) -> None:
    """Draws each method's mask and scores over the image: FOLDER/METHOD/ID.jpg."""
    from utils.files import make_folder
    from utils.media.drawing import draw_overlay

    for name, of_method in predictions.items():
        make_folder(folder / name)
        for sample, prediction in zip(samples, of_method, strict=True):
            overlay = draw_overlay(sample.image, prediction.score_map > threshold, prediction.score_map)
            overlay.save(folder / name / f"{sample.id}.jpg", quality=90)


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    parser = argparse.ArgumentParser(description="Scores connection strategies on a dataset folder.")
    add_data_options(parser, required=not any(word.startswith("--exp") for word in argv))
    add_run_options(parser, methods.available())
    add_measure_options(parser, BASELINES)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
