"""Writes random networks of the published sizes for every role of a config, and a config that names them.

python -m tests.checkpoints --config base --out runs/random
python eval.py --config runs/random/base-random.yaml --test_data_path datasets/examples
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import methods
from models.config import load_config, sources
from tests.checkpoints import published
from utils.errors import UserError, run_script
from utils.files import write_text_atomic

LICENSE = "none: random numbers"
# Settings that let a method answer nothing; without them every stage works, which is what is to be measured.
NOTHING_IS_TOO_LITTLE = {"min_similarity": -1.0, "min_probability": 0.0}


def main(argv: Sequence[str] | None = None) -> Path:
    """Writes what a command line names.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        The path of the config written.

    Raises:
        UserError: no such config, or an architecture that is not known here.
    """
    arguments = _parse(argv)
    config = load_config(arguments.config, arguments.set, methods.available())
    found = [source for source in sources(config) if not arguments.roles or source.role in arguments.roles]
    known = published.available()
    if unknown := [source.weights for source in found if source.weights not in known]:
        raise UserError(f"no architecture is known here for {', '.join(unknown)}; known: {', '.join(known)}")
    roles: dict[str, dict[str, Any]] = {source.role: dict(config.roles[source.role]) for source in found}
    for source in found:
        folder = arguments.out.resolve() / (source.weights.replace("/", "--") + "-tiny" * arguments.tiny)
        print(f"{source.role:<16} {source.weights} -> {folder}", flush=True)
        published.write(source.weights, folder, tiny=arguments.tiny)
        here = {"weights": str(folder), "license": LICENSE, "dtype": source.dtype}
        roles[source.role] |= {source.part: here} if source.part else here
        if not source.part:
            roles[source.role].pop("revision", None)
    path = arguments.out / f"{config.name}-random.yaml"
    size = "tiny" if arguments.tiny else "at their published sizes"
    write_config(path, f"the networks of {config.name}, {size},", roles, config.methods)
    print(f"{'config':<16} {path}")
    return path


def write_config(path: Path, networks: str, roles: dict[str, Any], kept: Mapping[str, dict[str, Any]]) -> None:
    """Writes a config of random networks in which no method's threshold lets it ask nothing.

    Args:
        path: of the YAML file.
        networks: which, in words.
        roles: role -> its entry.
        kept: method -> its other settings.
    """
    settings = {}
    for name in methods.available():
        known = methods.settings(name)
        opened = {key: value for key, value in NOTHING_IS_TOO_LITTLE.items() if key in known}
        settings[name] = {**kept.get(name, {}), **opened}
    summary = f"{networks} with RANDOM WEIGHTS, which know nothing"
    content = {"summary": summary, "roles": roles, "methods": settings}
    write_text_atomic(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.checkpoints",
        description="Writes networks of a config's published sizes with random weights: for time and memory only.",
    )
    add = parser.add_argument
    add("--config", default="base", metavar="NAME|PATH", help="whose networks (default: %(default)s)")
    add("--set", nargs="+", action="extend", default=[], metavar="NAME.KEY=VALUE", help="override settings")
    add("--roles", nargs="+", metavar="ROLE", help="only these roles (default: all)")
    add("--out", type=Path, default=Path("runs/random"), metavar="DIR", help="where (default: %(default)s)")
    add("--tiny", action="store_true", help="a few thousand parameters each: to see that something runs")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
