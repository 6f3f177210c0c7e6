"""How the networks of `models/pocket` were made: converted from their packages, or trained on one processor core."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from utils.errors import UserError


def package_folder(data: Path, name: str) -> Path:
    """The folder of a Debian package that `dpkg-deb -x` unpacked; a UserError where there is none."""
    folder = data / name
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UserError(f"expected {name} unpacked at {folder}, found nothing; `apt-get download {name}` and "
                        f"`dpkg-deb -x {name}_*.deb {folder}` bring it")  # fmt: skip
    return folder


def checked_release(path: Path, sha256: str) -> Path:
    """The path of a downloaded release; a UserError where it is missing or another one."""
    if not path.is_file():
        raise UserError(
            f"expected {path.name} in {path.parent}, found nothing; models/pocket/README.md has the command"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise UserError(f"expected {path} with sha256 {sha256}, found {found}; get that release again")
    return path


def write_checkpoint(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
    """Writes model.safetensors, in float16, and config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    halves = {name: value.contiguous() for name, value in halves.items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
