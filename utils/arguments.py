"""The command-line options both scripts share: which methods, which networks, where they run."""

from __future__ import annotations

import argparse

__all__ = ["add_run_options", "share"]


def add_run_options(parser: argparse.ArgumentParser, methods: list[str]) -> None:
    """Adds --methods, --config, --set, --device, --seed, --threshold and --allow_random_weights.

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
        default="tiny",
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
    add(
        "--allow_random_weights",
        action="store_true",
        help="run checkpoints of models.random_weights, which know nothing: to measure time and memory, never to score",
    )


def share(text: str) -> float:
    """Reads a number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to below 1, found {text!r}")
    return value
