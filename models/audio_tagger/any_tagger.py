"""An audio tagger by what its checkpoint says it is, for roles that are made of one."""

from __future__ import annotations

import json
from typing import Any

from models.audio_tagger.audio_classification import AudioClassifier
from models.audio_tagger.soundnet import ARCHITECTURE, SoundNetTagger
from models.checkpoints.hub import find
from models.network import Pretrained

__all__ = ["AnyTagger"]


class AnyTagger(Pretrained):
    """SoundNet where the checkpoint's config says so, else an audio classifier of transformers."""

    family = "audio_tagger"

    @classmethod
    def resolve(cls, weights: str, revision: str | None = None, **further: Any) -> type[Pretrained]:
        """The family of a checkpoint, see `models.network.load_once`."""
        folder = find(str(weights), revision).folder
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return SoundNetTagger if config.get("architecture") == ARCHITECTURE else AudioClassifier
