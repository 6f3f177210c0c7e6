"""The bundled networks: how their folders are read, and the modules that several roles share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file


class PocketFolder:
    """Mixed into a `Pretrained` network of our own: config.json and model.safetensors, as `models.pocket.train` writes.

    Attributes:
        architecture: what the config calls itself.
        module: the class of the network, built from the config's `arguments`.
        arguments: what a config says of the size of its network.
        processor: the config.
    """

    architecture: ClassVar[str]
    module: ClassVar[type[torch.nn.Module]]
    arguments: ClassVar[Callable[[Mapping[str, Any]], Mapping[str, Any]]]

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("architecture") != cls.architecture:
            raise ValueError(f"expected {cls.architecture}, found {config.get('architecture')}")
        network = cls.module(**cls.arguments(config))
        network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
        return network.to(dtype), config
