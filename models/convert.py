"""Makes safetensors of pickled weights, once, without running the code a pickle can hold.

python -m models.convert MU-NLPC/whisper-small-audio-captioning
python -m models.convert my/folder

A hub id is fetched and converted inside the hub's cache, where its name finds it from then on; a folder gets a
model.safetensors beside its pytorch_model.bin. Torch's restricted unpickler opens tensors and refuses everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.checkpoints.files import SINGLE, needed, pickled_among, weights_among
from models.checkpoints.hub import converted_folder, local_folder
from utils.errors import UserError, run_script

if TYPE_CHECKING:
    import torch

OPEN_CLIP = (
    "open_clip_pytorch_model.bin",
    "open_clip_model.safetensors",
)  # open_clip's names
NESTED = ("state_dict", "model", "model_state_dict")  # keys under which training scripts put the tensors


def main(argv: Sequence[str] | None = None) -> Path:
    """Converts what a command line names.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        The folder with the safetensors.

    Raises:
        UserError: nothing to convert, or more than tensors in the file.
    """
    arguments = _parse(argv)
    folder = convert(arguments.weights, arguments.revision)
    print(f"safetensors in {folder}\nnow usable as the weights {arguments.weights}")
    return folder


def convert(weights: str, revision: str | None = None) -> Path:
    """Converts a hub id inside the hub's cache, or a folder in place.

    Args:
        weights: hub id or folder.
        revision: commit, tag or branch of a hub id.

    Returns:
        The folder with the safetensors.

    Raises:
        UserError: no pickled weights, more than tensors in them, or the hub does not give them.
    """
    folder = local_folder(weights)
    if folder:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}; name a folder with pickled weights, or a hub id")
        _write(_read(weights, folder), folder, weights)
        return folder
    from models.checkpoints.download import bring
    from models.checkpoints.repository import ask

    repository = ask(weights, revision)
    names = [file.name for file in repository.files]
    _check_pickled(weights, names)
    out = converted_folder(weights, repository.commit)
    if out.is_dir():
        return out
    small = needed(names)
    snapshot = bring(repository, repository.pick([*small, *_pickled(names)]), revision)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".", dir=out.parent))
    try:
        for name in small:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(snapshot / name, partial / name)
        _write(_read(weights, snapshot), partial, f"{weights}@{repository.commit}")
        partial.chmod(0o755)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _pickled(names: Sequence[str]) -> list[str]:
    """The main weights among pickled files: PyTorch's own name with its index, else the first."""
    found = pickled_among(names)
    if OPEN_CLIP[0] in found and "open_clip_config.json" in names:
        return [OPEN_CLIP[0]]
    own = [name for name in found if name.startswith("pytorch_model")]
    index = [name for name in names if name == "pytorch_model.bin.index.json"]
    if "pytorch_model.bin" in own:
        return ["pytorch_model.bin"]
    return [*index, *own] if own and index else found[:1]


def _check_pickled(weights: str, names: Sequence[str]) -> None:
    if weights_among(name for name in names if "/" not in name):
        raise UserError(f"{weights} has safetensors weights already; nothing is to be converted")
    if not pickled_among(names):
        raise UserError(f"{weights} has no pickled weights (pytorch_model.bin); expected something to convert")


def _read(weights: str, folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a folder's pickled weights, each with memory of its own."""
    import pickle

    import torch

    names = [path.name for path in folder.iterdir() if path.is_file()]
    _check_pickled(weights, names)
    tensors: dict[str, torch.Tensor] = {}
    for name in _pickled(names):
        if name.endswith(".json"):
            continue
        try:
            content = torch.load(folder / name, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise UserError(
                f"{folder / name} is not opened: it is damaged, or holds more than tensors, which could be code; "
                "expected a PyTorch state dict"
            ) from error
        tensors |= _state_dict(content, folder / name)
    expected = _expected(folder)
    if expected - set(tensors):
        raise UserError(f"{folder} lacks {len(expected - set(tensors))} tensors that its index names; fetch it again")
    # Tied tensors share memory, which safetensors does not know: each name gets its own copy, and none is lost.
    return {name: tensor.clone().contiguous() for name, tensor in tensors.items()}


def _state_dict(content: Any, path: Path) -> Mapping[str, torch.Tensor]:
    import torch

    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}; expected a mapping of names to tensors")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise UserError(f"{path} holds no tensors; expected a PyTorch state dict")
    return tensors


def _expected(folder: Path) -> set[str]:
    index = folder / "pytorch_model.bin.index.json"
    if not index.is_file() or (folder / "pytorch_model.bin").is_file():
        return set()
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"])


def _write(tensors: Mapping[str, torch.Tensor], folder: Path, source: str) -> None:
    """Writes the safetensors file, whole or not at all."""
    from safetensors.torch import save_file

    name = OPEN_CLIP[1] if (folder / "open_clip_config.json").is_file() else SINGLE
    partial = folder / f".{name}.partial"
    try:
        save_file(dict(tensors), partial, metadata={"format": "pt", "converted_from": source})
        os.replace(partial, folder / name)
    finally:
        partial.unlink(missing_ok=True)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.convert",
        description="Makes safetensors of pickled weights, once, without running code they may hold.",
    )
    add = parser.add_argument
    add("weights", metavar="HUB_ID|FOLDER", help="what has pytorch_model.bin and no model.safetensors")
    add("--revision", metavar="REV", help="commit, tag or branch of a hub id (default: its default branch)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
