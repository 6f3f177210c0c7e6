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
from utils.arguments import add_data_options, add_measure_options, add_run_options
from utils.errors import UserError, run_script

if TYPE_CHECKING:
    from datasets.controls import AudioControls
    from datasets.folder import FolderDataset
    from methods.base import Method
    from models.config import Config
    from utils.evaluation import ScoreBook
    from utils.journal import Journal
    from utils.results import EvalResults
    from utils.sharing import Share
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
        from utils.protocols import explain

        print(explain(arguments.explain))
        return None
    dataset = open_dataset(arguments.test_data_path, arguments.limit)
    data = dataset.describe()  # before the run, which may take hours
    from datasets.controls import AudioControls
    from models.config import load_config  # from here on imports take seconds, which no mistake so far should wait for
    from models.loading import load_models, resolve_device
    from utils import provenance
    from utils.evaluation import describe_measurement
    from utils.files import make_folder
    from utils.journal import Journal
    from utils.protocols import Setting, applicable
    from utils.report import write_report
    from utils.results import SCHEMA, EvalResults, write_results
    from utils.sharing import device_of, launched_share, wait_for_all
    from utils.summary import summarise
    from utils.tables import format_tables

    applicable(arguments.protocols, Setting())
    entries, group_unit = dataset.entries(arguments.group_size)
    controls = AudioControls(dataset, arguments.audio_control, arguments.seed or 0)
    config = load_config(arguments.config, arguments.set)
    names = list(dict.fromkeys((*arguments.methods, *arguments.baselines)))
    settings = {name: method_settings(name, config, arguments.seed) for name in names}
    roles = [role for name in settings for role in methods.requires(name)]
    make_folder(arguments.output_dir)
    share = arguments.shard or launched_share()
    device = resolve_device(device_of(share, arguments.device))
    wait = wait_for_all(share, device)

    if share.leads:
        print(f"config {config.name}: {config.summary}", flush=True)
    models = load_models(config, roles, device, arguments.allow_random_weights)
    warning = provenance.random_weights_warning(models)
    if warning and share.leads:
        print(warning, flush=True)
    strategies = {name: methods.create(name, models, values) for name, values in settings.items()}
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
        "code": [commit, uncommitted_changes],
        "versions": {name: version for name, version in provenance.versions().items() if name != "platform"},
        "device": device.split(":")[0],
    }
    journal = Journal(arguments.output_dir, run)
    start = perf_counter()
    measure(dataset, strategies, controls, journal, share, arguments)
    wait()
    if not share.collects:
        if not share.together:
            print(f"part {share.index + 1} of {share.count} is measured; the same command without --shard collects all")
        return None
    book = collect(dataset, journal, arguments)
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
        warning=warning,
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
    strategies: Mapping[str, Method],
    controls: AudioControls,
    journal: Journal,
    share: Share,
    arguments: argparse.Namespace,
) -> None:
    """Runs every method over the batches that the journal lacks, under every audio control; each is on disk at once.

    Args:
        dataset: with ground truth.
        strategies: name -> method.
        controls: which sounds the methods that listen are given; the others hear the original only.
        journal: the batches that were finished before, and are finished now.
        share: which batches are this process's.
        arguments: of the command line.
    """
    from tqdm import tqdm

    from datasets.batches import iterate_batches
    from utils.evaluation import measure_batch

    entries, _ = dataset.entries(arguments.group_size)
    groups = {name: entry.group for name, entry in entries.items()}
    firsts = range(0, len(dataset), arguments.batch_size)
    own = [first for position, first in enumerate(firsts) if share.takes(position)]
    missing = [first for first in own if first not in journal]
    if len(missing) < len(own) and share.leads:
        print(f"going on: {len(own) - len(missing)} of {len(own)} batches were measured before", flush=True)
    batches = iterate_batches(dataset, arguments.batch_size, arguments.num_workers, missing)
    total, left = (sum(min(arguments.batch_size, len(dataset) - first) for first in part) for part in (own, missing))
    with tqdm(total=total, initial=total - left, unit="sample", disable=not share.leads) as progress:
        try:
            for first, samples in zip(missing, batches, strict=True):
                predictions = predict_all(samples, strategies, controls)
                journal.write(
                    first, measure_batch(samples, predictions, arguments.threshold, arguments.resolution, groups)
                )
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


def collect(dataset: FolderDataset, journal: Journal, arguments: argparse.Namespace) -> ScoreBook:
    """Adds up all batches in order and writes per_sample.csv.

    Raises:
        UserError: a batch is not there.
    """
    from utils.evaluation import ScoreBook
    from utils.results import RecordFile

    firsts = range(0, len(dataset), arguments.batch_size)
    missing = [first for first in firsts if first not in journal]
    if missing:
        raise UserError(
            f"expected all {len(firsts)} batches to be measured, found {len(missing)} that are not; run the same "
            "command again, it measures them"
        )
    book = ScoreBook()
    with RecordFile(arguments.output_dir / "per_sample.csv") as records:
        for first in firsts:
            batch = journal.read(first)
            book.add(batch)
            records.write(batch.records)
    return book


def predict_all(
    samples: Sequence[Sample], strategies: Mapping[str, Method], controls: AudioControls
) -> dict[str, dict[str, list[Prediction]]]:
    """What each method answers under each audio control; those that do not listen are asked once.

    Returns:
        control -> method -> one Prediction per sample.
    """
    from utils.evaluation import predict_blind

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
    from datasets.check import check_headers
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
    from utils.gallery import choose, draw

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
    from utils.drawing import draw_overlay
    from utils.files import make_folder

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
