"""Measures where to put the score below which a method asks for nothing, and how often each choice would err.

    python -m methods.calibrate DIR --config base

Each sample of a folder is heard as it is; one whose sound is of something in view also with silence, with noise and
with the sound of something else. Where a mask is blank, the sample's own sound is one of these three. A segmenter is
loaded only for a method that asks it what is in view, and draws nothing: what is asked for is settled before.
`methods/_thresholds.py` has the rules.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import methods
from datasets.batches import cut_batches
from datasets.check import check_headers
from datasets.controls import AudioControls
from datasets.folder import FolderDataset
from methods._thresholds import CHOICES, MATCHING, NOTES, Rule, Scores, as_tables, as_yaml, rules
from methods.base import Method
from models.config import Config, load_config
from models.loading import load_models
from models.remembering import Memory
from utils.cli import THRESHOLD, Parser, add_config_options, at_least
from utils.errors import UserError, run_script
from utils.media.sounds import why_unheard
from utils.runs.engine import predict_blind
from utils.scoring.abstaining import KIND_OF, NOISE, OFFSCREEN, SILENCE
from utils.types import Entry, Sample

OTHERS = (SILENCE, NOISE, OFFSCREEN)  # audio controls
BATCH = 16  # samples at a time


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured of one method: its setting to be set, METHOD.KEY, and what `methods._thresholds` knows."""

    setting: str
    scores: Scores
    rules: Mapping[str, Rule]


class NoSegmenter:
    """Stands where methods expect a segmenter, and draws nothing: no score depends on a map.

    Args:
        segmenter: says what is in view; None where no method asks.
    """

    accepts_sentences = accepts_embeddings = True
    text_embed_dim = 1

    def __init__(self, segmenter: Any = None) -> None:
        self.presence = getattr(segmenter, "presence", None)

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
    config = load_config(arguments.config, arguments.set, methods.available())
    limits = choose(arguments.methods, config)
    dataset, controls = open_folder(arguments.folder, arguments.limit, arguments.seed)
    print(f"config {config.name}: {config.summary}", flush=True)
    memory = Memory()
    models = load_models(config, [role for name in limits for role in methods.asks(name)], arguments.device, memory)
    networks = {**models, "segmenter": NoSegmenter(models.get("segmenter"))}
    asked = {}
    for name, (key, never) in limits.items():
        values = {**config.methods.get(name, {}), key: never}
        values.pop(methods.VERIFY, None)  # of a mask, and there is none here
        asked[name] = methods.create(name, networks, values, seed=arguments.seed, memory=memory)
    found = {}
    for name, scores in measure(asked, dataset, controls, memory).items():
        key, never = limits[name]
        now = {**methods.settings(name), **config.methods.get(name, {})}[key]
        found[name] = Calibration(f"{name}.{key}", scores, rules(scores, never, now, arguments.loses))
        print(f"\n{name}.{key}\n\n{as_tables(scores, found[name].rules)}")
    print(f"\n{NOTES.format(folder=arguments.folder)}")
    print(f"\nfor {config.path}; by another rule with --rule NAME:\n\nmethods:")
    for one in found.values():
        rests_on = f"{arguments.folder}, {len(one.scores[MATCHING])} matching sounds"
        print(as_yaml(one.setting, one.rules[arguments.rule], rests_on))
    return found


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    about = "Measures the score below which a method had better ask for nothing. Nothing is segmented."
    parser = Parser(prog="python -m methods.calibrate", usage="%(prog)s DIR [options]", description=about)
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="holds image/ wav/ gt_seg/, paired by stem; not what you test on")
    add_config_options(parser)
    add("--methods", nargs="+", default=[], metavar="NAME", help="default: all that can refuse and have their networks")
    about = "share of the matching sounds that the rule of that name may refuse (default: %(default)s)"
    add("--loses", type=THRESHOLD, default=0.1, metavar="X", help=about)
    about = "whose threshold is written out for the config: %(choices)s (default: %(default)s)"
    add("--rule", choices=CHOICES, default="loses", metavar="NAME", help=about)
    add("--limit", type=at_least(1), metavar="N", help="only the first N samples by name")
    about = "of the noise, the choice of other sounds, and methods that draw numbers (default: %(default)s)"
    add("--seed", type=at_least(0), default=0, metavar="N", help=about)
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    return parser.parse_args(argv)


