"""OWLv2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

# config.json of the checkpoint: the library's defaults but for the image size.
PUBLISHED: dict[str, dict[str, Any]] = {"google/owlv2-base-patch16-ensemble": {"image_size": 960}}
SPECIALS = ["<|startoftext|>", "<|endoftext|>"]
VOCABULARY = 49408
MAX_TOKENS = 16
SMALL: dict[str, Any] = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    import torch
    from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    vocab, merges = byte_level_bpe(SPECIALS, 700 if tiny else VOCABULARY, suffix="</w>", last=True)
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, pad_token="!", model_max_length=MAX_TOKENS)
    text = {"vocab_size": len(vocab), "bos_token_id": len(vocab) - 2, "eos_token_id": len(vocab) - 1}
    vision, projection_dim = PUBLISHED[hub_id], 512
    if tiny:
        text, vision, projection_dim = text | SMALL, SMALL | {"image_size": 48, "patch_size": 8}, 32
    network = Owlv2ForObjectDetection(
        Owlv2Config(text_config=text, vision_config=vision, projection_dim=projection_dim)
    )
    for parameter in network.parameters() if tiny else ():
        if parameter.ndim > 1:  # as initialised, every patch scores the same
            torch.nn.init.normal_(parameter, std=0.2)
    size = {"height": vision["image_size"], "width": vision["image_size"]}
    processor = Owlv2Processor(Owlv2ImageProcessor(size=size), tokenizer)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save
