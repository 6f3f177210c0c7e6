"""Where a checkpoint's files are: a folder, or a hub id whose files are in the hub's cache or get there.

The hub is asked only for what is not here yet: whatever is in the cache is used without a network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.checkpoints.files import faults
from models.config import ROOT
from utils.errors import UserError

ANOTHER = "name another folder or hub id in the config or with --set ROLE.weights=..."
FILE_ENDINGS = (".pth", ".pt", ".tar", ".safetensors")  # of the families that read one file; hub ids do not end so
DECISIVE = (".json", ".txt", ".model", ".py", ".tiktoken")  # of a checkpoint's files beside its weights


@dataclass(frozen=True)
class Checkpoint:
    """Files of a network, all of them on this machine.

    Attributes:
        weights: as the config names it, folder or hub id.
        folder: where the files are.
        revision: the hub's commit; None for a folder.
    """

    weights: str
    folder: Path
    revision: str | None

    def sha256(self) -> str:
        """Of all safetensors files, in the order of their names, one after the other."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.glob("*.safetensors")):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def config_sha256(self) -> str:
        """Of everything beside the weights that decides an answer: configs, tokenizer, code; in the order of names."""
        digest = hashlib.sha256()
        for path in sorted(path for path in self.folder.rglob("*") if path.suffix in DECISIVE and path.is_file()):
            digest.update(path.relative_to(self.folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()


def find(
    weights: str, revision: str | None = None, *, trust_remote_code: bool = False, files: Sequence[str] = ()
) -> Checkpoint:
    """Finds a checkpoint's files, fetching what a hub id lacks here.

    Args:
        weights: folder, absolute or relative to the current folder or to the repository root; or hub id.
        revision: commit, tag or branch of a hub id.
        trust_remote_code: whether Python files of a hub id are wanted too.
        files: exactly these, for a family whose checkpoints are of another kind than transformers' and open_clip's.

    Raises:
        UserError: a file is missing; which, why, and the way out.
    """
    folder = local_folder(weights)
    if folder:
        _check_folder(weights, folder, faults(folder, code=trust_remote_code, files=files))
        return Checkpoint(weights, folder, None)
    checkpoint = cached(weights, revision)
    if checkpoint and not faults(checkpoint.folder, of_the_hub=True, code=trust_remote_code, files=files):
        return checkpoint
    from models.checkpoints.download import download
    from models.checkpoints.refusals import HubError

    try:
        folder = download(weights, revision, trust_remote_code=trust_remote_code, files=files)
    except HubError as error:
        raise HubError(error.kind, f"cannot load {error}", error.reason) from error
    return Checkpoint(weights, folder, folder.name)


def local_folder(weights: str) -> Path | None:
    """The folder that `weights` names, whether it exists or not; None for a hub id ("name" or "owner/name")."""
    candidates = looked_at(weights)
    found = next((folder for folder in candidates if folder.is_dir()), None)
    parts = Path(weights).parts
    is_path = (
        weights.startswith((".", "~"))
        or weights.endswith(FILE_ENDINGS)
        or len(parts) > 2
        or (len(parts) == 2 and (ROOT / parts[0]).is_dir())
    )
    return found or (candidates[-1] if is_path else None)


def looked_at(weights: str) -> list[Path]:
    """The folders that `weights` may mean: in the current folder, then in the repository."""
    path = Path(weights).expanduser()
    return list(dict.fromkeys([Path.cwd() / path, ROOT / path]))


def cached(weights: str, revision: str | None = None) -> Checkpoint | None:
    """What the hub's cache has of a hub id, complete or not; no network.

    Args:
        weights: hub id.
        revision: commit, tag or branch; None for the default branch.

    Returns:
        Its folder: the snapshot, or what `python -m models.convert` made of one that is pickled.
    """
    storage = cache_folder(weights)
    name = storage / "refs" / (revision or "main")
    commit = name.read_text(encoding="utf-8").strip() if name.is_file() else revision
    if not commit or not re.fullmatch(r"[0-9a-f]{40}", commit):
        return None
    places = (converted_folder(weights, commit), storage / "snapshots" / commit)
    return next((Checkpoint(weights, folder, commit) for folder in places if folder.is_dir()), None)


def converted_folder(weights: str, commit: str) -> Path:
    """Where `python -m models.convert` puts the safetensors it makes of a pickled hub id."""
    return cache_folder(weights) / "converted" / commit


def cache_folder(weights: str) -> Path:
    """Where the hub's cache keeps a hub id."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / "--".join(["models", *weights.split("/")])


def _check_folder(weights: str, folder: Path, found: Sequence[str]) -> None:
    if not found:
        return
    if folder.is_dir():
        what = f"cannot load the weights in {folder}: {'; '.join(found)}"
    else:
        what = f"cannot load {weights}: there is no folder {' or '.join(map(str, looked_at(weights)))}"
    out = ANOTHER
    bundle = next((place for place in [folder, *folder.parents] if place.parent == ROOT / "models"), None)
    if bundle and (bundle / "train").is_dir():
        out = f"restore it from the repository, rebuild it with `python -m models.{bundle.name}.train`, or {ANOTHER}"
    elif any(folder.glob("*.bin")) or any(folder.glob("*.pth")):
        out = f"`python -m models.convert {weights}` makes safetensors of its pickled weights, or {out}"
    raise UserError(f"{what}; {out}")
