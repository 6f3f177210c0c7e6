"""Writes random networks of the published sizes for every role of a config, and a config that names them.

python -m models.random_weights --config base --out runs/random
python eval.py --config runs/random/base-random.yaml --allow_random_weights --test_data_path datasets/examples
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import methods
from utils.errors import UserError, run_script

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
    from models.config import load_config, sources
    from models.random_weights import available, write

    config = load_config(arguments.config, arguments.set)
    found = [source for source in sources(config) if not arguments.roles or source.role in arguments.roles]
    unknown = [source.weights for source in found if source.weights not in available()]
    if unknown:
        raise UserError(f"no architecture is known here for {', '.join(unknown)}; known: {', '.join(available())}")
    roles: dict[str, dict[str, Any]] = {source.role: dict(config.roles[source.role]) for source in found}
    for source in found:
        folder = arguments.out.resolve() / source.weights.replace("/", "--")
        print(f"{source.role:<16} {source.weights} -> {folder}", flush=True)
        write(source.weights, folder)
        here = {"weights": str(folder), "license": "none: random numbers", "dtype": source.dtype}
        roles[source.role] |= {source.part: here} if source.part else here
        if not source.part:
            roles[source.role].pop("revision", None)
    path = arguments.out / f"{config.name}-random.yaml"
    _write_config(path, config.name, roles, {name: _open_settings(name, config) for name in methods.available()})
    print(f"{'config':<16} {path}")
    return path


def _open_settings(method: str, config: Any) -> dict[str, Any]:
    known = methods.settings(method)
    opened = {key: value for key, value in NOTHING_IS_TOO_LITTLE.items() if key in known}
    return {**config.methods.get(method, {}), **opened}


def _write_config(path: Path, name: str, roles: dict[str, Any], settings: dict[str, Any]) -> None:
    import yaml

    from utils.files import write_text_atomic

    summary = f"the networks of {name} at their published sizes with RANDOM WEIGHTS: for time and memory only"
    content = {"summary": summary, "roles": roles, "methods": settings}
    write_text_atomic(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.random_weights",
        description="Writes networks of a config's published sizes with random weights: for time and memory only.",
    )
    add = parser.add_argument
    add("--config", default="base", metavar="NAME|PATH", help="whose networks (default: %(default)s)")
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="override settings",
    )
    add("--roles", nargs="+", metavar="ROLE", help="only these roles (default: all)")
    add("--out", type=Path, default=Path("runs/random"), metavar="DIR", help="where (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
