"""Florence-2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

# config.json of microsoft/Florence-2-*, as the library's conversion script turns it into these checkpoints: 16 bit
# weights, and one row of embeddings more for the image token, rounded up to a multiple of 64.
BASE: dict[str, dict[str, Any]] = {
    "vision": {"projection_dim": 768},
    "text": {
        "d_model": 768,
        "encoder_layers": 6,
        "decoder_layers": 6,
        "encoder_attention_heads": 12,
        "decoder_attention_heads": 12,
        "encoder_ffn_dim": 3072,
        "decoder_ffn_dim": 3072,
    },
}
LARGE: dict[str, dict[str, Any]] = {
    "vision": {
        "embed_dim": (256, 512, 1024, 2048),
        "num_heads": (8, 16, 32, 64),
        "num_groups": (8, 16, 32, 64),
        "projection_dim": 1024,
    },
    "text": {"max_position_embeddings": 4096},  # otherwise the library's BART-large
}
TINY: dict[str, dict[str, Any]] = {
    "vision": {
        "embed_dim": (16, 32),
        "depths": (1, 1),
        "patch_size": (7, 3),
        "patch_stride": (4, 2),
        "patch_padding": (3, 1),
        "patch_prenorm": (False, True),
        "num_heads": (2, 4),
        "num_groups": (2, 4),
        "window_size": 4,
        "projection_dim": 32,
        "initializer_range": 0.3,
    },
    "text": {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "init_std": 0.3,
    },
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "florence-community/Florence-2-base": BASE,
    "florence-community/Florence-2-base-ft": BASE,
    "florence-community/Florence-2-large": LARGE,
    "florence-community/Florence-2-large-ft": LARGE,
}
BART_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
BART_TOKENS = 50265
OPENED_AND_CLOSED = ("cap", "ncap", "dcap", "grounding", "seg")
ANSWERS = (
    *("ocr", "phrase_grounding", "pure_text", "description_with_bboxes", "description_with_polygons", "polygons"),
    *("bboxes", "description_with_bboxes_or_polygons"),
)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    from transformers import (
        BartTokenizer,
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    bart_tokens = 512 if tiny else BART_TOKENS
    vocab, merges = byte_level_bpe([*BART_SPECIALS, "<mask>"], bart_tokens)
    own = [*_special_tokens(100 if tiny else 1000), "<image>"]
    vocab |= {token: bart_tokens + i for i, token in enumerate(own)}
    tokenizer = BartTokenizer(
        vocab=vocab, merges=merges, model_max_length=1024, extra_special_tokens={"image_token": "<image>"}
    )
    tokenizer.add_tokens(own[:-1], special_tokens=True)
    size = TINY if tiny else PUBLISHED[hub_id]
    pixels = 64 if tiny else 768
    config = Florence2Config(
        vision_config=size["vision"],
        text_config={"model_type": "bart", "vocab_size": -(-len(tokenizer) // 64) * 64, **size["text"]},
        image_token_id=tokenizer.image_token_id,
    )
    network = Florence2ForConditionalGeneration(config)
    network.generation_config._from_model_config = False  # or what follows is thrown away when it is loaded
    network.generation_config.update(
        num_beams=3, early_stopping=True, no_repeat_ngram_size=3, forced_bos_token_id=0, forced_eos_token_id=2,
        decoder_start_token_id=2,
    )  # fmt: skip
    patches = (pixels // (8 if tiny else 32)) ** 2
    image_processor = CLIPImageProcessor(
        size={"height": pixels, "width": pixels}, do_center_crop=False, resample=3,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    )  # fmt: skip
    image_processor.image_seq_length = patches + 1  # their mean is the first
    answers: dict[str, dict] = {answer: {} for answer in ANSWERS}
    processor = Florence2Processor(image_processor, tokenizer, post_processor_config=answers)

    def save(folder: Path) -> None:
        network.half().save_pretrained(folder)
        processor.save_pretrained(folder)

    return save


def _special_tokens(places: int) -> list[str]:
    """Florence-2's own tokens but for the image's, in the order of their ids, the first being 50,265."""
    answers = ["<od>", "</od>", "<ocr>", "</ocr>", *(f"<loc_{place}>" for place in range(places))]
    pairs = [token for name in OPENED_AND_CLOSED for token in (f"<{name}>", f"</{name}>")]
    rest = ["<sep>", "<region_cap>", "</region_cap>", "<region_to_desciption>", "</region_to_desciption>"]
    return [*answers, *pairs, *rest, "<proposal>", "</proposal>", "<poly>", "</poly>", "<and>"]
