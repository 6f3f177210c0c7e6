"""Which files hold a network, where a folder with them lies, and what one lacks or has only in part.

Names, sizes and the headers of safetensors files are read: no torch, no network.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from models.config import ROOT
from utils.errors import UserError

AGAIN = "copy {} again from where the weights come from"
ANOTHER = "name another folder or hub id in the config or with --set ROLE.weights=..."
SINGLE_FILES = (".pth", ".pt", ".tar", ".safetensors")  # of the families that read one file; hub ids do not end so
CONFIG_FILES = ("config.json", "open_clip_config.json")
PREPROCESSING, PROCESSOR = "preprocessor_config.json", "processor_config.json"
SENTENCEPIECE_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
TOKENIZER, SETTINGS, PAIR = "tokenizer.json", "tokenizer_config.json", {"vocab.json", "merges.txt"}
TOKENIZER_FILES = (TOKENIZER, "vocab.txt", *SENTENCEPIECE_FILES)  # each alone; or the pair
READS_WORDS = re.compile(r'"(text_config|vocab_size)"')  # in a config, however deep
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
OPEN_CLIP = re.compile(r"open_clip_(pytorch_)?model\.safetensors")
VARIANT = re.compile(r"\.(fp16|fp32|bf16|int8|non_ema)\b|^(consolidated|adapter)")  # again, or a part
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
LEFTOVERS = {"training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"}  # of training, not weights
DECISIVE = (".json", ".txt", ".model", ".py", ".tiktoken")  # of a checkpoint's files beside its weights
GIT_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Checkpoint:
    """Files of a network, all of them on this machine.

    Attributes:
        weights: as the config names it, folder, file or hub id.
        path: the folder where the files are, or the one file.
        revision: the hub's commit; None for a folder.
        license: as the catalogue of published networks says; None for a folder.
    """

    weights: str
    path: Path
    revision: str | None = None
    license: str | None = None

    def hashes(self, files: Sequence[str] = ()) -> tuple[str | None, str | None]:
        """Of the weights (safetensors, or `files`), and of what else decides an answer; None where a commit does."""
        if self.revision:
            return None, None
        if self.path.is_file():
            return sha256([self.path]), None
        weights = [self.path / name for name in files] or sorted(self.path.glob("*.safetensors"))
        others = sorted(path for path in self.path.rglob("*") if path.suffix in DECISIVE and path.is_file())
        return sha256(weights), sha256(others, self.path)


def sha256(paths: Iterable[Path], folder: Path | None = None) -> str:
    """Of files, one after the other; with their names in a folder where one is given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" if folder else b"")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(b"\0" if folder else b"")
    return digest.hexdigest()


def local_path(weights: str) -> Path | None:
    """The folder or file that `weights` names, whether it exists or not; None for a hub id ("name" or "owner/name")."""
    path, parts = located(weights), Path(weights).parts
    named = weights.startswith((".", "~")) or weights.endswith(SINGLE_FILES) or len(parts) > 2
    return path if os.path.exists(path) or named or (len(parts) == 2 and (ROOT / parts[0]).is_dir()) else None


def located(path: str) -> Path:
    """Where a path leads from the current folder or else from the repository; the latter where neither has it."""
    here = Path.cwd() / Path(path).expanduser()
    return here if os.path.exists(here) else ROOT / Path(path).expanduser()


def no_folder(weights: str) -> str:
    """Says where a folder of this name was looked for."""
    looked_at = dict.fromkeys(str(place / Path(weights).expanduser()) for place in (Path.cwd(), ROOT))
    return f"there is no folder {' or '.join(looked_at)}"


def refusal(weights: str, path: Path, found: Sequence[str]) -> UserError:
    """What to say of a folder or file with faults (see `faults`): in one sentence, with the way out."""
    what, out = f"cannot load the weights in {path}: {'; '.join(found)}", f"{AGAIN.format('the file')}, or {ANOTHER}"
    if not path.exists():
        what, out = f"cannot load {weights}: ", ANOTHER
        what += "the file is not there" if weights.endswith(SINGLE_FILES) else no_folder(weights)
    bundle = next((place for place in [path, *path.parents] if place.parent == ROOT / "models"), None)
    if bundle and (bundle / "train").is_dir():
        out = f"restore it from the repository, rebuild it with `python -m models.{bundle.name}.train`, or {ANOTHER}"
    elif f"{SINGLE} is not there" in found and pickled_among(file.name for file in path.iterdir()):
        out = f"`python -m models.convert {weights}` makes safetensors of its pickled weights, or {ANOTHER}"
    return UserError(f"{what}; {out}")


