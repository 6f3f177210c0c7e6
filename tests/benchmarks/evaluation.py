"""What the evaluation's engine saves over a plain loop, and how far it stays above what the networks alone take.

python -m tests.checkpoints --config paper --out runs/random
python -m tests.benchmarks.evaluation --layout s4
python -m tests.benchmarks.evaluation --config runs/random/base-random.yaml --device cuda
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch

import eval as script
import methods
from datasets.folder import FolderDataset
from datasets.stamp_world.catalog import KINDS
from models import loading
from models.config import Config, load_config
from models.remembering import Memory
from models.segmenter import clipseg
from tests.benchmarks.clock import CLOCKS, Clock
from tests.benchmarks.floor import Floor, measure_floor
from tests.benchmarks.measure import peak_memory, where
from tests.benchmarks.scenes import LAYOUTS, write_scenes
from tests.checkpoints import tiny_config
from tests.checkpoints.__main__ import NOTHING_IS_TOO_LITTLE
from utils.cli import at_least
from utils.errors import UserError, run_script
from utils.runs import provenance
from utils.runs.engine import predict_blind
from utils.scoring.sample_scores import measure

METHODS = ["cross_modal", "classify", "caption", "text_inversion"]
RANDOM = Path("runs/random/paper-random.yaml")
THRESHOLD = 0.5
SHORTER = (  # the same for all three: what random networks do not end by themselves is cut short
    "image_captioner.max_new_tokens=16",
    "audio_captioner.max_new_tokens=16",
    "text_inversion.steps=10",
    "text_inversion.starts=8",
    f"text_inversion.vocabulary=[{', '.join(kind.noun for kind in KINDS)}]",
)


@dataclass(frozen=True)
class Run:
    """One way through the samples.

    Attributes:
        total: seconds, all included.
        clock: seconds of the networks' roles, and what they were asked.
        queries: (sample, method) -> what the segmenter was asked.
        memory: MB, the peak until the run ended: of the process, or of what torch took of a GPU.
    """

    total: float
    clock: Clock
    queries: dict[tuple[str, str], str]
    memory: float


def main(argv: Sequence[str] | None = None) -> list[tuple[Run, Run, Floor]]:
    """Measures and prints.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        Of every round the plain loop, the engine and the floor.

    Raises:
        UserError: there are no networks at that place, or an unknown method or setting.
    """
    arguments = _parse(argv)
    if not arguments.tiny and not arguments.config.is_file():
        raise UserError(
            f"expected random networks of the published sizes in {arguments.config}, found none; write them with "
            f"`python -m tests.checkpoints --config paper --out {arguments.config.parent}`, or add --tiny"
        )
    now = CLOCKS[arguments.clock]
    device = loading.resolve_device(arguments.device)
    overrides = [*_open(arguments.methods), *SHORTER, *arguments.set]
    with tempfile.TemporaryDirectory() as folder:
        path = tiny_config.save_config(Path(folder) / "networks") if arguments.tiny else arguments.config
        config = load_config(path, overrides, methods.available())
        roles = [role for name in arguments.methods for role in methods.requires(name)]
        models = {role: one.model for role, one in loading.load_models(config, roles, device).items()}
        with mock.patch.object(clipseg, "drop_unread_layers", lambda network: None):  # a plain loop runs all of it
            whole = {**models, "segmenter": loading.load_models(config, ["segmenter"], device)["segmenter"].model}
        data = Path(folder) / "data"
        data.mkdir()
        group_size = write_scenes(data, LAYOUTS[arguments.layout], arguments.samples)
        dataset = FolderDataset(data)
        options = [
            *("--methods", *arguments.methods, "--config", str(config.path), "--set", *overrides, "--device", device),
            *(
                "--test_data_path",
                str(data),
                "--group_size",
                str(group_size),
                "--batch_size",
                str(arguments.batch_size),
            ),
            *("--baselines", "--draws", "0"),
        ]
        first = FolderDataset(data, limit=1)
        run_plain(first, config, arguments.methods, whole, now, device)  # what the first call sets up
        rounds = []
        for turn in range(arguments.rounds):
            plain = run_plain(dataset, config, arguments.methods, whole, now, device)
            print(f"plain loop {plain.total:.1f} s", file=sys.stderr, flush=True)
            engine = run_engine([*options, "--output_dir", str(Path(folder) / f"run{turn}")], models, now, device)
            print(f"engine {engine.total:.1f} s", file=sys.stderr, flush=True)
            rounds.append((plain, engine, measure_floor(models, plain.clock)))
    print(_report(rounds, arguments, config, device))
    return rounds


def run_plain(
    dataset: FolderDataset,
    config: Config,
    names: Sequence[str],
    models: Mapping[str, Any],
    now: Callable[[], float],
    device: str,
) -> Run:
    """One method and one sample at a time, nothing remembered; what a method needs once, it does once."""
    clock, queries = Clock(now), {}
    start = now()
    with clock.watch_inversion():
        for name in names:
            method = methods.create(name, clock.watch(models), config.methods.get(name))
            for index in range(len(dataset)):
                sample = dataset[index]
                (prediction,) = predict_blind(method, [sample])
                measure(sample, prediction, THRESHOLD)
                queries[sample.id, name] = "; ".join(query.text for query in prediction.queries)
    return Run(now() - start, clock, queries, peak_memory(device))


def run_engine(argv: Sequence[str], models: Mapping[str, Any], now: Callable[[], float], device: str) -> Run:
    """eval.py with an empty memory, timed from when it asks for its networks to when it has all records."""
    clock, marks, summarise = Clock(now), [], script.summarise
    watched = clock.watch(models)

    def load(config: Config, roles: Sequence[str], device: str, memory: Memory) -> dict[str, Any]:
        marks.append(now())
        return {role: memory.wrap(model, {"role": role}) for role, model in watched.items()}

    def finish(*args: Any, **kwargs: Any) -> Any:
        marks.append(now())
        return summarise(*args, **kwargs)

    with (
        clock.watch_inversion(),
        mock.patch.object(loading, "load_models", load),
        mock.patch.object(script, "summarise", finish),
        redirect_stdout(StringIO()),
        redirect_stderr(StringIO()),
    ):
        script.main(argv)
    with (Path(argv[-1]) / "per_sample.csv").open(newline="", encoding="utf-8") as file:
        queries = {(row["id"], row["method"]): row["query"] for row in csv.DictReader(file)}
    return Run(marks[1] - marks[0], clock, queries, peak_memory(device))


def _report(
    rounds: Sequence[tuple[Run, Run, Floor]], arguments: argparse.Namespace, config: Config, device: str
) -> str:
    """Markdown; seconds are medians over the rounds."""
    plain, engine, floor = rounds[-1]
    stages = list(floor.seconds)
    rows = [[median(r.clock.seconds.get(stage, 0.0) for r in column) for stage in stages] for column in _runs(rounds)]
    totals = [median(r.total for r in column) for column in _runs(rounds)]
    bare = [median(r[2].seconds[stage] for r in rounds) for stage in stages]
    lines = ["| stage | (a) plain loop (s) | (b) engine (s) | (c) floor (s) | distinct |", "|---|---|---|---|---|"]
    for stage, a, b, c in zip(stages, *rows, bare, strict=True):
        lines.append(f"| {stage} | {a:.1f} | {b:.1f} | {c:.1f} | {floor.distinct[stage]} |")
    other = [total - sum(row) for total, row in zip(totals, rows, strict=True)]
    lines.append(f"| all else | {other[0]:.1f} | {other[1]:.1f} | | |")
    lines.append(f"| **total** | {totals[0]:.1f} | {totals[1]:.1f} | {sum(bare):.1f} | |")
    rates = (("plain loop", totals[0]), ("engine", totals[1]), ("bare passes", sum(bare)))
    same = sum(engine.queries[key] == query for key, query in plain.queries.items())
    versions = provenance.versions()
    layout = LAYOUTS[arguments.layout]
    return "\n".join(
        [
            f"{arguments.layout}: {arguments.samples} samples, {layout.side} x {layout.side} pixels, "
            f"{layout.frames_per_sound} to a sound, {layout.sounds_per_image} to an image; config {config.name}; "
            f"{', '.join(arguments.methods)}; batches of {arguments.batch_size}; rounds: {arguments.rounds}; "
            f"{arguments.clock} seconds",
            f"{where(device)}, torch {torch.__version__}, transformers "
            f"{versions['transformers']}, Python {versions['python']}, {provenance.current_date()}",
            "",
            *lines,
            "",
            f"a/b {totals[0] / totals[1]:.2f}; b/c {totals[1] / sum(bare):.2f}; a/c {totals[0] / sum(bare):.2f}",
            f"samples a second: {', '.join(f'{arguments.samples / total:.2f} {name}' for name, total in rates)}",
            f"the same query in (a) and (b): {same} of {len(plain.queries)}",
            f"peak memory: {plain.memory:.0f} MB after (a), {engine.memory:.0f} MB after (a) and (b)",
        ]
    )


def _runs(rounds: Sequence[tuple[Run, Run, Floor]]) -> tuple[list[Run], list[Run]]:
    return [plain for plain, _, _ in rounds], [engine for _, engine, _ in rounds]


def _open(names: Sequence[str]) -> list[str]:
    """Settings with which no method answers nothing."""
    return [
        f"{name}.{key}={value}"
        for name in names
        for key, value in NOTHING_IS_TOO_LITTLE.items()
        if key in methods.settings(name)
    ]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evaluation", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--layout", choices=tuple(LAYOUTS), default="s4", help="(default: %(default)s)")
    add("--samples", type=at_least(1), default=10, metavar="N", help="(default: %(default)s)")
    add("--methods", nargs="+", default=METHODS, metavar="NAME", help="(default: the four strategies)")
    add("--batch_size", type=at_least(1), default=16, metavar="N", help="the engine's (default: %(default)s)")
    add("--rounds", type=at_least(1), default=1, metavar="N", help="of all three in turn (default: %(default)s)")
    add(
        "--clock",
        choices=tuple(CLOCKS),
        default="wall",
        help="processor: of all threads of this process, for a machine that others use too (default: %(default)s)",
    )
    add("--config", type=Path, default=RANDOM, metavar="PATH", help="random networks (default: %(default)s)")
    add("--set", nargs="+", action="extend", default=[], metavar="NAME.KEY=VALUE", help="override settings")
    add("--device", default="cpu", help="cpu, cuda or auto (default: %(default)s)")
    add(
        "--tiny",
        action="store_true",
        help="networks of tests/checkpoints/tiny_config.py instead: to see that the benchmark runs",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
