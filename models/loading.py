"""Loads the networks a config names, each once, onto one device, and gives each a memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from models.checkpoints.hub import find, local_folder
from models.checkpoints.inventory import files_of, look
from models.config import Config, family_class, sources
from models.remembering import remember
from utils.errors import UserError

if TYPE_CHECKING:
    from models.stage_cache import DiskCache


def load_models(
    config: Config,
    roles: Iterable[str],
    device: str = "auto",
    cache: DiskCache | None = None,
) -> dict[str, Any]:
    """Loads what plays the given roles.

    Args:
        config: from `load_config`.
        roles: role names, e.g. ("audio_text", "segmenter"); repeated ones count once.
        device: "auto" or a torch device, see `resolve_device`.
        cache: keeps what they say, for later runs.

    Returns:
        Role -> model that fulfils the role's contract, with a memory (`models/remembering.py`) and `.provenance`.

    Raises:
        UserError: the config has nobody for a role, or a network cannot be loaded completely.
    """
    from models.network import load_once  # torch: not before a config has been found to be sound

    device = resolve_device(device)
    roles = list(dict.fromkeys(roles))
    for role in roles:
        if role not in config.roles:
            raise UserError(
                f"the config {config.name} ({config.path}) names no network for the role {role}; it has: "
                f"{', '.join(config.roles) or 'none'}; add it there or with --set {role}.family=... {role}.weights=..."
            )
    for source in sources(config):  # what lacks is said, or fetched, before the first network takes its time to load
        if source.role in roles and not look(source).ready and local_folder(source.weights) is None:
            find(
                source.weights,
                source.revision,
                trust_remote_code=source.trust_remote_code,
                files=files_of(source),
            )
    models = {}
    loaded: dict[str, Any] = {}  # a network that plays several roles, or parts of them, is loaded once
    for role in roles:
        entry = dict(config.roles[role])
        model_class = family_class(role, entry.pop("family"))
        models[role] = load_once(model_class, entry, loaded, device)
    # A network that is also a part of another role's keeps what it says in the store of its own.
    for role in sorted(roles, key=lambda role: hasattr(models[role], "networks")):
        store = cache and cache.of_role(role, config.roles[role], models[role].provenance, device)
        remember(models[role], store=store)
    return models


def resolve_device(device: str = "auto") -> str:
    """Settles where networks run.

    Args:
        device: "auto" takes CUDA, else Apple's MPS, else the CPU; or "cpu", "cuda", "cuda:1", "mps".

    Returns:
        A device this machine has.

    Raises:
        UserError: no such device, or not here.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(kind for kind, here in available.items() if here)
    names = [kind for kind, here in available.items() if here]
    names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if device not in names:
        raise UserError(f"there is no device {device!r} on this machine; available: auto, {', '.join(names)}")
    return device
