"""What each network of a config costs: size, time to load, time an item, and memory, in a process of its own.

python -m tests.benchmarks.measure --config pocket
python -m tests.benchmarks.measure --config runs/random/base-random.yaml

An item is one image of 640 x 480 pixels (a bundled one, stretched and shifted) or 10 s of sound (a bundled one,
repeated and shifted); the first call of each kind is not counted. A segmenter is asked for one thing and for three.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

import methods
from models.config import Config, load_config, sources
from models.loading import load_models, resolve_device
from utils.cli import DEFAULT_CONFIG
from utils.errors import UserError, run_script
from utils.media.images import read_image
from utils.media.sounds import read_audio
from utils.types import Query

EXAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "examples"
EXAMPLE = "farm_dog"
WIDTH, HEIGHT, SECONDS = 640, 480, 10
THINGS = ("dog", "acoustic guitar", "fire engine")
COLUMNS = ("role", "network", "parameters (M)", "weights (MB)", "load (s)", "item (s)", "peak memory (MB)")


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Measures what a command line names.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        One row a role and kind of item, as printed.

    Raises:
        UserError: no such config, or a network cannot be loaded.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    arguments = _parse(argv)
    if arguments.items < 1:
        raise UserError(f"expected --items to be 1 or more, found {arguments.items}")
    config = load_config(arguments.config, arguments.set, methods.available())
    if arguments.only:
        rows = _measure(config, arguments.only, arguments)
        print(json.dumps(rows))
        return rows
    rows = []
    for role in arguments.roles or config.roles:
        rows += _in_a_process_of_its_own([*argv, "--only", role])
    print(_table(rows, resolve_device(arguments.device)))
    return rows


def _in_a_process_of_its_own(argv: Sequence[str]) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-m", "tests.benchmarks.measure", *argv], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise UserError(
            f"measuring stopped at `python -m tests.benchmarks.measure {' '.join(argv)}`; its own words stand above"
        )
    return json.loads(done.stdout.splitlines()[-1])


def _measure(config: Config, role: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    start = perf_counter()
    model = load_models(config, [role], arguments.device)[role]
    loaded = perf_counter() - start
    networks = [part.network for part in model.networks.values()] if hasattr(model, "networks") else [model.network]
    tensors = [tensor for network in networks for tensor in network.parameters()]
    common = {
        "role": role,
        "network": " + ".join(_name(source.weights) for source in sources(config) if source.role == role),
        "parameters (M)": sum(tensor.numel() for tensor in tensors) / 1e6,
        "weights (MB)": sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6,
        "load (s)": loaded,
    }
    rows = []
    for kind, ask in _calls(role, model).items():
        ask(0)
        times = []
        for turn in range(1, arguments.items + 1):
            start = perf_counter()
            ask(turn)
            times.append(perf_counter() - start)
        rows.append({**common, "role": f"{role}: {kind}", "item (s)": sorted(times)[len(times) // 2]})
    return [row | {"peak memory (MB)": peak_memory(resolve_device(arguments.device))} for row in rows]


def _name(weights: str) -> str:
    """The hub id, also of the folder that `tests.checkpoints` made for it."""
    return Path(weights).name.replace("--", "/") if Path(weights).is_absolute() else weights


def _calls(role: str, model: Any) -> dict[str, Callable[[int], object]]:
    """Kind of item -> what to do with the n-th; no two are alike, so that no memory answers."""
    picture = np.asarray(Image.fromarray(read_image(EXAMPLES / f"image/{EXAMPLE}.jpg")).resize((WIDTH, HEIGHT)))
    waveform, sampling_rate = read_audio(EXAMPLES / f"wav/{EXAMPLE}.wav")
    waveform = np.resize(waveform, SECONDS * sampling_rate)

    def image(turn: int) -> Any:
        return np.roll(picture, 8 * turn, axis=1)

    def sound(turn: int) -> tuple[list[Any], list[int]]:
        return [np.roll(waveform, 1000 * turn)], [sampling_rate]

    if role == "audio_text":
        return {
            "a sound": lambda turn: model.encode_audio(*sound(turn)),
            "a sentence": lambda turn: model.encode_text([f"{THINGS[0]} number {turn}"]),
        }
    if role == "audio_tagger":
        return {"a sound": lambda turn: model.tag(*sound(turn))}
    if role == "audio_captioner":
        return {"a sound": lambda turn: model.caption(*sound(turn))}
    if role == "image_captioner":
        return {"an image": lambda turn: model.caption([image(turn)])}
    asked = [Query(f"A photo of {thing}") for thing in THINGS]
    return {
        "one thing": lambda turn: model.segment([image(turn)], [asked[:1]]),
        "three things": lambda turn: model.segment([image(turn)], [asked]),
    }


def peak_memory(device: str) -> float:
    """MB: what torch took of the GPU where one is used, else all of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 1e6
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def where(device: str) -> str:
    """What a device is, in words."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"


def _table(rows: Sequence[dict[str, Any]], device: str) -> str:
    """Markdown."""
    memory = "is what torch took of it" if device.startswith("cuda") else "includes Python and its libraries"
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in rows:
        cells = [value if isinstance(value, str) else _digits(value) for value in map(row.get, COLUMNS)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"torch {torch.__version__}, {where(device)}; memory {memory}"])


def _digits(value: float) -> str:
    """Three of them, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.measure", description="Measures what each network of a config costs."
    )
    add = parser.add_argument
    add("--config", default=DEFAULT_CONFIG, metavar="NAME|PATH", help="whose networks (default: %(default)s)")
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="override settings of the config",
    )
    add("--roles", nargs="+", metavar="ROLE", help="only these roles (default: all)")
    add(
        "--items",
        type=int,
        default=3,
        metavar="N",
        help="calls of each kind, of which the median (default: %(default)s)",
    )
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    add("--only", metavar="ROLE", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
