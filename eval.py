"""Scores connection strategies on a dataset folder: tables, results.json, one record per sample, and a report.

python eval.py --methods cross_modal --test_data_path /your/dataset/path/
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import methods
from datasets.batches import cut_batches, iterate_batches
from datasets.check import check_headers
from datasets.controls import AudioControls
from datasets.findings import check_command, count, some
from datasets.folder import FolderDataset, faults_of_samples
from datasets.layout import read_layout, refuse_within
from models import loading
from models.config import Config, load_config
from models.remembering import Memory
from models.stage_cache import StageCache
from utils.cli import Parser, add_eval_options, add_run_options
from utils.errors import UserError, run_script
from utils.files import make_folder
from utils.report import write_report
from utils.report.papers import write_paper_files
from utils.report.terminal import format_tables
from utils.runs import gallery, output, provenance
from utils.runs.engine import Evaluation, collect
from utils.runs.gallery import choose, draw, save_overlays
from utils.runs.journal import Batch, Ids, Journal, digest
from utils.runs.results import SCHEMA, EvalResults, write_results
from utils.runs.shards import Shard, launched_shard
from utils.scoring.protocols import Setting, applicable, explain
from utils.scoring.sample_scores import describe_measurement
from utils.scoring.summary import summarise
from utils.types import Sample

ROOT = Path(__file__).parent
BASELINES = ("nothing", "everything", "centre", "image_only")


def main(argv: Sequence[str] | None = None) -> EvalResults | None:
    """Runs the evaluation that a command line describes: arguments without the script's name, or the process's own.

    Returns:
        What was written to results.json; None where only an explanation was asked for, or a part of the run measured.

    Raises:
        UserError: the dataset, the configuration or a name is wrong.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    arguments = parse_arguments(argv)
    if arguments.explain is not None:
        print(explain(arguments.explain))
        return None
    run = Run(arguments, provenance.command_line("eval.py", argv))
    shard, folder = run.shard, arguments.output_dir
    with closing(run.journal):
        run.measure()
        if not shard.collects:
            part = f"part {shard.index + 1} of {shard.count} is measured"
            if not shard.together:
                print(f"{part}; the same command without --shard collects all")
            return None
        results = run.results()
        write_results(results, folder / "results.json")
        values = asdict(results)
        write_report(folder, values)
        for_papers = write_paper_files(folder, values)
        run.journal.remove()
    print(f"\n{format_tables(values)}\n")
    if skipped := results.data["skipped"]:
        print(f"left out: {count(len(skipped), 'sample')} with faults ({some(skipped)}); results.json says why\n")
    written = ["report.html", "report.md", "results.json", "per_sample.csv", *for_papers, f"{gallery.FOLDER}/"]
    print(f"written to {folder}: {', '.join(written)}")
    return results


