"""BLIP-2 with an OPT to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
END_OF_CAPTION = "Ċ"  # a new line
END_OF_CAPTION_ID = 50118
TEXT_TOKENS = 50265  # the image token comes next
# config.json of the checkpoint; its ViT-g and its Q-Former are the library's defaults.
PUBLISHED: dict[str, dict[str, Any]] = {
    "Salesforce/blip2-opt-2.7b": {
        "hidden_size": 2560,
        "ffn_dim": 10240,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 50304,
    },
}
TINY: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY_TEXT = TINY | {"ffn_dim": 64, "vocab_size": 576, "init_std": 0.3}
TINY_VISION = TINY | {"intermediate_size": 64, "image_size": 32, "patch_size": 8, "initializer_range": 0.3}
TINY_QFORMER = TINY | {"intermediate_size": 64, "vocab_size": 64, "initializer_range": 0.3}


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
        GPT2Tokenizer,
    )

    text_tokens = 512 if tiny else TEXT_TOKENS
    vocab, merges = byte_level_bpe(SPECIALS, text_tokens)
    end = END_OF_CAPTION_ID if not tiny else vocab[END_OF_CAPTION]
    word = next(token for token, number in vocab.items() if number == end)
    vocab[word], vocab[END_OF_CAPTION] = vocab[END_OF_CAPTION], end
    tokenizer = GPT2Tokenizer(
        vocab=vocab, merges=merges, bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>",
        add_bos_token=True, padding_side="left",
    )  # fmt: skip
    text, vision, qformer = PUBLISHED[hub_id], {"initializer_range": 0.02}, {}
    if tiny:
        text, vision, qformer = TINY_TEXT, TINY_VISION, TINY_QFORMER
    queries = 4 if tiny else 32
    config = Blip2Config(
        text_config={"model_type": "opt", "eos_token_id": end, **text},
        vision_config=vision,
        qformer_config=qformer,
        num_query_tokens=queries,
        image_token_index=text_tokens,
    )
    network = Blip2ForConditionalGeneration(config)
    network.query_tokens.data.normal_()  # the library starts them all alike
    size = config.vision_config.image_size
    image_processor = BlipImageProcessor(size={"height": size, "width": size})
    processor = Blip2Processor(image_processor, tokenizer, num_query_tokens=queries)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save
