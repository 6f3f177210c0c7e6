"""Which files make a checkpoint, and which of them a folder lacks or has only in part.

Only names, sizes and file headers are read: no weights, no torch, no network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG_FILES = ("config.json", "open_clip_config.json")
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
WORD_KEYS = ("vocab_size", "text_config")  # a network whose config has one of these reads words
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
OPEN_CLIP = re.compile(r"open_clip_(pytorch_)?model\.safetensors")
VARIANT = re.compile(r"\.(fp16|fp32|bf16|int8|non_ema)\b|^(consolidated|adapter)")  # again, or a part
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
LEFTOVERS = {"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"}  # of training, not weights
GIT_LFS = b"version https://git-lfs"
BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}


@dataclass(frozen=True)
class Size:
    """What a checkpoint's weights amount to.

    Attributes:
        parameters: how many numbers its tensors hold; 0 where that is not known.
        bytes: of the safetensors files.
    """

    parameters: int
    bytes: int


def needed(names: Iterable[str], trust_remote_code: bool = False) -> list[str]:
    """The files of a hub repository that a loader reads, without other formats and copies in other precisions.

    Args:
        names: all files of the repository, folders with "/".
        trust_remote_code: whether its Python files are wanted too.

    Returns:
        Small files first, weights last: whoever has the last has them all.
    """
    names = sorted(names)
    top = [name for name in names if "/" not in name]
    endings = (".json", ".txt", ".model", ".jinja", *([".py"] if trust_remote_code else []))
    weights = weights_among(top)
    small = [name for name in top if name.endswith(endings) and not name.endswith(".index.json")]
    templates = [name for name in names if re.fullmatch(r"additional_chat_templates/[^/]+\.jinja", name)]
    index = [INDEX] if any(SHARD.fullmatch(name) for name in weights) else []
    return [*small, *templates, *index, *weights]


def weights_among(names: Iterable[str]) -> list[str]:
    """The safetensors files of the main weights: one file or all shards of one, none of another precision."""
    names = sorted(names)
    open_clip = [name for name in names if OPEN_CLIP.fullmatch(name)]
    if open_clip and "open_clip_config.json" in names:
        return open_clip[:1]
    if SINGLE in names:
        return [SINGLE]
    if INDEX in names:
        return [name for name in names if SHARD.fullmatch(name)]
    return [name for name in names if name.endswith(".safetensors") and not VARIANT.search(name)]


def pickled_among(names: Iterable[str]) -> list[str]:
    """Weights in formats that can run code when they are opened, PyTorch's own name first."""
    found = [name for name in names if "/" not in name and name.endswith(PICKLED) and name not in LEFTOVERS]
    return sorted(found, key=lambda name: (not name.startswith("pytorch_model"), name))


def faults(folder: Path, *, of_the_hub: bool = False, code: bool = False, files: Sequence[str] = ()) -> list[str]:
    """What keeps a folder from being a whole checkpoint.

    Args:
        folder: may not exist.
        of_the_hub: whether it is a snapshot of a hub repository, of which preprocessing and tokenizer files are then
            expected as well.
        code: whether the Python files its config names are expected too.
        files: exactly what is expected instead of all that.

    Returns:
        One phrase a fault, naming the file; none where everything is there.
    """
    if not folder.is_dir():
        return ["the folder itself is not there"]
    if files:
        return [f"{name} is not there" for name in files if not (folder / name).is_file()]
    names = {path.name for path in folder.iterdir() if path.is_file()}
    lacking = [] if names & set(CONFIG_FILES) else ["config.json"]
    weights = weights_among(names)
    in_shards = SINGLE not in names and (INDEX in names or any(SHARD.fullmatch(name) for name in names))
    if in_shards:
        shards = _shards(folder)
        lacking += sorted(shards - names) if shards else [INDEX]
    elif not weights:
        lacking.append(SINGLE)
    if of_the_hub:
        lacking += _preprocessing_lacking(folder, names)
    if code:
        lacking += sorted(_code(folder) - names)
    broken = [(name, damage(folder / name)) for name in weights]
    return [f"{name} is not there" for name in lacking] + [f"{name} {what}" for name, what in broken if what]


def damage(path: Path) -> str | None:
    """What is wrong with a safetensors file, by its header and its size; None for nothing."""
    size = path.stat().st_size
    try:
        header = read_header(path)
    except ValueError:
        with path.open("rb") as file:
            if file.read(len(GIT_LFS)) == GIT_LFS:
                return "is only a pointer of Git LFS (`git lfs pull` gets the file)"
        return "is not a whole safetensors file"
    expected = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    with path.open("rb") as file:
        expected += 8 + int.from_bytes(file.read(8), "little")
    return f"is cut short ({size:,} of {expected:,} bytes)" if size < expected else None


def size_of(folder: Path) -> Size:
    """How large the main weights in a folder are, as far as they are there."""
    paths = [folder / name for name in weights_among(path.name for path in folder.iterdir() if path.is_file())]
    parameters = 0
    for path in paths:
        for entry in read_header(path).values():
            start, end = entry["data_offsets"]
            parameters += (end - start) // BYTES.get(entry["dtype"], 1)
    return Size(parameters, sum(path.stat().st_size for path in paths))


def read_header(path: Path) -> dict[str, Any]:
    """A safetensors file's tensors: name -> dtype, shape, data_offsets.

    Raises:
        ValueError: it is not one.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError(f"{path.name} has no whole header")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{path.name} has no header")
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _shards(folder: Path) -> set[str]:
    """The shards the index names; none where the index itself is lacking or broken."""
    content = _read_json(folder / INDEX)
    return set(content.get("weight_map", {}).values())


def _preprocessing_lacking(folder: Path, names: set[str]) -> list[str]:
    if "open_clip_config.json" in names or "config.json" not in names:
        return []
    lacking = [] if names & set(PROCESSOR_FILES) else [PROCESSOR_FILES[0]]
    reads_words = any(key in _read_json(folder / "config.json") for key in WORD_KEYS)
    return lacking + ([TOKENIZER_FILES[0]] if reads_words and not names & set(TOKENIZER_FILES) else [])


def _code(folder: Path) -> set[str]:
    """The repository's own Python files that its config names; "owner/name--file.Class" is another's."""
    values = _read_json(folder / "config.json").get("auto_map", {}).values()
    return {f"{value.split('.')[0]}.py" for value in values if isinstance(value, str) and "--" not in value}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
