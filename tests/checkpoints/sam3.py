"""SAM 3, with the tracker for videos that its published file holds and an image never needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

# The library's defaults are the published network's: transformers' convert_sam3_video_to_hf.py builds it with none
# changed. The hub counts 0.9 billion parameters.
PUBLISHED: dict[str, dict[str, Any]] = {"facebook/sam3": {}}
SPECIALS = ["<|startoftext|>", "<|endoftext|>"]
VOCABULARY = 49408
MAX_TOKENS = 32
SIDE = 56  # of the tiny network's images: patches of 14, in windows of 2
SMALL: dict[str, Any] = dict(hidden_size=16, num_attention_heads=2)
SMALL_LAYERS: dict[str, Any] = {**SMALL, "num_layers": 1, "intermediate_size": 16}
SMALL_VISION: dict[str, Any] = {
    "backbone_config": {
        **{"model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2},
        **{"num_attention_heads": 2, "image_size": SIDE, "pretrain_image_size": 28, "window_size": 2},
        **{"global_attn_indexes": [1]},
    },
    "fpn_hidden_size": 16,
    "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
}
SMALL_DETECTOR: dict[str, Any] = {
    "vision_config": {"model_type": "sam3_vision_model", **SMALL_VISION},
    "geometry_encoder_config": SMALL_LAYERS,
    "detr_encoder_config": SMALL_LAYERS,
    "detr_decoder_config": {**SMALL_LAYERS, "num_queries": 6},
    "mask_decoder_config": SMALL,
}
SMALL_TEXT: dict[str, Any] = dict(
    hidden_size=16,
    intermediate_size=16,
    projection_dim=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    max_position_embeddings=MAX_TOKENS,
)
SMALL_TRACKER: dict[str, Any] = dict(
    image_size=SIDE,
    memory_attention_hidden_size=16,
    memory_attention_num_layers=1,
    memory_attention_feed_forward_hidden_size=16,
    memory_attention_rope_feat_sizes=[4, 4],
    memory_encoder_hidden_size=16,
    memory_encoder_output_channels=8,
    mask_downsampler_embed_dim=16,
    memory_fuser_num_layers=1,
    memory_fuser_embed_dim=16,
    memory_fuser_intermediate_dim=16,
)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    from transformers import Sam2VideoVideoProcessor, Sam3VideoConfig, Sam3VideoModel, Sam3VideoProcessor

    words = tokenizer(tiny)
    text = {
        **{"model_type": "clip_text_model", **SMALL_TEXT, "hidden_act": "gelu", "vocab_size": len(words)},
        **{"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id},
    }
    tracker = {
        **SMALL_TRACKER,
        "vision_config": {"model_type": "sam3_vision_model", **SMALL_VISION},
        "prompt_encoder_config": {"hidden_size": 16, "image_size": SIDE, "mask_input_channels": 4},
        "mask_decoder_config": {**SMALL, "mlp_dim": 16, "iou_head_hidden_dim": 16},
    }
    small = {
        "detector_config": {"model_type": "sam3", **SMALL_DETECTOR, "text_config": text},
        "tracker_config": {"model_type": "sam3_tracker_video", **tracker},
        "low_res_mask_size": 16,
    }
    network = varied(Sam3VideoModel(Sam3VideoConfig(**(small if tiny else {}))), tiny)
    size = image_size(tiny)
    video_processor = Sam2VideoVideoProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3, size=size)
    processor = Sam3VideoProcessor(image_processor(tiny), video_processor, words)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save


def varied(network: Any, tiny: bool) -> Any:
    """A tiny network so initialised that its answers depend on what it is asked."""
    import torch

    for parameter in network.parameters() if tiny else ():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def image_size(tiny: bool) -> dict[str, int]:
    side = SIDE if tiny else 1008
    return {"height": side, "width": side}


def image_processor(tiny: bool) -> Any:
    from transformers import Sam3ImageProcessor

    return Sam3ImageProcessor(size=image_size(tiny))


def tokenizer(tiny: bool) -> Any:
    from transformers import CLIPTokenizer

    vocab, merges = byte_level_bpe(SPECIALS, 700 if tiny else VOCABULARY, suffix="</w>", last=True)
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)
