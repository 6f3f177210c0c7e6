"""What this machine has, which configs run on it, and the exact commands for what lacks.

python -m models.doctor
python -m models.doctor --config base --online

It changes nothing, and asks the hub only with --online.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import psutil
from huggingface_hub import constants, get_token, is_offline_mode
from packaging.requirements import Requirement

from models.checkpoints import BYTES
from models.checkpoints.hub import cache_folder, free_disk, megabytes
from models.config import ROLES, ROOT, Config, config_names, family_class, load_config
from models.fetch import Network, ask_hub, home_relative, table, take_stock
from models.loading import ABILITIES, resolve_device
from utils.cli import DEFAULT_CONFIG, Parser
from utils.errors import run_script
from utils.runs.provenance import versions

MEANINGS = {  # of states that nobody need know
    "gated": "its licence has to be accepted on the hub first",
    "pickled": "the hub has no safetensors of it; --convert makes them, without running code",
    "in part": "a download that stopped; fetching goes on with the files that lack",
    "broken": "a folder that lacks something",
}
SHOWN = ("transformers", "huggingface_hub", "open_clip_torch", "segment-anything", "torchaudio", "numpy")
OPTIONAL = {  # package or program -> what it is for, and how to get it
    "spacy": "another parser for noun phrases (pip install spacy)",
    "msclap": "the family msclap (pip install --no-deps msclap torchlibrosa)",
    "ffmpeg": "m4a, aac and other sounds libsndfile cannot read (apt, brew or winget install ffmpeg)",
}
# Bytes: Python, torch, transformers and one sample; and what is computed with networks, as a part of their weights and
# at most. Measured on networks of published sizes: 1.5 GB beside base's 2.9 GB of weights, under 1 GB beside 8.9 GB.
LIBRARIES, WORKING_PART, WORKING_LIMIT = 1.0e9, 0.5, 2.0e9
CGROUP = Path("/sys/fs/cgroup")
WIDTH, LABEL = 100, 11  # columns


@dataclass(frozen=True)
class Device:
    """Where networks run: "cuda", "mps" or "cpu"; what its maker calls it; bytes of memory in all, and free now."""

    kind: str
    name: str
    memory: int
    free: int
    bfloat16: bool = True


@dataclass(frozen=True)
class Readiness:
    """One config on this machine: its networks and the device they would run on."""

    config: Config
    networks: Sequence[Network]
    device: Device

    @property
    def lacking(self) -> list[Network]:
        """The networks that are not here, or not whole."""
        return [network for network in self.networks if not network.ready]

    @property
    def largest(self) -> Network:
        """The network that needs most memory; a method loads only the roles it uses."""
        return max(self.networks, key=lambda network: memory_of([network]))

    @property
    def too_large(self) -> bool:
        """Whether a network alone needs more memory than there is."""
        return memory_of([self.largest]) > self.device.memory

    @property
    def ready(self) -> bool:
        """Whether every network is here and fits into memory."""
        return not self.lacking and not self.too_large


def main(argv: Sequence[str] | None = None) -> dict[str, Readiness]:
    """Prints the report a command line asks for; returns config's name -> what was found of it."""
    about = "Says what this machine has, which configs run on it, and the commands for what lacks."
    epilog = "Ends with code 0 where the default config is ready, or every one named with --config; else with 1."
    parser = Parser(prog="python -m models.doctor", description=about, epilog=epilog)
    add = parser.add_argument
    add("--config", nargs="+", metavar="NAME|PATH", help="only these configs (default: all in configs/)")
    add("--online", action="store_true", help="ask the hub for exact sizes and gates of what lacks")
    arguments = parser.parse_args(argv)
    device = find_device()
    print(f"This machine\n\n{describe_machine(device)}", flush=True)
    print("\nConfigs, which inference_demo.py and eval.py take with --config NAME")
    found = {}
    for name in arguments.config or sorted(config_names(), key=lambda name: (name != DEFAULT_CONFIG, name)):
        config = load_config(name)
        networks = take_stock(config)
        found[config.name] = Readiness(config, ask_hub(networks) if arguments.online else networks, device)
        print(f"\n{describe(found[config.name])}", flush=True)
    return found


