"""Segment Anything's weights, from transformers' names into the network of the `segment_anything` package."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import torch

# Names in transformers' SamModel -> names in segment_anything's Sam, applied one after the other.
RENAMED = (
    (r"^shared_image_embedding\.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
)
TIED = "prompt_encoder.shared_embedding.positional_embedding"  # transformers' second name of the first tensor above


def as_segment_anything(network: Any) -> Any:
    """Turns transformers' SamModel into segment_anything's Sam with the very same tensors.

    Raises:
        RuntimeError: a tensor has no place, or a place no tensor.
    """
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    vision, prompts, masks = (
        getattr(network.config, f"{part}_config") for part in ("vision", "prompt_encoder", "mask_decoder")
    )
    grid = vision.image_size // vision.patch_size
    with torch.device("meta"):
        sam = Sam(
            ImageEncoderViT(
                img_size=vision.image_size,
                patch_size=vision.patch_size,
                embed_dim=vision.hidden_size,
                depth=vision.num_hidden_layers,
                num_heads=vision.num_attention_heads,
                mlp_ratio=vision.mlp_dim / vision.hidden_size,
                out_chans=vision.output_channels,
                qkv_bias=vision.qkv_bias,
                norm_layer=partial(torch.nn.LayerNorm, eps=vision.layer_norm_eps),
                use_abs_pos=vision.use_abs_pos,
                use_rel_pos=vision.use_rel_pos,
                window_size=vision.window_size,
                global_attn_indexes=tuple(vision.global_attn_indexes),
            ),
            PromptEncoder(prompts.hidden_size, (grid, grid), (vision.image_size,) * 2, prompts.mask_input_channels),
            MaskDecoder(
                transformer_dim=masks.hidden_size,
                transformer=TwoWayTransformer(
                    masks.num_hidden_layers,
                    masks.hidden_size,
                    masks.num_attention_heads,
                    masks.mlp_dim,
                    attention_downsample_rate=masks.attention_downsample_rate,
                ),
                num_multimask_outputs=masks.num_multimask_outputs,
                iou_head_depth=masks.iou_head_depth,
                iou_head_hidden_dim=masks.iou_head_hidden_dim,
            ),
        )
    tensors = {renamed(name, masks.iou_head_depth): tensor for name, tensor in network.state_dict().items()}
    tensors.pop(TIED, None)
    sam.load_state_dict(tensors, assign=True)
    # ImageNet's, which the package keeps in its signature; not part of the checkpoint.
    sam.pixel_mean, sam.pixel_std = (
        torch.tensor(values).view(-1, 1, 1) for values in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    )
    return sam


def renamed(name: str, iou_head_depth: int) -> str:
    """A tensor's name in segment_anything from its name in transformers."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    head = re.match(r"(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.(.*)\.(\w+)$", name)
    if head:
        depth = iou_head_depth if "iou" in name else 3
        layers = {"proj_in": 0, "proj_out": depth - 1, **{f"layers.{i}": i + 1 for i in range(depth - 2)}}
        name = f"{head[1]}.layers.{layers[head[2]]}.{head[3]}"
    return name