def needed(names: Iterable[str], trust_remote_code: bool = False) -> list[str]:
    """The files of a repository that a loader reads, Python only where it may run; no other format or precision."""
    names = sorted(names)
    top = [name for name in names if "/" not in name]
    endings = (".json", ".txt", ".model", ".jinja", *([".py"] if trust_remote_code else []))
    small = [name for name in top if name.endswith(endings) and not name.endswith(".index.json")]
    templates = [name for name in names if re.fullmatch(r"additional_chat_templates/[^/]+\.jinja", name)]
    weights = weights_among(top)
    return [*small, *templates, *([INDEX] if SHARD.fullmatch("".join(weights[:1])) else []), *weights]


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
    return sorted(found, key=lambda name: (name != "pytorch_model.bin", not name.startswith("pytorch_model"), name))


def faults(path: Path, *, code: bool = False, files: Sequence[str] = ()) -> list[str]:
    """What keeps a folder from being a whole checkpoint; of a file nothing does but its absence.

    Args:
        path: may not exist. Of transformers' checkpoints preprocessing is expected as well; and a tokenizer, without
            which the library makes an empty one, where the network reads words.
        code: whether the Python files its config names are expected too.
        files: exactly what is expected instead of all that.

    Returns:
        One phrase a fault, naming the file; none where everything is there.
    """
    if not path.is_dir():
        return [] if path.is_file() else ["the folder itself is not there"]
    names = {file.name for file in path.iterdir() if file.is_file()}
    if files:
        return [f"{name} is not there" for name in files if name not in names]
    weights, config = weights_among(names), read_json(path / "config.json")
    lacking = [] if names & set(CONFIG_FILES) else [CONFIG_FILES[0]]
    if SINGLE not in names and (INDEX in names or any(SHARD.fullmatch(name) for name in names)):
        shards = set(map(str, read_json(path / INDEX, "weight_map").values()))
        lacking += sorted(shards - names) if shards else [INDEX]
    elif not weights:
        lacking.append(SINGLE)
    if "model_type" in config and "open_clip_config.json" not in names:  # one of transformers; not timm's, not ours
        lacking += _lacking_beside(path, names, config)
    if code:  # "owner/name--file.Class" is another repository's
        values = [value for value in read_json(path / "config.json", "auto_map").values() if isinstance(value, str)]
        lacking += sorted({f"{value.split('.')[0]}.py" for value in values if "--" not in value} - names)
    damaged = [f"{name} {damage}" for name in weights if (damage := _damage(path / name))]
    return [*(f"{name} is not there" for name in lacking), *damaged]


def _lacking_beside(path: Path, names: set[str], config: Mapping[str, Any]) -> list[str]:
    """What of preprocessing and tokenizer a folder of transformers lacks."""
    prepares = any(isinstance(part, dict) for part in read_json(path / PROCESSOR).values())  # alone it may say nothing
    lacking = [] if PREPROCESSING in names or prepares else [PREPROCESSING]
    reads = READS_WORDS.search(json.dumps(config)) and "Classification" not in str(config.get("architectures"))
    if not reads or names & {*TOKENIZER_FILES} or names >= PAIR:
        return lacking
    return [*lacking, *(PAIR - names if names & PAIR else {TOKENIZER})]


def _damage(file: Path) -> str:
    """What is wrong with a safetensors file; "" where its header and its length are right."""
    try:
        with safe_open(file, "np"):
            return ""
    except (SafetensorError, OSError) as error:
        with file.open("rb") as opened:
            if opened.read(len(GIT_LFS)) == GIT_LFS:
                return "is only a pointer of Git LFS (`git lfs pull` gets the file)"
        return f"is cut short or no safetensors file ({file.stat().st_size:,} bytes; {error})"


def count_parameters(folder: Path) -> int:
    """How many numbers the main weights in a whole folder hold."""
    count = 0
    for name in weights_among(path.name for path in folder.iterdir()):
        with safe_open(folder / name, "np") as file:
            count += sum(math.prod(file.get_slice(key).get_shape()) for key in list(file.keys()))
    return count


def read_json(path: Path, key: str | None = None) -> dict[str, Any]:
    """The mapping that a file holds, or has under a key; an empty one where it has none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content = content[key] if key else content
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return content if isinstance(content, dict) else {}
