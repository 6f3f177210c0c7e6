"""Networks of published architectures with random weights, saved the way published ones are.

They know nothing. At their published size they measure time and memory where no hub can be reached; at a tiny size
they let the tests take the loaders' real path. One architecture a file of this folder: it has `PUBLISHED` (hub id ->
what differs from the library's defaults, with the source) and `build(hub_id, tiny)`, which returns what writes the
network into a folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from models.network import quiet
from utils.errors import UserError

HERE = Path(__file__).parent
NOT_ARCHITECTURES = {"__main__", "asda", "pocket", "published", "tiny_config", "vocabularies"}


def available() -> dict[str, str]:
    """Hub id -> name of the file here that builds its architecture."""
    names = sorted({path.stem for path in HERE.glob("*.py")} - NOT_ARCHITECTURES)
    return {hub_id: name for name in names for hub_id in import_module(f"tests.checkpoints.{name}").PUBLISHED}


def write(hub_id: str, folder: Path, tiny: bool = False) -> Path:
    """Writes a checkpoint: config, safetensors weights, tokenizer and preprocessing, as the published one has them.

    Args:
        hub_id: one of `available()`.
        folder: where; whole or not at all. One that holds weights already is left as it is.
        tiny: the same architecture with a few thousand parameters, for tests.

    Returns:
        The folder.

    Raises:
        UserError: the architecture is not known here, or the folder holds other things than weights.
    """
    known = available()
    if hub_id not in known:
        raise UserError(f"no architecture is known here for {hub_id}; known: {', '.join(sorted(known))}")
    if any(folder.glob("*.safetensors")):
        return folder
    save_random(folder, import_module(f"tests.checkpoints.{known[hub_id]}").build, hub_id, tiny)
    return folder


def save_random(folder: Path, build: Callable[..., Callable[[Path], None]], *args: object, **settings: object) -> Path:
    """Writes what a `build` of this folder makes of its arguments, from the same random numbers every time.

    Raises:
        UserError: there are files in the folder.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"expected an empty folder or none, found files in {folder}")
    import transformers

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with quiet(transformers), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            build(*args, **settings)(partial)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder
