"""SAM 2.1, with the memory for videos that its published files hold and an image never needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# transformers' convert_sam2_video_to_hf.py (configuration by name): backbone_config; the tiny one has the defaults.
PUBLISHED: dict[str, dict[str, Any]] = {
    "facebook/sam2.1-hiera-tiny": {},  # 38.9 million parameters, README of the original repository
    "facebook/sam2.1-hiera-small": {  # 46 million
        "blocks_per_stage": [1, 2, 11, 2],
        "global_attention_blocks": [7, 10, 13],
    },
    "facebook/sam2.1-hiera-base-plus": {  # 80.8 million
        "hidden_size": 112,
        "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "facebook/sam2.1-hiera-large": {  # 224.4 million
        "hidden_size": 144,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}
SMALL_BACKBONE: dict[str, Any] = dict(
    hidden_size=8,
    embed_dim_per_stage=[8, 16, 24, 32],
    num_attention_heads_per_stage=[1, 1, 2, 2],
    blocks_per_stage=[1, 1, 2, 1],
    global_attention_blocks=[3],
    window_size_per_stage=[4, 4, 4, 2],
    window_positional_embedding_background_size=[4, 4],
    image_size=[64, 64],
)
SMALL_MEMORY: dict[str, Any] = dict(
    image_size=64,
    memory_attention_hidden_size=64,
    memory_attention_num_layers=1,
    memory_attention_feed_forward_hidden_size=16,
    memory_attention_rope_feat_sizes=[4, 4],
    memory_encoder_hidden_size=64,
    memory_encoder_output_channels=8,
    mask_downsampler_embed_dim=16,
    memory_fuser_num_layers=1,
    memory_fuser_embed_dim=16,
    memory_fuser_intermediate_dim=16,
)
SPREAD = {"hypernetworks": 0.17, "point_embed": 0.5, "mask_tokens": 0.1}


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    import torch
    from transformers import (
        Sam2ImageProcessor,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
    )

    backbone = PUBLISHED[hub_id] | (SMALL_BACKBONE if tiny else {})
    vision: dict[str, Any] = {"backbone_config": {"model_type": "sam2_hiera_det_model", **backbone}}
    if "embed_dim_per_stage" in backbone:
        vision["backbone_channel_list"] = backbone["embed_dim_per_stage"][::-1]
    settings: dict[str, Any] = {"vision_config": vision}
    if tiny:
        vision |= {"fpn_hidden_size": 64, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
        settings |= SMALL_MEMORY | {
            "prompt_encoder_config": {"hidden_size": 64, "image_size": 64, "mask_input_channels": 4},
            "mask_decoder_config": {
                "hidden_size": 64,
                "mlp_dim": 16,
                "num_attention_heads": 2,
                "iou_head_hidden_dim": 16,
            },
        }
    network = Sam2VideoModel(Sam2VideoConfig(**settings))
    for name, parameter in network.named_parameters() if tiny else ():
        if parameter.ndim > 1:  # as initialised, every mask is nearly flat, whatever the box
            torch.nn.init.normal_(parameter, std=next((std for key, std in SPREAD.items() if key in name), 0.3))
    size = {"height": 64, "width": 64} if tiny else {"height": 1024, "width": 1024}
    processor = Sam2VideoProcessor(Sam2ImageProcessor(size=size), Sam2VideoVideoProcessor(size=size))

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save