def find_device() -> Device:
    """The device that networks run on here unless another is named."""
    import torch

    kind, (memory, free), name = resolve_device(), system_memory(), processor()
    if kind == "cuda":
        free, memory = torch.cuda.mem_get_info()
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
        return Device(kind, torch.cuda.get_device_name(), memory, free, has_it)
    name = f"Apple {platform.machine()} GPU" if kind == "mps" else f"{name}, threads: {torch.get_num_threads()}"
    return Device(kind, name, memory, free)


def processor() -> str:
    """What the processor calls itself."""
    file = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", file.read_text(encoding="utf-8"), re.M) if file.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def precision(device: Device) -> str:
    """What networks compute in there."""
    if device.kind == "cuda":
        used, also = ("bfloat16", "ones stay so") if device.bfloat16 else ("float16", "is emulated and slow")
        return f"{used} (autocast) for float32 weights; bfloat16 {also}"
    return "float32, as the weights are kept; a config's `dtype: bfloat16` halves the memory"


def system_memory() -> tuple[int, int]:
    """Bytes of memory this process may use in all, and of these the free ones; a container's limit counts."""
    memory, files = psutil.virtual_memory(), (CGROUP / "memory.max", CGROUP / "memory.current")
    limit, used = (file.read_text(encoding="utf-8").strip() if file.is_file() else "" for file in files)
    if limit.isdecimal() and int(limit) < memory.total:
        return int(limit), min(memory.available, int(limit) - int(used or 0))
    return memory.total, memory.available


def wrong_packages(requirements: Path = ROOT / "requirements.txt") -> tuple[int, list[str]]:
    """How many packages the requirements name, and one phrase for each that is not here or in another version."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    wrong = []
    for requirement in wanted:
        found = next(iter(metadata.distributions(name=requirement.name)), None)
        if found is None:
            wrong.append(f"{requirement.name} is not installed")
        elif not requirement.specifier.contains(found.version, prereleases=True):
            wrong.append(f"{requirement.name} {found.version} is installed, {requirement.specifier} is asked for")
    return len(wanted), wrong


def describe_machine(device: Device) -> str:
    """Lines on Python, memory, torch, device, precision, the hub's cache and packages."""
    import torch

    memory, free = map(megabytes, system_memory())
    own = f", {megabytes(device.memory)} memory, {megabytes(device.free)} of it free" if device.kind == "cuda" else ""
    cuda = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    login = "logged in" if get_token() else "not logged in; only gated networks ask for that"
    total, wrong = wrong_packages()
    optional = []
    for name, purpose in OPTIONAL.items():
        here = shutil.which(name) or util.find_spec(name)
        optional.append(f"{name}: {'here' if here else f'not here, and only needed for {purpose}'}")
    return _rows(
        ("system", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
        ("memory", f"{memory}, {free} of it free"),
        ("torch", f"{torch.__version__}, {cuda}"),
        ("device", f"{device.kind}: {device.name}{own}"),
        ("precision", precision(device)),
        ("hub cache", f"{home_relative(cache_folder())}, {megabytes(free_disk())} free on its disk"),
        ("hub login", "HF_HUB_OFFLINE is set: nothing is fetched" if is_offline_mode() else login),
        ("packages", "; ".join(wrong) or f"all {total} of requirements.txt, in versions it allows"),
        *([("", "1. pip install -r requirements.txt")] if wrong else []),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions().items() if name in SHOWN)),
        ("optional", optional[0]),
        *(("", text) for text in optional[1:]),
    )


def memory_of(networks: Iterable[Network]) -> float:
    """About how many bytes it takes to run networks: weights, libraries, room to work; unknown sizes left out."""
    once = {(*network.key, network.source.dtype): network for network in networks}.values()
    weights = sum((network.parameters or 0) * BYTES[network.source.dtype] for network in once)
    return LIBRARIES + weights + min(WORKING_PART * weights, WORKING_LIMIT)


def describe(found: Readiness) -> str:
    """Lines on one config: what it is, its networks, its memory, the verdict and what to do."""
    states = {network.state for network in found.networks}
    refusals = [network.refusal for network in found.networks if network.refusal]
    lines = "\n".join(f"  {row}" for row in table(found.networks))
    rows = _rows(
        *(("", f"{state}: {meaning}") for state, meaning in MEANINGS.items() if state in states),
        *(("hub", said) for said in dict.fromkeys(error.reason or str(error) for error in refusals)),
        ("memory", memory_in_words(found)),
        ("verdict", verdict(found)),
        *(("", f"{number}. {step}") for number, step in enumerate(steps(found), 1)),
    )
    return f"{_wrapped(f'{found.config.name}: {found.config.summary}')}\n\n{lines}\n\n{rows}"


