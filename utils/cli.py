"""The command-line options of the scripts: which methods and networks, which data, what is measured."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

DEFAULT_CONFIG = "pocket"  # a name in configs/, for whoever names none


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Adds --config and --set: which network plays which role, with which settings."""
    parser.add_argument(
        "--config",
        default=DEFAULT_CONFIG,
        metavar="NAME|PATH",
        help="which network plays which role, a file of configs/ (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="override settings of roles and methods, such as cross_modal.min_similarity=0.2",
    )


def add_run_options(parser: argparse.ArgumentParser, methods: Sequence[str]) -> None:
    """Adds --methods, of which the help names these, --config, --set, --device, --seed and --threshold."""
    add = parser.add_argument
    about = f"one or several connection strategies: {', '.join(methods)} (default: cross_modal)"
    add("--methods", "--method", nargs="+", default=["cross_modal"], metavar="NAME", help=about)
    add_config_options(parser)
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    add("--seed", type=int, metavar="N", help="for the methods that draw numbers (text_inversion)")
    about = "the mask is where the score is above (default: %(default)s)"
    add("--threshold", type=number("from 0 to below 1", lambda x: 0 <= x < 1), default=0.5, metavar="T", help=about)


def add_eval_options(parser: argparse.ArgumentParser, baselines: Sequence[str], needs_data: bool) -> None:
    """Adds what eval.py alone takes: what it reads, where its results go, and what is measured how."""
    add = parser.add_argument
    about = "holds image/ wav/ gt_seg/, paired by stem"
    add("--test_data_path", type=Path, required=needs_data, metavar="DIR", help=about)
    add("--limit", type=at_least(1), metavar="N", help="only the first N samples by name")
    about = "where the results go (default: %(default)s)"
    add("--output_dir", type=Path, default=Path("outputs/eval"), metavar="DIR", help=about)
    about = "measure the I-th of N parts only; the same command without it collects them all"
    add("--shard", type=shard, metavar="I/N", help=about)
    add("--save_visualizations", action="store_true", help="also draw every prediction over its image")
    about = "samples at a time, at most; smaller groups are kept whole; changes no score (default: %(default)s)"
    add("--batch_size", type=at_least(1), default=16, metavar="N", help=about)
    about = "processes that read files ahead (default: up to 4 beside a GPU, else 0)"
    add("--num_workers", type=at_least(0), metavar="N", help=about)
    about = "folder that keeps embeddings, captions, tags and inversions for later runs (default: none)"
    add("--cache", type=Path, metavar="DIR", help=about)
    about = "size of the cache at most, the oldest go first (default: %(default)g)"
    add("--cache_gb", type=number("above 0", lambda x: 0 < x < math.inf), default=10.0, metavar="X", help=about)
    add = parser.add_argument_group("what is measured").add_argument
    about = "paper, avsbench, ssl, pairs, dataset, negatives (default: all that the data allow)"
    add("--protocols", nargs="+", default=[], metavar="NAME", help=about)
    add("--explain", nargs="*", metavar="NAME", help="say what each column of these protocols means, and end")
    about = "also score the same images with another sound: silence, noise, swap, offscreen"
    add("--audio_control", nargs="+", default=["original"], metavar="NAME", help=about)
    about = "trivial answers scored beside the methods; no name for none (default: %(default)s)"
    add("--baselines", nargs="*", default=list(baselines), metavar="NAME", help=about)
    about = "the pixels that are compared (default: %(default)s)"
    add("--resolution", choices=("224", "native"), default="224", help=about)
    about = "samples of a clip, consecutive by name, where no manifest says what belongs together"
    add("--group_size", type=at_least(1), metavar="N", help=about)
    about = "of the bootstrap; 0 for no intervals (default: %(default)s)"
    add("--draws", type=at_least(0), default=1000, metavar="N", help=about)


def at_least(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from `least` up, for argparse."""

    def read(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} up, found {text!r}")
        return int(text)

    return read


def number(range_: str, holds: Callable[[float], bool]) -> Callable[[str], float]:
    """A reader of numbers for which `holds` is true, for argparse; the range is what an error calls them."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan  # lies in no range
        if not holds(value):
            raise argparse.ArgumentTypeError(f"expected a number {range_}, found {text!r}")
        return value

    return read


def shard(text: str) -> tuple[int, int]:
    """Reads "2/8", the second of eight shards, as (1, 8), for argparse."""
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"expected a shard such as 2/8, the second of eight, found {text!r}")
    return int(found[1]) - 1, int(found[2])
