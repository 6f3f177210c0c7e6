"""SAM3-LiteText: SAM 3's detector with a light text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.sam3 import SMALL_DETECTOR, SMALL_TEXT, image_processor, tokenizer, varied

# The library's defaults are the smallest published variant's (its configuration's own example); the hub counts 0.5
# billion parameters.
PUBLISHED: dict[str, dict[str, Any]] = {"vil-uob/sam3-litetext-s0": {}}


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    from transformers import Sam3LiteTextConfig, Sam3LiteTextModel, Sam3Processor

    words = tokenizer(tiny)
    small = {
        **SMALL_DETECTOR,
        "text_config": {**SMALL_TEXT, "num_hidden_layers": 3, "vocab_size": len(words), "repmixer_kernel_size": 3},
    }
    network = varied(Sam3LiteTextModel(Sam3LiteTextConfig(**(small if tiny else {}))), tiny)
    processor = Sam3Processor(image_processor(tiny), words)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save
