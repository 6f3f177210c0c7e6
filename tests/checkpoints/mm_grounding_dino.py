"""MM-Grounding-DINO, the architecture of LLMDet."""

from __future__ import annotations

from typing import Any

from tests.checkpoints.grounding_dino import SWIN_B, configured, saved

# transformers' convert_mm_grounding_dino_to_hf.py (configuration by name).
SWIN_L: dict[str, Any] = SWIN_B | {
    "embed_dim": 192,
    "num_heads": [6, 12, 24, 48],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "iSEE-Laboratory/llmdet_tiny": {"backbone_config": {}},
    "iSEE-Laboratory/llmdet_base": {"backbone_config": SWIN_B},
    "iSEE-Laboratory/llmdet_large": {"backbone_config": SWIN_L, "num_feature_levels": 5},
}
BIAS = {True: -1.0, False: 1.0}  # of a tiny network, and of one of the published size


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    from torch.nn import init
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    network = MMGroundingDinoForObjectDetection(configured(MMGroundingDinoConfig, PUBLISHED[hub_id], tiny))
    save = saved(network, tiny)
    for name, parameter in network.named_parameters():
        if (
            "class_embed" in name
        ):  # as initialised nothing scores above 0.3, and what is to outline its boxes would rest
            init.constant_(parameter, BIAS[tiny])
    return save