def choose(names: Sequence[str], config: Config) -> dict[str, tuple[str, float]]:
    """Method -> its setting and the value that refuses nothing; with no names, of all that the config has roles for."""
    able = {name: limit for name in methods.available() if (limit := methods.abstains_below(name))}
    for name in names:
        if methods.abstains_below(name) is None:
            raise UserError(f"expected methods that refuse by a score, found {name}; choose from: {', '.join(able)}")
    names = dict.fromkeys(names) or [name for name in able if can_be_asked(name, config)]
    if not names:
        raise UserError(f"{config.path} has the roles of none of these: {', '.join(able)}; take another config")
    for name in names:
        methods.check(name, config.methods.get(name, {}))
    return {name: able[name] for name in names}


def can_be_asked(name: str, config: Config) -> bool:
    """Whether a config has the networks, and the bank of sounds, that decide what a method asks for."""
    has_bank = "bank" in config.roles.get("audio_text", {})
    return config.roles.keys() >= set(methods.asks(name)) and (has_bank or not methods.needs_bank(name))


def open_folder(path: Path, limit: int | None, seed: int) -> tuple[FolderDataset, AudioControls]:
    """The samples, after a look at every file's header, and the other sounds that they can be given."""
    report = check_headers(path, limit)
    if report.errors:
        raise UserError(report.refusal())
    dataset = FolderDataset(path, limit)
    entries = dataset.entries()[0]
    samples = (dataset[row] for row in range(len(dataset)))
    if not any(own_kind(sample, entries[sample.id]) == MATCHING for sample in samples):
        raise UserError(f"expected samples in {path} whose sound is of something in view, found only blank masks")
    refused = AudioControls(dataset, (), seed).refused.get(OFFSCREEN)
    if refused:
        print(f"without sounds of other samples: {refused}", flush=True)
    return dataset, AudioControls(dataset, OTHERS[: 2 if refused else 3], seed)


def measure(
    asked: Mapping[str, Method], dataset: FolderDataset, controls: AudioControls, memory: Memory
) -> dict[str, dict[str, np.ndarray]]:
    """Method -> kind of sound -> the score of the first query for each sample, not-a-number where there is none."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in asked}
    entries = dataset.entries()[0]
    for method in asked.values():
        method.prepare()
    with tqdm(total=len(dataset), unit="sample") as progress:
        for rows in cut_batches([entry.group for entry in entries.values()], BATCH):
            samples = [dataset[row] for row in rows]
            kinds = [own_kind(sample, entries[sample.id]) for sample in samples]
            matching = [sample for sample, kind in zip(samples, kinds, strict=True) if kind == MATCHING]
            heard = [*zip(kinds, samples, strict=True)]
            heard += [(kind, controls.apply(kind, one)) for kind in controls.names[1:] for one in matching]
            memory.forget()
            for start in range(0, len(heard), BATCH):
                some = heard[start : start + BATCH]
                for name, method in asked.items():
                    answers = predict_blind(method, [sample for _, sample in some])
                    for (kind, _), answer in zip(some, answers, strict=True):
                        found[name][kind].append(answer.queries[0].score if answer.queries else np.nan)
            progress.update(len(rows))
    order = (MATCHING, *OTHERS)
    return {name: {kind: np.array(of[kind]) for kind in order if kind in of} for name, of in found.items()}


def own_kind(sample: Sample, entry: Entry) -> str:
    """What a sample's own sound is to its image."""
    if sample.gt_mask.any():
        return MATCHING
    if entry.scenario in KIND_OF:
        return KIND_OF[entry.scenario]
    return SILENCE if why_unheard(sample.waveform, sample.sampling_rate) else OFFSCREEN


if __name__ == "__main__":
    sys.exit(run_script(main))