class Run:
    """One evaluation: the data, who is asked, and everything that decides the numbers."""

    def __init__(self, arguments: argparse.Namespace, command: str) -> None:
        """Checks what the command line asks for, the cheapest first, and loads the networks."""
        self.arguments, self.command = arguments, command
        names = dict.fromkeys((*arguments.methods, *arguments.baselines))
        output.refuse_unfit(arguments.output_dir, names)
        refuse_within(arguments.output_dir, arguments.test_data_path)
        self.shard = shard = Shard(*arguments.shard) if arguments.shard else launched_shard()
        self.dataset = dataset = open_dataset(arguments.test_data_path, arguments.limit, arguments.skip_faults)
        applicable(arguments.protocols, Setting())
        self.entries, self.group_unit = dataset.entries(arguments.group_size)
        self.controls = AudioControls(dataset, arguments.audio_control, arguments.seed or 0, arguments.group_size)
        overrides = [*(methods.verifying(arguments.methods) if arguments.verify else ()), *arguments.set]
        self.config = config = load_config(arguments.config, overrides, methods.available())
        for name, settings in config.methods.items():
            methods.check(name, settings)
        self.settings = {name: method_settings(name, config, arguments.seed) for name in names}
        roles = {role: name for name in reversed(names) for role in methods.requires(name, self.settings[name])}
        for role, name in roles.items():
            if role not in config.roles and name in arguments.baselines:
                out = f"name others with --baselines, or add the role with --set {role}.family=... {role}.weights=..."
                raise UserError(f"the baseline {name} needs the role {role}, which {config.path} does not have; {out}")
        make_folder(arguments.output_dir)
        self.data = dataset.describe()  # before the run, which may take hours
        self.device = loading.resolve_device(shard.device(arguments.device))
        self.wait_for_others = shard.join(self.device)
        if shard.leads:
            print(f"config {config.name}: {config.summary}", flush=True)
        self.memory = memory = Memory(StageCache(arguments.cache, arguments.cache_gb) if arguments.cache else None)
        models = loading.load_models(config, roles, self.device, memory=memory)
        self.methods = {n: methods.create(n, models, values, memory=memory) for n, values in self.settings.items()}
        self.origins = {role: getattr(model, "provenance", None) for role, model in models.items()}
        self.measurement = describe_measurement(arguments.threshold, arguments.resolution)
        self.commit, self.uncommitted_changes = provenance.git_state(ROOT)
        self.identity, self.journal = self.begin()
        self.start = perf_counter()

    def begin(self) -> tuple[dict[str, str], Journal]:
        """What tells this run from others, for results.json, and its journal, begun or gone on with."""
        arguments, dataset, decisive = self.arguments, self.dataset, self.decisive()
        further = {
            "data": {name: value for name, value in self.data.items() if name != "path"},
            "shown": [arguments.protocols, arguments.draws],
            "batch_size": None,  # changes no score
        }
        identity = {part: digest(value)[:16] for part, value in (decisive | further).items()}
        if not arguments.overwrite:
            output.refuse_other_results(arguments.output_dir, identity)
        known = {one: [dataset.digests[one], self.entries[one].group, self.controls.given(one)] for one in dataset.ids}
        return identity, Journal(arguments.output_dir, decisive, known, self.cut, self.shard, arguments.skip_faults)

    def cut(self, ids: Sequence[str]) -> list[Ids]:
        """Batches of samples."""
        groups = [self.entries[name].group for name in ids]
        return [tuple(ids[row] for row in rows) for rows in cut_batches(groups, self.arguments.batch_size)]

    def decisive(self) -> dict[str, Any]:
        """Everything that decides the numbers but the samples: a journal of another run is not gone on with."""
        return {
            "limit": self.arguments.limit,
            "groups": self.arguments.group_size,
            "config": self.config.roles,
            "models": self.origins,
            "methods": self.settings,
            "measurement": self.measurement,
            "audio_controls": [self.controls.names, self.arguments.seed or 0],
            "batch_size": self.arguments.batch_size,
            "cache": self.arguments.cache is not None,
            "code": provenance.code_sha256(ROOT),
            "versions": {name: version for name, version in provenance.versions().items() if name != "platform"},
            "device": self.device.split(":")[0],
        }

    def measure(self) -> None:
        """Measures what the journal lacks of this process's batches, and waits for the other processes."""
        arguments, shard = self.arguments, self.shard
        controls = {name: partial(self.controls.apply, name) for name in self.controls.names}
        groups = {name: entry.group for name, entry in self.entries.items()}
        threshold, resolution = arguments.threshold, arguments.resolution
        skip = arguments.skip_faults
        evaluation = Evaluation(self.methods, controls, self.memory.forget, groups, threshold, resolution, skip)
        workers = arguments.num_workers
        if workers is None:
            workers = 0 if self.device == "cpu" else min(4, shard.cores)
        place = {name: index for index, name in enumerate(self.dataset.ids)}

        def read(batches: Sequence[Ids]) -> Iterable[Sequence[Sample | UserError]]:
            return iterate_batches(self.dataset, [[place[name] for name in batch] for batch in batches], workers)

        overlays = partial(save_overlays, threshold, arguments.output_dir) if arguments.save_visualizations else None
        own = self.journal.batches[shard.index :: shard.count]
        evaluation.run(own, read, self.journal, overlays, quiet=not shard.leads)
        self.wait_for_others()

    def results(self) -> EvalResults:
        """Adds up all batches; writes per_sample.csv and the gallery's pictures."""
        arguments, config, seed = self.arguments, self.config, self.arguments.seed
        total = collect(self.dataset.ids, self.journal, arguments.output_dir / "per_sample.csv", self.entries)
        if not total.ids:
            raise UserError(f"expected samples that can be read in {arguments.test_data_path}, found none; mend them")
        seconds = round(perf_counter() - self.start, 1)
        summary = summarise(
            total.answers,
            total.ids,
            [self.entries[name] for name in total.ids],
            group_unit=self.group_unit,
            threshold=arguments.threshold,
            protocols=arguments.protocols,
            draws=arguments.draws,
        )
        return EvalResults(
            schema=SCHEMA,
            command=self.command,
            date=provenance.current_date(),
            commit=self.commit,
            uncommitted_changes=self.uncommitted_changes,
            versions=provenance.versions(),
            config={"name": config.name, "path": str(config.path), "roles": config.roles, "methods": self.settings},
            models=self.origins,
            device=self.device,
            data={**self.data, **total.counts, "skipped": self.dataset.skipped | total.skipped},
            measurement=self.measurement,
            seeds={"given": seed, "audio_controls": seed or 0, "bootstrap": summary.intervals["seed"]},
            seconds={"total": seconds, "methods": total.seconds},
            methods={name: {"listens": methods.listens(name)} for name in self.methods},
            **vars(summary),
            refused_controls=self.controls.refused,
            gallery=self.draw_gallery(total, summary.samples),
            identity=self.identity,
        )

    def draw_gallery(self, total: Batch, named: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Draws a few telling samples with what was predicted for them."""
        one = next(iter(total.answers["original"].values()))
        blank = [scores.gt_empty for scores in one]  # labels.csv does not say
        known = {
            name: replace(self.entries[name], blank=is_blank) for name, is_blank in zip(total.ids, blank, strict=True)
        }
        threshold, drawn = self.arguments.threshold, []
        for name in choose(named, known, [name for name in self.methods if methods.listens(name)]):
            measured = self.journal.read(next(batch for batch in self.journal.batches if name in batch))
            sketches = {method: own[0] for method, own in measured.only([name]).sketches.items()}
            scores = {method: own[total.ids.index(name)] for method, own in total.answers["original"].items()}
            sample = self.dataset[self.dataset.ids.index(name)]
            drawn.append(draw(sample, known[name], sketches, scores, threshold, self.arguments.output_dir))
        return drawn


def method_settings(name: str, config: Config, seed: int | None) -> dict[str, Any]:
    """All settings of a method: its defaults, then the seed that was given, then what the config says."""
    settings = methods.settings(name)
    if seed is not None and "seed" in settings:
        settings["seed"] = seed
    return {**settings, **config.methods.get(name, {})}


def open_dataset(path: Path, limit: int | None, skip_faults: bool = False) -> FolderDataset:
    """The dataset, after a look at every file's header; what should be known of it is printed.

    With `skip_faults`, samples with faults are left out of it, and only those of the folder count.

    Raises:
        UserError: there are faults: one sentence for all.
    """
    report = check_headers(path, limit)
    faults, others = {}, report.errors
    if skip_faults:
        faults, others = faults_of_samples(others, read_layout(path))
    if others:
        raise UserError(replace(report, findings=tuple(others)).refusal())
    dataset = FolderDataset(path, limit, faults)
    if faults:
        print(f"data: {count(len(faults), 'sample')} left out ({some(faults)})", flush=True)
    if report.warnings:
        print(f"data: {count(len(report.warnings), 'warning')}; {check_command(path)} shows them", flush=True)
    if dataset.manifest is not None and dataset.manifest.left_out:
        left_out = f"{count(len(dataset.manifest.left_out), 'sample')} left out by the importer and not scored"
        print(f"data: {left_out}; {path / 'manifest.json'} names them", flush=True)
    return dataset


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    parser = Parser(description="Scores connection strategies on a dataset folder.")
    add_run_options(parser, methods.available())
    add_eval_options(parser, BASELINES, needs_data=not any(word.startswith("--exp") for word in argv))
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