def memory_in_words(found: Readiness) -> str:
    """With every role loaded, and for the largest network alone."""
    every, alone = megabytes(memory_of(found.networks)), megabytes(memory_of([found.largest]))
    unknown = ", ".join(network.role for network in found.networks if not network.parameters)
    words = f"about {every} with every role loaded; the largest network alone ({found.largest.role}) needs {alone}"
    return words + (f"; without {unknown}, whose size is not known yet" if unknown else "")


def verdict(found: Readiness) -> str:
    """One sentence: ready, or what keeps it from that."""
    there, said = found.device.memory, []
    if found.lacking:
        said.append(f"{len(found.lacking)} of {len(found.networks)} networks are not on this machine")
    if found.too_large:
        need = megabytes(memory_of([found.largest]))
        said.append(f"too large for its memory (about {need} needed, {megabytes(there)} there)")
    if said:
        return f"NOT READY: {'; '.join(said)}"
    every = memory_of(found.networks) <= there
    return "READY" if every else "READY, but not with every role at once: run one method at a time"


def steps(found: Readiness) -> list[str]:
    """What to do, in order: commands to paste, and what only a person can do."""
    name = found.config.name if found.config.path.parent.name == "configs" else str(found.config.path)
    if found.too_large:
        return ["take a smaller config or a larger machine, or try half the memory: --set ROLE.dtype=bfloat16"]
    todo = []
    for network in found.lacking:
        if network.state == "gated":
            instead = f" (or take {network.published.alternative})" if network.published.alternative else ""
            todo.append(f"accept the licence at {constants.ENDPOINT}/{network.source.weights}{instead}")
    todo += ["hf auth login"] if todo else []
    fetched = {network.key: network for network in found.lacking if not network.local}.values()
    if fetched:
        convert = " --convert" if any(network.state == "pickled" for network in fetched) else ""
        sizes = [network.to_come for network in fetched]
        size = f"{'more than' if None in sizes else 'about'} {megabytes(sum(filter(None, sizes)))}"
        size = size if any(sizes) else "of unknown size"
        todo.append(f"python -m models.fetch --config {name}{convert}    ({size})")
    local = [network for network in found.lacking if network.local]
    todo += [f"put in order {network.source.weights}: {'; '.join(network.faults)}" for network in local]
    demo = f"python inference_demo.py{'' if name == DEFAULT_CONFIG else f' --config {name}'}"
    known = playable(found.config.roles)
    if not known:
        return [*todo, f"add a role to {name}: with those it has, {', '.join(found.config.roles)}, no method runs"]
    return [*todo, demo if {*ROLES} <= {*found.config.roles} else f"{demo} --methods {' '.join(known)}"]


def playable(roles: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The methods that listen, by name, which can be asked with a config's roles; read of their files, as text."""
    found, missing = (
        [],
        [
            ability
            for role, (ability, _) in ABILITIES.items()
            if role in roles and not hasattr(family_class(role, roles[role]["family"]), ability)
        ],
    )
    for path in sorted((ROOT / "methods").glob("[a-z]*.py")):
        text = path.read_text(encoding="utf-8")
        needs = re.search(r"^    requires = \((.*)\)", text, re.M)
        can = needs and {*re.findall(r"\w+", needs[1]), "segmenter"} <= {*roles}
        if can and "listens = False" not in text and not any(ability in text for ability in missing):
            found.append(path.stem)
    return found


def _rows(*rows: tuple[str, str]) -> str:
    """Texts beside their labels, wrapped; commands are never broken, as a broken one cannot be pasted."""
    lines = []
    for label, text in rows:
        start = f"  {label:<{LABEL}}"
        command = re.match(r"\d+\. python ", text)
        lines.append(start + text if command else _wrapped(text, start, " " * len(start)))
    return "\n".join(lines)


def _wrapped(text: str, first: str = "", others: str = "") -> str:
    how = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=others, **how)


def _script() -> int:
    found: dict[str, Readiness] = {}
    code = run_script(lambda: found.update(main()))
    asked = [*found] if any(word.startswith("--config") for word in sys.argv) else [DEFAULT_CONFIG]
    return code or int(not all(name in found and found[name].ready for name in asked))


if __name__ == "__main__":
    sys.exit(_script())
