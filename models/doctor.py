"""What this machine has, which configs run on it, and the exact commands for what lacks.

python -m models.doctor
python -m models.doctor --config base --online

It changes nothing, and asks the hub only with --online.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
import textwrap
from collections.abc import Sequence

from models.checkpoints.hub import cache_folder
from models.checkpoints.inventory import home_relative, table
from models.checkpoints.machine import Device, find_device, free_disk, optional_packages, system_memory, wrong_packages
from models.checkpoints.readiness import DEFAULT, Readiness, examine, memory_in_words, steps, verdict
from utils.errors import UserError, run_script
from utils.runs.provenance import versions

MEANINGS = {  # of states that nobody need know
    "gated": "its licence has to be accepted on the hub first",
    "pickled": "the hub has no safetensors of it; --convert makes them, without running code",
    "in part": "a download that stopped; fetching goes on from there",
    "broken": "a folder that lacks something",
}
SHOWN = ("transformers", "huggingface_hub", "open_clip_torch", "segment-anything", "torchaudio", "numpy")
WIDTH = 100  # columns
LABEL = 11  # columns


def main(argv: Sequence[str] | None = None) -> dict[str, Readiness]:
    """Prints the report a command line asks for.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        Config's name -> what was found of it.

    Raises:
        UserError: no such config.
    """
    arguments = _parse(argv)
    from models.config import config_names, load_config

    device = find_device()
    print("\n".join(["This machine", "", *describe_machine(device)]), flush=True)
    print("\nConfigs, which inference_demo.py and eval.py take with --config NAME")
    found = {}
    for name in arguments.config or sorted(config_names(), key=lambda name: (name != DEFAULT, name)):
        try:
            config = load_config(name)
        except UserError as error:
            if arguments.config:
                raise
            print("\n".join(["", *_wrapped(f"{name}: cannot be read: {error}")]))
            continue
        found[config.name] = examine(config, device, online=arguments.online)
        print("\n".join(["", *describe(found[config.name])]), flush=True)
    return found


def describe_machine(device: Device) -> list[str]:
    """Lines on Python, memory, torch, device, precision, the hub's cache and packages."""
    import torch
    from huggingface_hub import get_token, is_offline_mode

    from models.checkpoints.download import megabytes

    memory, free = map(megabytes, system_memory())
    own = f", {megabytes(device.memory)} memory, {megabytes(device.free)} of it free" if device.kind == "cuda" else ""
    cache = cache_folder("x").parent
    login = "logged in" if get_token() else "not logged in; only gated networks ask for that"
    total, wrong = wrong_packages()
    rows = [
        ("system", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
        ("memory", f"{memory}, {free} of it free"),
        ("torch", f"{torch.__version__}, {f'for CUDA {torch.version.cuda}' if torch.version.cuda else 'without CUDA'}"),
        ("device", f"{device.kind}: {device.name}{own}"),
        ("precision", device.precision),
        ("hub cache", f"{home_relative(cache)}, {megabytes(free_disk(cache))} free on its disk"),
        ("hub login", "HF_HUB_OFFLINE is set: nothing is fetched" if is_offline_mode() else login),
        ("packages", "; ".join(wrong) or f"all {total} of requirements.txt, in versions it allows"),
    ]
    if wrong:
        rows.append(("", "1. pip install -r requirements.txt"))
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in versions().items() if name in SHOWN)))
    optional = [
        f"{name}: {'here' if there else f'not here, and only needed for {purpose} ({way})'}"
        for name, there, purpose, way in optional_packages()
    ]
    rows += zip(["optional", *[""] * len(optional)], optional, strict=False)
    return [line for label, text in rows for line in _labelled(label, text)]


def describe(found: Readiness) -> list[str]:
    """Lines on one config: what it is, its networks, its memory, the verdict and what to do."""
    from models.fetch import key_of, size_in_words

    sizes = [size_in_words(network, found.orders.get(key_of(network))) for network in found.networks]
    states = {network.state for network in found.networks}
    rows = [
        *(("", f"{state}: {meaning}") for state, meaning in MEANINGS.items() if state in states),
        *(("hub", said) for said in _said_by_the_hub(found)),
        ("memory", memory_in_words(found.memory)),
        ("verdict", verdict(found)),
        *(("", f"{number}. {step}") for number, step in enumerate(steps(found), 1)),
    ]
    return [
        *_wrapped(f"{found.config.name}: {found.config.summary}"),
        "",
        *(f"  {row}" for row in table(found.networks, sizes)),
        "",
        *(line for label, text in rows for line in _labelled(label, text)),
    ]


def _said_by_the_hub(found: Readiness) -> list[str]:
    """What stands in the way of what lacks, each thing once."""
    refusals = [order.refusal for order in found.orders.values() if order.refusal]
    return list(dict.fromkeys(getattr(refusal, "reason", "") or str(refusal) for refusal in refusals))


def _labelled(label: str, text: str) -> list[str]:
    """Text beside a label, wrapped; commands are never broken, as a broken one cannot be pasted."""
    start = f"  {label:<{LABEL}}"
    if re.match(r"\d+\. python ", text):
        return [start + text]
    return _wrapped(text, initial_indent=start, subsequent_indent=" " * len(start))


def _wrapped(text: str, **indents: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False, **indents)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.doctor",
        description="Says what this machine has, which configs run on it, and the commands for what lacks.",
        epilog="Ends with code 0 where the default config is ready, or every one named with --config; else with 1.",
    )
    add = parser.add_argument
    add("--config", nargs="+", metavar="NAME|PATH", help="only these configs (default: all in configs/)")
    add("--online", action="store_true", help="ask the hub for exact sizes and gates of what lacks")
    return parser.parse_args(argv)


def _script() -> int:
    found: dict[str, Readiness] = {}
    code = run_script(lambda: found.update(main()))
    asked = [*found] if any(word.startswith("--config") for word in sys.argv) else [DEFAULT]
    return code or int(not all(name in found and found[name].ready for name in asked))


if __name__ == "__main__":
    sys.exit(_script())
