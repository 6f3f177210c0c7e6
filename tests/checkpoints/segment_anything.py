"""Segment Anything, in transformers' layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# config.json of the checkpoints: the base one has the library's defaults (ViT-B).
PUBLISHED: dict[str, dict[str, Any]] = {
    "facebook/sam-vit-base": {},  # 93.7 million parameters
    "facebook/sam-vit-large": {  # 312.3 million
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "mlp_dim": 4096,
        "global_attn_indexes": [5, 11, 17, 23],
    },
    "facebook/sam-vit-huge": {  # 641.1 million
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "mlp_dim": 5120,
        "global_attn_indexes": [7, 15, 23, 31],
    },
}
SMALL: dict[str, Any] = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    mlp_dim=64,
    output_channels=32,
    image_size=64,
    patch_size=8,
    window_size=3,
    global_attn_indexes=[1],
    num_pos_feats=16,
)
SMALL_PROMPTS: dict[str, Any] = dict(hidden_size=32, image_size=64, patch_size=8, mask_input_channels=8)
SMALL_MASKS: dict[str, Any] = dict(hidden_size=32, mlp_dim=64, num_attention_heads=2, iou_head_hidden_dim=32)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

    vision = {"initializer_range": 0.02, **PUBLISHED[hub_id]}  # the default, 1e-10, sees nothing
    if tiny:
        config = SamConfig(
            vision_config=vision | SMALL, prompt_encoder_config=SMALL_PROMPTS, mask_decoder_config=SMALL_MASKS
        )
    else:
        config = SamConfig(vision_config=vision)
    network = SamModel(config)
    decoder = network.mask_decoder
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "positional_embedding" in name:
                parameter.normal_()  # Meta's scale, 1; transformers starts far from it
            elif "pos_embed" in name or "rel_pos" in name:
                parameter.normal_(std=0.02)
            elif parameter.ndim > 1 and (tiny or "mask_decoder" in name):
                parameter.normal_(std=parameter[0].numel() ** -0.5)
        # Masks that hang together, differ from point to point, are sure of themselves and thought well of, as trained
        # ones are: else the filters leave no work to measure.
        for upscaling in (decoder.upscale_conv1, decoder.upscale_conv2):
            upscaling.weight.copy_(upscaling.weight[..., :1, :1].expand_as(upscaling.weight))
        for name, parameter in decoder.transformer.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                parameter.mul_(3)
        for head in decoder.output_hypernetworks_mlps:
            head.proj_out.weight.mul_(50)
        decoder.iou_prediction_head.proj_out.weight.mul_(0.1)
        decoder.iou_prediction_head.proj_out.bias.fill_(0.95)
    side = config.vision_config.image_size
    sizes: dict[str, Any] = dict(
        size={"longest_edge": side},
        mask_size={"longest_edge": side // 4},
        pad_size={"height": side, "width": side},
        mask_pad_size={"height": side // 4, "width": side // 4},
    )
    processor = SamProcessor(SamImageProcessor(**sizes))

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save
