"""Loads the networks a config names, each once, onto one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from models.config import BANKED, REFINED, REFINEMENTS, SAM, Config, families, family_class, files_of, sources
from models.remembering import Memory
from models.weights import local_path, located, sha256
from utils.errors import UserError

ABILITIES = {  # role -> what not every family has, see `models.roles`; and what it is, in words
    "audio_text": ("match_regions", "compare regions of a picture with a sound"),
    "segmenter": ("propose_regions", "propose regions of a picture without being asked for something"),
}


def load_models(
    config: Config, roles: Iterable[str], device: str = "auto", memory: Memory | None = None
) -> dict[str, Any]:
    """Loads what plays the given roles.

    Args:
        config: from `load_config`.
        roles: role names, e.g. ("audio_text", "segmenter"); repeated ones count once.
        device: "auto" or a torch device, see `resolve_device`.
        memory: what they remember their answers in; None for one that keeps nothing.

    Returns:
        Role -> model that fulfils the role's contract, with `.provenance`; what it answers is checked, see
        `models.remembering.Remembering`. Of the audio-text encoder, `bank()` reads the bank of sounds. What a family
        lacks of ABILITIES raises UserError where it is asked for.

    Raises:
        UserError: the config has nobody for a role, or a network cannot be loaded completely.
    """
    from models.network import find, load_once  # torch: not before a config has been found to be sound

    device, roles = resolve_device(device), list(dict.fromkeys(roles))
    for role in roles:
        if role not in config.roles:
            there = ", ".join(config.roles) or "none"
            raise UserError(
                f"the config {config.name} ({config.path}) names no network for the role {role}; it has: {there}; add "
                f"it there or with --set {role}.family=... {role}.weights=..."
            )
    for source in sources(config, roles):  # what lacks is fetched before the first network takes its time to load
        if local_path(source.weights) is None:
            options = {"trust_remote_code": source.trust_remote_code, "files": files_of(source)}
            find(source.weights, source.revision, **options)
    memory = Memory(max_items=0) if memory is None else memory
    models: dict[str, Any] = {}
    loaded: dict[str, Any] = {}  # a network that plays several roles, or parts of them, is loaded once
    for role in roles:
        entry = dict(config.roles[role])
        model_class, bank = family_class(role, entry.pop("family")), entry.pop("bank", None)
        refine = (entry.pop("refine", REFINEMENTS[0]), entry.pop(SAM, {})) if role == REFINED else REFINEMENTS[:1]
        models[role] = load_once(model_class, entry, loaded, device, memory)
        if refine[0] != REFINEMENTS[0]:
            from models.segmenter.refine import refined  # which most configs never enter

            models[role] = refined(
                models[role], *refine, lambda part, keys: load_once(part, keys, loaded, device, memory)
            )
        if role in ABILITIES and not hasattr(models[role], ABILITIES[role][0]):
            setattr(models[role], ABILITIES[role][0], _lacking(config, role))
        if role == BANKED:
            models[role].bank = lambda: _bank(config, models)
        if bank and located(bank).is_file():
            models[role].provenance["bank"] = sha256([located(bank)])
    return models


def _lacking(config: Config, role: str) -> Callable[..., NoReturn]:
    def refuse(*asked: Any) -> NoReturn:
        name, meaning = ABILITIES[role]
        able = ", ".join(family for family in families(role) if hasattr(family_class(role, family), name))
        raise UserError(
            f"expected a network for {role} that can {meaning}, found the family {config.roles[role]['family']} in "
            f"{config.path}; of these families one can: {able} (--set {role}.family=... {role}.weights=...)"
        )

    return refuse


def _bank(config: Config, models: dict[str, Any]) -> Any:
    from models.sound_bank import bank_of  # which most methods never enter

    return bank_of(config, models)


def resolve_device(device: str = "auto") -> str:
    """Settles where networks run: "auto" takes CUDA, else Apple's MPS, else the CPU; or "cpu", "cuda", "cuda:1", "mps".

    Raises:
        UserError: no such device, or not on this machine.
    """
    import torch

    here = (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()), ("cpu", True))
    kinds = [kind for kind, available in here if available]
    if device == "auto":
        return kinds[0]
    names = [*kinds, *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if device not in names:
        raise UserError(f"there is no device {device!r} on this machine; available: auto, {', '.join(names)}")
    return device
