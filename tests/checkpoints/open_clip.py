"""CLIP and SigLIP in open_clip's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import words

# open_clip's own tables: the architecture's name, and the tag whose preprocessing the checkpoint has.
PUBLISHED: dict[str, tuple[str, str]] = {
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": ("ViT-B-32", "laion2b_s34b_b79k"),  # 151.3 million parameters
    "laion/CLIP-ViT-B-16-laion2B-s34B-b88K": ("ViT-B-16", "laion2b_s34b_b88k"),  # 149.6 million
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K": ("ViT-L-14", "laion2b_s32b_b82k"),  # 427.6 million
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": ("ViT-H-14", "laion2b_s32b_b79k"),  # 986.1 million
    "timm/ViT-B-16-SigLIP": ("ViT-B-16-SigLIP", "webli"),  # 203.2 million
    "timm/ViT-SO400M-14-SigLIP-384": ("ViT-SO400M-14-SigLIP-384", "webli"),  # 878.0 million
}
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
SMALL_VISION: dict[str, Any] = dict(image_size=32, layers=2, width=32, head_width=16, patch_size=8)
SMALL_TEXT: dict[str, Any] = dict(width=16, heads=2, layers=2)
SMALL_TRUNK: dict[str, Any] = dict(image_size=160, timm_model_name="test_vit3", timm_pool="map")


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    import open_clip
    import torch
    from open_clip.model import CLIP, CustomTextCLIP
    from safetensors.torch import save_file

    name, tag = PUBLISHED[hub_id]
    config: dict[str, Any] = open_clip.get_model_config(name)
    text, vision, siglip = config["text_cfg"], config["vision_cfg"], "hf_tokenizer_name" in config["text_cfg"]
    vocabulary = 600 if tiny and siglip else text["vocab_size"]
    if tiny:
        vision.update(SMALL_TRUNK if siglip else SMALL_VISION)
        text.update(SMALL_TEXT, vocab_size=vocabulary)
        config["embed_dim"] = 96 if siglip else 24
    arguments = {key: value for key, value in config.items() if key != "custom_text"}
    network = (CustomTextCLIP if siglip else CLIP)(**arguments)
    if tiny:  # as initialised, all pictures look alike to it
        for parameter in network.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    published = open_clip.get_pretrained_cfg(name, tag)
    written = {"model_cfg": config, "preprocess_cfg": {key: published[key] for key in PREPROCESSING}}

    def save(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
        save_file(tensors, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
        (folder / "open_clip_config.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
        if siglip:
            _tokenizer(vocabulary).save_pretrained(folder)

    return save


def _tokenizer(size: int) -> Any:
    """T5's kind of tokenizer, with whole words."""
    from transformers import T5Tokenizer

    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = ["<pad>", "</s>", "<unk>", "▁", *letters, *(f"▁{word}" for word in words(size))]
    return T5Tokenizer(vocab=[(piece, -float(rank)) for rank, piece in enumerate(pieces[:size])], extra_ids=0)
