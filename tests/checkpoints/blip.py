"""BLIP's captioner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import word_piece

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
# config.json of the checkpoints: a BERT-base with 12 heads (the library's default has 8) reads a ViT-B or a ViT-L.
PUBLISHED: dict[str, dict[str, Any]] = {
    "Salesforce/blip-image-captioning-base": {},
    "Salesforce/blip-image-captioning-large": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
}
VOCABULARY = 30524


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    size = 32 if tiny else 384
    vocab = word_piece(SPECIALS, 500 if tiny else VOCABULARY)
    tokenizer = BertTokenizer(vocab=vocab, bos_token="[DEC]", model_max_length=512)
    text = dict(vocab_size=len(vocab), pad_token_id=0, sep_token_id=3, eos_token_id=3, bos_token_id=5)
    vision: dict[str, Any] = dict(image_size=size, initializer_range=0.02)
    if tiny:
        text, vision = text | small | {"initializer_range": 0.5}, vision | small | {"patch_size": 8}
    else:
        text, vision = text | {"num_attention_heads": 12}, vision | PUBLISHED[hub_id]
    network = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))
    processor = BlipProcessor(BlipImageProcessor(size={"height": size, "width": size}), tokenizer)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save
