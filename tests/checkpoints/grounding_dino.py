"""Grounding DINO."""

from __future__ import annotations

from typing import Any

from tests.checkpoints.vocabularies import word_piece

# config.json of the checkpoints: the tiny one has the library's defaults (Swin-T), the base one a Swin-B.
SWIN_B: dict[str, Any] = {
    "embed_dim": 128,
    "depths": [2, 2, 18, 2],
    "num_heads": [4, 8, 16, 32],
    "window_size": 12,
    "image_size": 384,
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "IDEA-Research/grounding-dino-tiny": {"backbone_config": {}},  # 172 million parameters
    "IDEA-Research/grounding-dino-base": {"backbone_config": SWIN_B},  # 233 million
}
VOCABULARY = 30522
STAGES = ["stage2", "stage3", "stage4"]
SMALL: dict[str, Any] = dict(
    d_model=64,
    encoder_layers=1,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=32,
    decoder_ffn_dim=32,
    encoder_n_points=2,
    decoder_n_points=2,
    num_queries=12,
    max_text_len=64,
)
SMALL_SWIN: dict[str, Any] = dict(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4)
SMALL_TEXT: dict[str, Any] = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=32)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    network = GroundingDinoForObjectDetection(configured(GroundingDinoConfig, PUBLISHED[hub_id], tiny))
    if tiny:
        network.model.decoder.layer_norm.weight.data.fill_(0.2)  # or every score would be near 0 or 1
    return saved(network, tiny)


def configured(config_class: type, published: dict[str, Any], tiny: bool) -> Any:
    """The configuration of a published network of this kind, or of a tiny one."""
    swin = {"model_type": "swin", "out_features": STAGES, **published["backbone_config"]}
    text = {"model_type": "bert", "vocab_size": len(vocabulary(tiny))}
    settings = {**published, **(SMALL if tiny else {})}
    small_swin, small_text = (SMALL_SWIN, SMALL_TEXT) if tiny else ({}, {})
    return config_class(**settings | {"backbone_config": swin | small_swin, "text_config": text | small_text})


def saved(network: Any, tiny: bool):
    """The network and its processor, ready to be written into a folder."""
    import torch
    from transformers import BertTokenizer, GroundingDinoImageProcessor, GroundingDinoProcessor

    for name, parameter in network.named_parameters() if tiny else ():
        if parameter.ndim > 1:  # as initialised, the boxes do not move and the words hardly count
            torch.nn.init.normal_(parameter, std=0.12 if "bbox_embed" in name else 0.25)
    size = {"shortest_edge": 64, "longest_edge": 107} if tiny else {"shortest_edge": 800, "longest_edge": 1333}
    tokenizer = BertTokenizer(vocab=vocabulary(tiny), model_max_length=512)
    processor = GroundingDinoProcessor(GroundingDinoImageProcessor(size=size), tokenizer)

    def save(folder):
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save


def vocabulary(tiny: bool) -> dict[str, int]:
    """A WordPiece vocabulary with BERT's special tokens and punctuation in place; the network knows their ids."""
    unused = iter(f"[unused{number}]" for number in range(995))
    named = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    before_punctuation = [named.get(number) or next(unused) for number in range(999)]  # then ! is 999 and . is 1012
    return word_piece(before_punctuation, 1400 if tiny else VOCABULARY)
