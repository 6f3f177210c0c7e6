"""The command-line options of the scripts: which methods and networks, which data, what is measured."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from utils.runs.shards import share_of

__all__ = [
    "DEFAULT_CONFIG",
    "add_data_options",
    "add_measure_options",
    "add_run_options",
    "at_least",
    "positive",
    "share",
]

DEFAULT_CONFIG = "pocket"  # a name in configs/, for whoever names none


def add_run_options(parser: argparse.ArgumentParser, methods: list[str]) -> None:
    """Adds --methods, --config, --set, --device, --seed and --threshold.

    Args:
        parser: of a script.
        methods: names to show in the help; whether a name is right is left to whoever looks it up.
    """
    add = parser.add_argument
    add(
        "--methods",
        "--method",
        nargs="+",
        default=["cross_modal"],
        metavar="NAME",
        help=f"one or several connection strategies: {', '.join(methods)} (default: cross_modal)",
    )
    add(
        "--config",
        default=DEFAULT_CONFIG,
        metavar="NAME|PATH",
        help="which network plays which role, a file of configs/ (default: %(default)s)",
    )
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="override settings of roles and methods, such as cross_modal.min_similarity=0.2",
    )
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    add("--seed", type=int, metavar="N", help="for the methods that draw numbers (text_inversion)")
    add(
        "--threshold",
        type=share,
        default=0.5,
        metavar="T",
        help="the mask is where the score is above (default: %(default)s)",
    )


def add_data_options(parser: argparse.ArgumentParser, required: bool) -> None:
    """Adds what eval.py reads and where its results go.

    Args:
        parser: of the script.
        required: whether a dataset has to be named.
    """
    add = parser.add_argument
    add(
        "--test_data_path",
        type=Path,
        required=required,
        metavar="DIR",
        help="holds image/ wav/ gt_seg/, paired by stem",
    )
    add("--limit", type=at_least(1), metavar="N", help="only the first N samples by name")
    add(
        "--output_dir",
        type=Path,
        default=Path("outputs/eval"),
        metavar="DIR",
        help="where the results go (default: %(default)s)",
    )
    add(
        "--shard",
        type=share_of,
        metavar="I/N",
        help="measure the I-th of N parts only; the same command without it collects them all",
    )
    add("--save_visualizations", action="store_true", help="also draw every prediction over its image")
    add(
        "--batch_size",
        type=at_least(1),
        default=16,
        metavar="N",
        help="samples at a time, at most; smaller groups are kept whole; changes no score (default: %(default)s)",
    )
    add(
        "--num_workers",
        type=at_least(0),
        metavar="N",
        help="processes that read files ahead (default: up to 4 beside a GPU, else 0)",
    )
    add(
        "--cache",
        type=Path,
        metavar="DIR",
        help="keep embeddings, captions, tags and inversions there, for later runs; on a disk of this machine "
        "(default: nowhere)",
    )
    add(
        "--cache_gb",
        type=positive,
        default=10.0,
        metavar="X",
        help="size of the cache at most, the oldest go first (default: %(default)g)",
    )


def add_measure_options(parser: argparse.ArgumentParser, baselines: Sequence[str]) -> None:
    """Adds what eval.py measures, beside which baselines and under which sounds.

    Args:
        parser: of the script.
        baselines: names of the baselines that are scored unless others are named.
    """
    add = parser.add_argument_group("what is measured").add_argument
    add(
        "--protocols",
        nargs="+",
        default=[],
        metavar="NAME",
        help="paper, avsbench, ssl, pairs, dataset, negatives (default: all that the data allow)",
    )
    add("--explain", nargs="*", metavar="NAME", help="say what each column of these protocols means, and end")
    add(
        "--audio_control",
        nargs="+",
        default=["original"],
        metavar="NAME",
        help="also score the same images with another sound: silence, noise, swap, offscreen",
    )
    add(
        "--baselines",
        nargs="*",
        default=list(baselines),
        metavar="NAME",
        help="trivial answers scored beside the methods; no name for none (default: %(default)s)",
    )
    add(
        "--resolution",
        choices=("224", "native"),
        default="224",
        help="the pixels that are compared (default: %(default)s)",
    )
    add(
        "--group_size",
        type=at_least(1),
        metavar="N",
        help="samples of a clip, consecutive by name, where no manifest says what belongs together",
    )
    add(
        "--draws",
        type=at_least(0),
        default=1000,
        metavar="N",
        help="of the bootstrap; 0 for no intervals (default: %(default)s)",
    )


def at_least(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from `least` up, for argparse."""

    def number(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} up, found {text!r}")
        return int(text)

    return number


def positive(text: str) -> float:
    """Reads a number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def share(text: str) -> float:
    """Reads a number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, found {text!r}")
    return value
