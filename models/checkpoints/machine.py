"""What this machine has for running networks: Python, torch, device, memory, disk, packages. Asked, never changed."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = {  # package or program -> what it is for, and how to get it
    "spacy": ("another parser for noun phrases", "pip install spacy"),
    "msclap": ("the family msclap", "pip install --no-deps msclap torchlibrosa"),
    "ffmpeg": ("m4a, aac and other sounds libsndfile cannot read", "apt, brew or winget install ffmpeg"),
}
UNLIMITED = 1 << 60  # bytes; what cgroups say where nothing is set


@dataclass(frozen=True)
class Device:
    """Where networks run.

    Attributes:
        kind: "cuda", "mps" or "cpu".
        name: as its maker calls it.
        memory: bytes that it has for networks in all.
        free: of these, now.
        bfloat16: whether it computes in bfloat16.
    """

    kind: str
    name: str
    memory: int
    free: int
    bfloat16: bool

    @property
    def precision(self) -> str:
        """What networks compute in there."""
        if self.kind == "cuda":
            also = "bfloat16 ones stay so" if self.bfloat16 else "bfloat16 is emulated and slow"
            return f"float16 (autocast) for float32 weights; {also}"
        return "float32, as the weights are kept; a config's `dtype: bfloat16` halves the memory"


def find_device(name: str = "auto") -> Device:
    """The device that "auto", or a name, stands for."""
    import torch

    from models.loading import resolve_device

    name = resolve_device(name)
    memory, free = system_memory()
    if name.startswith("cuda"):
        free, memory = torch.cuda.mem_get_info(name)
        return Device("cuda", torch.cuda.get_device_name(name), memory, free, torch.cuda.is_bf16_supported())
    if name == "mps":
        return Device("mps", f"Apple {platform.machine()} GPU", memory, free, True)
    return Device("cpu", f"{processor()}, threads: {torch.get_num_threads()}", memory, free, True)


def system_memory() -> tuple[int, int]:
    """Bytes of memory this process may use in all, and of these the free ones."""
    total, free = _memory_of_the_system()
    limit, used = (_read_number(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit is not None and limit < min(total, UNLIMITED):
        return limit, min(free, limit - (used or 0))
    return total, free


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def wrong_packages() -> tuple[int, list[str]]:
    """Compares what is installed with requirements.txt.

    Returns:
        How many packages it names, and one phrase for each that is not here or in another version.
    """
    from packaging.requirements import Requirement

    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    wrong = []
    for requirement in wanted:
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found} is installed, {requirement.specifier} is asked for")
    return len(wanted), wrong


def optional_packages() -> list[tuple[str, bool, str, str]]:
    """Of each package or program that few need: name, whether it is here, what it is for, how to get it."""
    return [
        (name, bool(shutil.which(name) or util.find_spec(name)), purpose, way)
        for name, (purpose, way) in OPTIONAL.items()
    ]


def free_disk(folder: Path) -> int:
    """Bytes free on the disk of a folder that need not exist yet."""
    return shutil.disk_usage(next(parent for parent in (folder, *folder.parents) if parent.is_dir())).free


def _memory_of_the_system() -> tuple[int, int]:
    if sys.platform == "win32":
        return _memory_of_windows()
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = total  # macOS does not say
    return total, free


def _memory_of_windows() -> tuple[int, int]:
    import ctypes

    class Status(ctypes.Structure):
        _fields_: Sequence[tuple[str, type]] = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")),
        ]

    status = Status(length=ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status.total, status.free


def _read_number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
