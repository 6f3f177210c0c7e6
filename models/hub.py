"""Where a checkpoint's files are: a folder, or a hub id whose files are in the hub's cache."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from models.config import ROOT
from utils.errors import UserError

ANOTHER = "name another folder or hub id in the config or with --set ROLE.weights=..."
CONFIG_FILES = ("config.json", "open_clip_config.json")
RANDOM_MARK = "RANDOM_WEIGHTS.txt"  # a folder that holds it was written by models.random_weights


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

    @property
    def random_weights(self) -> bool:
        """Whether `models.random_weights` wrote it: noise, for measuring only."""
        return (self.folder / RANDOM_MARK).is_file()

    def sha256(self) -> str:
        """Of all safetensors files, in the order of their names, one after the other."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.glob("*.safetensors")):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def find(weights: str, revision: str | None = None) -> Checkpoint:
    """Finds a checkpoint's files, fetching them where a hub id has none here yet.

    Args:
        weights: folder, relative to the repository root unless absolute, or hub id.
        revision: commit, tag or branch of a hub id.

    Raises:
        UserError: a file is missing, and why.
    """
    folder = local_folder(weights)
    if folder:
        _check_folder(folder)
        return Checkpoint(weights, folder, None)
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(weights, revision=revision))
    except Exception as error:
        raise UserError(
            f"cannot load {weights}: {' '.join(str(error).split())}; fetch it once while connected "
            f"(`hf download {weights}`), or {ANOTHER}"
        ) from error
    return Checkpoint(weights, path, path.name)


def local_folder(weights: str) -> Path | None:
    """The folder that `weights` names, whether it exists or not; None for a hub id ("name" or "owner/name")."""
    folder = ROOT / Path(weights).expanduser()
    parts = Path(weights).parts
    is_path = weights.startswith((".", "~")) or len(parts) > 2 or (len(parts) == 2 and (ROOT / parts[0]).is_dir())
    return folder if folder.is_dir() or is_path else None


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        missing = "the folder itself"
    elif not any((folder / name).is_file() for name in CONFIG_FILES):
        missing = "config.json"
    elif not any(folder.glob("*.safetensors")):
        missing = "model.safetensors"
    else:
        return
    out = ANOTHER
    if folder.is_relative_to(ROOT / "models" / "tiny"):
        out = f"restore it from the repository, rebuild it with `python -m models.tiny.train`, or {ANOTHER}"
    raise UserError(f"cannot load the weights in {folder}: {missing} is not there; {out}")
