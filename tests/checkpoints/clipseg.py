"""CLIPSeg."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

SPECIALS = ["<|startoftext|>", "<|endoftext|>"]
# config.json of the checkpoints: beside the library's defaults they name these, patches of 16 pixels, and a table of
# positions for 224 pixels, interpolated to the 352 of the preprocessing. End of text 2 means: the largest id.
PUBLISHED: dict[str, dict[str, Any]] = {
    "CIDAS/clipseg-rd64-refined": {"reduce_dim": 64, "use_complex_transposed_convolution": True},  # 150.7 million
    "CIDAS/clipseg-rd64": {"reduce_dim": 64},
    "CIDAS/clipseg-rd16": {"reduce_dim": 16},
}
VOCABULARY, TOKENS = 49408, 77
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SMALL: dict[str, Any] = dict(hidden_size=32, num_hidden_layers=5, num_attention_heads=4, intermediate_size=64)
SMALL_VISION: dict[str, Any] = SMALL | dict(image_size=40, patch_size=8)
SMALL_DECODER: dict[str, Any] = dict(
    projection_dim=24, extract_layers=[0, 1, 2], reduce_dim=16, decoder_intermediate_size=64
)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    import torch
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        CLIPTokenizer,
        ViTImageProcessor,
    )

    vocab, merges = byte_level_bpe(SPECIALS, 1000 if tiny else VOCABULARY, suffix="</w>", last=True)
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TOKENS)
    text: dict[str, Any] = dict(vocab_size=len(vocab), bos_token_id=0, eos_token_id=2)
    vision: dict[str, Any] = dict(patch_size=16)
    config = CLIPSegConfig(
        text_config=text | (SMALL if tiny else {}),
        vision_config=vision | (SMALL_VISION if tiny else {}),
        **PUBLISHED[hub_id] | (SMALL_DECODER if tiny else {}),
    )
    network = CLIPSegForImageSegmentation(config)
    last, factor = network.decoder.transposed_convolution, 0.5
    if isinstance(last, torch.nn.Sequential):
        last, factor = last[-1], 0.02  # it starts with logits of 200, where a probability tells nothing
    with torch.no_grad():
        last.weight.mul_(factor)
    side = 64 if tiny else 352
    processor = CLIPSegProcessor(ViTImageProcessor(size={"height": side, "width": side}, **IMAGENET), tokenizer)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save


def save_known(folder: Path, bright: float, dark: float) -> Path:
    """A tiny checkpoint that answers whatever is asked with `bright` where an image is white, `dark` where it is black.

    A patch is one number, its brightness; the normalisations leave the sign of it, and the last layer turns that into
    one of two logits.
    """
    import torch
    from transformers import CLIPSegForImageSegmentation

    build("CIDAS/clipseg-rd64", tiny=True)(folder)
    network = CLIPSegForImageSegmentation.from_pretrained(folder)
    decoder, width = network.decoder, SMALL_DECODER["reduce_dim"]
    low, high = torch.tensor([dark, bright]).logit()
    with torch.no_grad():
        for module in network.modules():
            for parameter in module.parameters(recurse=False):
                parameter.fill_(isinstance(module, torch.nn.LayerNorm) and parameter is module.weight)
        network.clip.vision_model.embeddings.patch_embedding.weight[0] = 1
        decoder.film_mul.bias.fill_(1)
        for reduce in decoder.reduces:
            reduce.weight[0, 0] = 1
        # Of `width` numbers of which one is not 0, normalised, that one is the root of width - 1.
        decoder.transposed_convolution.weight[0] = (high - low) / 2 / (width - 1) ** 0.5
        decoder.transposed_convolution.bias.fill_((high + low) / 2)
    network.save_pretrained(folder)
    return folder
