"""Networks of published architectures with random weights, saved the way published ones are.

They know nothing. At their published size they measure time and memory where no hub can be reached; at a tiny size
they let the tests take the loaders' real path. A folder written here carries a mark, and the loaders refuse it unless
they are told to allow random weights.

    python -m models.random_weights --config base --out runs/random

One architecture a file: it has `PUBLISHED` (hub id -> what differs from the library's defaults, with the source) and
`build(hub_id, tiny)`.
"""

from __future__ import annotations

import os
import pkgutil
import shutil
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from models.checkpoints.hub import RANDOM_MARK
from utils.errors import UserError

__all__ = ["available", "write"]

NOT_ARCHITECTURES = {"__main__", "vocabularies"}
MARK = "These weights are random numbers, made to measure time and memory: what they answer means nothing.\n"

Save = Callable[[Path], None]


def available() -> dict[str, str]:
    """Hub id -> name of the file here that builds its architecture."""
    modules = {info.name: _module(info.name) for info in pkgutil.iter_modules(__path__)}
    return {
        hub_id: name
        for name, module in sorted(modules.items())
        if name not in NOT_ARCHITECTURES
        for hub_id in module.PUBLISHED
    }


def write(hub_id: str, folder: Path, tiny: bool = False) -> Path:
    """Writes a checkpoint: config, safetensors weights, tokenizer and preprocessing, as the published one has them.

    Args:
        hub_id: one of `available()`.
        folder: where; whole or not at all. One that is there already is left as it is.
        tiny: the same architecture with a few thousand parameters, for tests.

    Returns:
        The folder.

    Raises:
        UserError: the architecture is not known here.
    """
    known = available()
    if hub_id not in known:
        raise UserError(f"no architecture is known here for {hub_id}; known: {', '.join(sorted(known))}")
    if (folder / RANDOM_MARK).is_file():
        return folder
    import torch
    import transformers

    from models.network import quiet

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with quiet(transformers), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            save: Save = _module(known[hub_id]).build(hub_id, tiny)
            save(partial)
        (partial / RANDOM_MARK).write_text(MARK, encoding="utf-8")
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")
