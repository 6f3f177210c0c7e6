"""MM-Grounding-DINO, the architecture of LLMDet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.checkpoints.grounding_dino import SWIN_B, configured, saved

# transformers' convert_mm_grounding_dino_to_hf.py (configuration by name).
SWIN_L: dict[str, Any] = SWIN_B | {
    "embed_dim": 192,
    "num_heads": [6, 12, 24, 48],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
# Each layer of the decoder has its own heads: the tiny one's published config says so, and the six biases of its heads
# for scores are listed in the library's pull request 37925.
OWN_HEADS = {"decoder_bbox_embed_share": False, "decoder_cls_embed_share": False}
PUBLISHED: dict[str, dict[str, Any]] = {
    "iSEE-Laboratory/llmdet_tiny": {"backbone_config": {}, **OWN_HEADS},
    "iSEE-Laboratory/llmdet_base": {"backbone_config": SWIN_B, **OWN_HEADS},  # 233.0 million parameters
    "iSEE-Laboratory/llmdet_large": {"backbone_config": SWIN_L, "num_feature_levels": 5, **OWN_HEADS},
}
BOX, SCORE = (0.25, 0.5, 0.2, 0.4), 0.9  # of `save_six_heads`: centre, width and height, as shares of the image
FAR = 99.0  # a logit of which the sigmoid is 0 or 1
BIAS = {True: -1.0, False: 1.0}  # of a tiny network, and of one of the published size


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    from torch.nn import init
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    network = MMGroundingDinoForObjectDetection(configured(MMGroundingDinoConfig, PUBLISHED[hub_id], tiny))
    save = saved(network, tiny)
    for name, parameter in network.named_parameters():
        if "class_embed" in name:  # as initialised nothing scores above 0.3, and what outlines boxes would rest
            init.constant_(parameter, BIAS[tiny])
    return save


def save_six_heads(folder: Path) -> Path:
    """A tiny network that finds BOX with SCORE whatever it is asked, with a config that is silent on its six heads.

    The first head sends every box to the lower right corner, the next four to the upper left, and the last one puts it
    from there on BOX; none but the last scores anything. Where the first is taken for another, boxes end in the lower
    right corner or score nothing.
    """
    import torch
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    config = configured(MMGroundingDinoConfig, PUBLISHED["iSEE-Laboratory/llmdet_tiny"], tiny=True)
    config.decoder_layers = 6
    network = MMGroundingDinoForObjectDetection(config)
    save = saved(network, tiny=True)
    upper_left = torch.tensor(1e-5).logit()  # the library keeps a box that far from the border between two layers
    deltas = [FAR, *[-FAR] * 4, torch.tensor(BOX).logit() - upper_left]
    with torch.no_grad():
        for parameter in network.model.decoder.layer_norm.parameters():
            parameter.zero_()  # so that heads give their biases alone
        for boxes, scores, delta in zip(network.bbox_embed, network.class_embed, deltas, strict=True):
            boxes.layers[-1].weight.zero_()
            boxes.layers[-1].bias.copy_(torch.as_tensor(delta))
            scores.bias.fill_(-FAR)
        scores.bias.fill_(torch.tensor(SCORE).logit())
    save(folder)
    path = folder / "config.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in said.items() if key not in OWN_HEADS}))
    return folder
