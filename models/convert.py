"""Makes safetensors of pickled weights, once, without running the code a pickle can hold.

python -m models.convert Salesforce/blip-image-captioning-base
python -m models.convert my/folder

A folder, or the hub's cache of a hub id, gets a model.safetensors beside its pytorch_model.bin and is found by its name
from then on. The library loads its own architectures and saves them again; of other files torch's restricted unpickler
opens the tensors. Both refuse everything that is not a tensor.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from models.checkpoints.hub import ask, fetch
from models.weights import SINGLE, faults, local_path, needed, pickled_among, read_json, weights_among
from utils.cli import Parser
from utils.errors import UserError, first_sentence, run_script

OPEN_CLIP = {"open_clip_pytorch_model.bin": "open_clip_model.safetensors"}  # open_clip's names
SINGLE_PICKLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
NESTED = ("state_dict", "model", "model_state_dict")  # keys under which training scripts put the tensors


def main(argv: Sequence[str] | None = None) -> Path:
    """Converts what a command line names; returns the folder with the safetensors. Raises: see `convert`."""
    about = "Makes safetensors of pickled weights, once, without running code they may hold."
    parser = Parser(prog="python -m models.convert", description=about)
    add = parser.add_argument
    add("weights", metavar="HUB_ID|FOLDER", help="what has pytorch_model.bin and no model.safetensors")
    add("--revision", metavar="REV", help="commit, tag or branch of a hub id (default: its default branch)")
    arguments = parser.parse_args(argv)
    folder = convert(arguments.weights, arguments.revision)
    pinned = f" at the revision {arguments.revision}" if arguments.revision else ""
    print(f"safetensors in {folder}\nnow usable as the weights {arguments.weights}{pinned}")
    return folder


def convert(weights: str, revision: str | None = None) -> Path:
    """Converts a hub id (at a commit, tag or branch) inside the hub's cache, or a folder in place.

    Returns:
        The folder with the safetensors.

    Raises:
        UserError: no pickled weights, more than tensors in them, or the hub does not give them.
    """
    folder = local_path(weights)
    if folder is None:
        repository = ask(weights, revision)
        pickled = _pickled(weights, repository.sizes)
        folder = fetch(repository, [*needed(repository.sizes), *pickled])
        if not faults(folder):  # converted before
            return folder
    elif not folder.is_dir():
        raise UserError(f"there is no folder {folder}; name a folder with pickled weights, or a hub id")
    else:
        pickled = _pickled(weights, [path.name for path in folder.iterdir() if path.is_file()])
    _write(folder, pickled)
    return folder


def _pickled(weights: str, names: Iterable[str]) -> list[str]:
    """The main weights among pickled files: PyTorch's own name, or its shards with their index, else the first."""
    names = list(names)
    if weights_among(name for name in names if "/" not in name):
        raise UserError(f"{weights} has safetensors weights already; nothing is to be converted")
    found = pickled_among(names)
    if not found:
        raise UserError(f"{weights} has no pickled weights ({SINGLE_PICKLE}); expected something to convert")
    if "open_clip_config.json" in names and OPEN_CLIP.keys() & set(found):
        return list(OPEN_CLIP)
    shards = [name for name in found if name.startswith("pytorch_model-") and "-of-" in name]
    if SINGLE_PICKLE in found or not shards:
        return found[:1]
    if INDEX not in names:
        raise UserError(f"{weights} has {shards[0]}, a shard of its weights, without their {INDEX}; fetch it again")
    return [INDEX, *shards]


def _write(folder: Path, pickled: Sequence[str]) -> None:
    """Writes the safetensors of a folder's pickled weights beside them, whole or not at all."""
    import torch
    import transformers
    from safetensors.torch import save_file

    from models.network import check_complete, quiet

    names = read_json(folder / "config.json").get("architectures") or []
    with tempfile.TemporaryDirectory(prefix=".", dir=folder) as place:
        try:
            known = [name for name in map(str, names) if hasattr(transformers, name)]
            if known and pickled[-1].startswith("pytorch_model"):
                options = {"dtype": "auto", "use_safetensors": False, "weights_only": True, "local_files_only": True}
                with quiet(transformers):
                    architecture = getattr(transformers, known[0])
                    network, report = architecture.from_pretrained(folder, output_loading_info=True, **options)
                    check_complete(network, report)
                    network.save_pretrained(place, max_shard_size="1000TB")  # one file, which is moved at once
            else:
                tensors: dict[str, torch.Tensor] = {}
                for name in pickled:
                    if name != INDEX:
                        tensors |= _tensors(torch.load(folder / name, map_location="cpu", weights_only=True))
                expected = set(read_json(folder / INDEX, "weight_map")) if INDEX in pickled else set(tensors)
                if not expected:
                    raise ValueError(f"found no weight_map in {INDEX}")
                if lacking := len(expected - set(tensors)):
                    raise UserError(f"{folder} lacks {lacking} tensors that its index names; fetch it again")
                save_file(tensors, Path(place, OPEN_CLIP.get(pickled[-1], SINGLE)), metadata={"format": "pt"})
        except UserError:
            raise
        except Exception as error:  # a library may fail in any way on a file it did not expect
            raise UserError(
                f"{folder / pickled[-1]} is not converted: it is damaged, or holds more than tensors, which could be "
                f"code ({first_sentence(error)}); expected a PyTorch state dict"
            ) from error
        (written,) = Path(place).glob("*.safetensors")
        os.replace(written, folder / written.name)  # a link of that name is replaced, not followed


def _tensors(content: object) -> dict[str, object]:
    """The tensors of a state dict, each with memory of its own, which tied ones have not; none is lost."""
    import torch

    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    named = content if isinstance(content, Mapping) else {}
    tensors = {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"found a {type(content).__name__} without tensors")
    return {str(name): tensor.clone().contiguous() for name, tensor in tensors.items()}


if __name__ == "__main__":
    sys.exit(run_script(main))
