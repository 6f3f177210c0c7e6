"""Measures where to put the score below which a method asks for nothing, and how often each choice would err.

    python -m methods.calibrate DIR --config base

Each sample of a folder is heard as it is, with silence, with noise and with the sound of something that is not in view;
where its mask is blank, its own sound is such a one. No segmenter is loaded: what is asked is settled before it is.
`methods/_thresholds.py` has the rules.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import methods
from datasets.batches import cut_batches
from datasets.check import check_headers
from datasets.controls import AudioControls
from datasets.folder import FolderDataset
from methods._threshold_tables import NOTES, RULES, Calibration, as_json, as_tables, as_yaml
from methods._thresholds import MATCHING, rules
from methods.base import Method
from models.config import Config, load_config
from models.loading import load_models
from models.remembering import Memory
from utils.cli import THRESHOLD, Parser, add_config_options, at_least
from utils.errors import UserError, run_script
from utils.files import make_folder, write_text_atomic
from utils.media.sounds import why_unheard
from utils.runs.engine import predict_blind
from utils.types import Sample

SILENCE, NOISE, OFFSCREEN = "silence", "noise", "offscreen"  # controls of datasets.controls
BATCH = 16  # samples at a time


class NoSegmenter:
    """Stands where methods expect a segmenter: no score depends on what it answers."""

    accepts_sentences = accepts_embeddings = True
    text_embed_dim = 1

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Any]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`."""
        return [np.zeros(image.shape[:2], np.float32) for image in images]

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.Segmenter`."""
        return np.zeros((len(texts), 1), np.float32)


def main(argv: Sequence[str] | None = None) -> dict[str, Calibration]:
    """Measures what a command line asks for, prints it and returns it by method.

    Raises:
        UserError: a name, a setting or the folder is wrong.
    """
    arguments = parse_arguments(argv)
    if arguments.json:
        make_folder(arguments.json.parent)
        if arguments.json.is_dir():
            raise UserError(f"expected a file to write at {arguments.json}, found a folder; add a file name")
    config = load_config(arguments.config, arguments.set, methods.available())
    limits = choose(arguments.methods, config)
    dataset, controls = open_folder(arguments.folder, arguments.limit, arguments.seed)
    print(f"config {config.name}: {config.summary}", flush=True)
    memory = Memory()
    models = load_models(config, [role for name in limits for role in roles_of(name)], arguments.device, memory)
    networks, asked = {**models, "segmenter": NoSegmenter()}, {}
    for name, (setting, never) in limits.items():
        values = {**config.methods.get(name, {}), setting: never}
        asked[name] = methods.create(name, networks, values, seed=arguments.seed, memory=memory)
    found = {}
    for name, scores in measure(asked, dataset, controls, memory).items():
        setting, never = limits[name]
        now = {**methods.settings(name), **config.methods.get(name, {})}[setting]
        found[name] = Calibration(setting, scores, rules(scores, never, now, arguments.loses), arguments.loses)
    for name, calibration in found.items():
        print(f"\n{name}.{calibration.setting}\n\n{as_tables(calibration)}")
    print(f"\n{NOTES.format(folder=arguments.folder)}\n\nfor {config.path}; by another rule with --rule NAME:\n")
    print(as_yaml(found, arguments.rule, arguments.folder))
    if arguments.json:
        values = {"config": config.name, "data": dataset.describe(), "seed": arguments.seed}
        values["models"] = {role: getattr(model, "provenance", None) for role, model in models.items()}
        values["methods"] = {name: as_json(calibration) for name, calibration in found.items()}
        write_text_atomic(arguments.json, json.dumps(values, indent=1) + "\n")
    return found


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    about = "Measures the score below which a method had better ask for nothing. No segmenter is loaded."
    parser = Parser(prog="python -m methods.calibrate", usage="%(prog)s DIR [options]", description=about)
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="holds image/ wav/ gt_seg/, paired by stem; not what you test on")
    add_config_options(parser)
    add("--methods", nargs="+", default=[], metavar="NAME", help="default: all that can refuse and have their networks")
    add("--loses", type=THRESHOLD, default=0.1, metavar="X", help="share of the matching sounds (default: %(default)s)")
    about = "whose threshold is written out for the config: %(choices)s (default: %(default)s)"
    add("--rule", choices=RULES, default="loses", metavar="NAME", help=about)
    add("--limit", type=at_least(1), metavar="N", help="only the first N samples by name")
    about = "of the noise, the choice of other sounds, and methods that draw numbers (default: %(default)s)"
    add("--seed", type=at_least(0), default=0, metavar="N", help=about)
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    add("--json", type=Path, metavar="PATH", help="also write every score and rule there")
    return parser.parse_args(argv)


def choose(names: Sequence[str], config: Config) -> dict[str, tuple[str, float]]:
    """Method -> its setting and the value that refuses nothing; with no names, of all that the config has roles for."""
    able = {name: limit for name in methods.available() if (limit := methods.abstains_below(name))}
    for name in names:
        if methods.abstains_below(name) is None:
            raise UserError(f"expected methods that refuse by a score, found {name}; choose from: {', '.join(able)}")
    names = dict.fromkeys(names) or [name for name in able if config.roles.keys() >= set(roles_of(name))]
    if not names:
        raise UserError(f"{config.path} has the roles of none of these: {', '.join(able)}; take another config")
    for name in names:
        methods.check(name, config.methods.get(name, {}))
    return {name: able[name] for name in names}


def roles_of(name: str) -> list[str]:
    """The roles that decide what a method asks for."""
    return [role for role in methods.requires(name) if role != "segmenter"]


def open_folder(path: Path, limit: int | None, seed: int) -> tuple[FolderDataset, AudioControls]:
    """The samples, after a look at every file's header, and the other sounds that they can be given."""
    report = check_headers(path, limit)
    if report.errors:
        raise UserError(report.refusal())
    dataset = FolderDataset(path, limit)
    controls = AudioControls(dataset, (SILENCE, NOISE), seed)
    if OFFSCREEN in controls.refused:
        print(f"without sounds of other samples: {controls.refused[OFFSCREEN]}", flush=True)
        return dataset, controls
    return dataset, AudioControls(dataset, (SILENCE, NOISE, OFFSCREEN), seed)


def measure(
    asked: Mapping[str, Method], dataset: FolderDataset, controls: AudioControls, memory: Memory
) -> dict[str, dict[str, np.ndarray]]:
    """Method -> kind of sound -> the score of the first query for each sample, not-a-number where there is none."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in asked}
    groups = [entry.group for entry in dataset.entries()[0].values()]
    for method in asked.values():
        method.prepare()
    with tqdm(total=len(dataset), unit="sample") as progress:
        for rows in cut_batches(groups, BATCH):
            samples = [dataset[row] for row in rows]
            memory.forget()
            for control in controls.names:
                heard = [controls.apply(control, sample) for sample in samples]
                kinds = [own_kind(sample) if control == "original" else control for sample in samples]
                for name, method in asked.items():
                    for kind, prediction in zip(kinds, predict_blind(method, heard), strict=True):
                        found[name][kind].append(prediction.queries[0].score if prediction.queries else np.nan)
            progress.update(len(rows))
    order = (MATCHING, SILENCE, NOISE, OFFSCREEN)
    if any(MATCHING not in of_method for of_method in found.values()):
        raise UserError(
            f"expected samples in {dataset.root} whose sound is of something in view, found only blank masks"
        )
    return {name: {kind: np.array(of[kind]) for kind in order if kind in of} for name, of in found.items()}


def own_kind(sample: Sample) -> str:
    """What a sample's own sound is to its image."""
    if sample.gt_mask is None or sample.gt_mask.any():
        return MATCHING
    return SILENCE if why_unheard(sample.waveform, sample.sampling_rate) else OFFSCREEN


if __name__ == "__main__":
    sys.exit(run_script(main))
