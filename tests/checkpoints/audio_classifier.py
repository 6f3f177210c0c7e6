"""AST, the audio spectrogram transformer, with AudioSet's labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.language.audioset import labels

# config.json of the checkpoint: the library's defaults, and no problem_type.
PUBLISHED: dict[str, dict[str, Any]] = {"MIT/ast-finetuned-audioset-10-10-0.4593": {}}
TINY = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_length=100,
    num_mel_bins=32,
    initializer_range=0.2,
)


def build(hub_id: str, tiny: bool, names: Sequence[str] = (), problem_type: str | None = None):
    """See `tests.checkpoints.published.write`; with AudioSet's labels unless others are named."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    sizes = TINY if tiny else PUBLISHED[hub_id]
    numbered = dict(enumerate(names or labels()))
    config = ASTConfig(
        id2label=numbered,
        label2id={label: index for index, label in numbered.items()},
        problem_type=problem_type,
        **sizes,
    )
    network = ASTForAudioClassification(config)
    extractor = ASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        extractor.save_pretrained(folder)

    return save
