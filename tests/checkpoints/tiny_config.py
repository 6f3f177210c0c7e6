"""A config that names a tiny random network for every role, for tests that need a whole pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints import audio_classifier, blip, clap, clipseg, whisper
from tests.checkpoints.__main__ import LICENSE, write_config
from tests.checkpoints.published import save_random

LABELS = ["dog", "guitar", "train", "violin", "cat"]
NETWORKS: dict[str, tuple[str, Any, dict[str, Any]]] = {  # role: family, file of the builder, its settings
    "audio_text": ("clap", clap, {"seconds": 2, "sampling_rate": 16000}),
    "audio_tagger": ("audio_classification", audio_classifier, {"names": LABELS}),
    "audio_captioner": ("whisper", whisper, {"timestamps": True}),
    "image_captioner": ("blip", blip, {}),
    "segmenter": ("clipseg", clipseg, {}),
}


def save_network(role: str, folder: Path, hub_id: str | None = None, **settings: Any) -> Path:
    """Saves the tiny network of a role; another of its architecture, or with other settings, where they are given."""
    _, architecture, usual = NETWORKS[role]
    hub_id = hub_id or next(iter(architecture.PUBLISHED))
    return save_random(folder, architecture.build, hub_id, tiny=True, **usual | settings)


def save_config(folder: Path) -> Path:
    """Saves a network for every role as FOLDER/ROLE, and a config that names them.

    Returns:
        The config's path.
    """
    roles = {
        role: {"family": family, "weights": str(save_network(role, folder / role)), "license": LICENSE}
        for role, (family, _, _) in NETWORKS.items()
    }
    path = folder / "random.yaml"
    write_config(path, "small networks", roles, {"text_inversion": {"vocabulary": LABELS}})
    return path
