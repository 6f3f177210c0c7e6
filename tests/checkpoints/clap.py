"""CLAP, with and without fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe, learnt_bpe

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]  # RoBERTa's order: positions count from the padding id
HTSAT_BASE = dict(depths=[2, 2, 12, 2], hidden_size=1024, patch_embeds_hidden_size=128)
# The audio encoder's part of config.json of the checkpoints; the text encoder has the library's defaults.
PUBLISHED: dict[str, dict[str, Any]] = {
    "laion/clap-htsat-unfused": {},
    "laion/clap-htsat-fused": dict(enable_fusion=True, fusion_type="aff_2d"),
    "laion/larger_clap_general": HTSAT_BASE,
    "laion/larger_clap_music_and_speech": HTSAT_BASE,
}
VOCABULARY = 50265
TINY_TEXT = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
    initializer_factor=20.0,
)
TINY_AUDIO = dict(
    hidden_size=64,
    patch_embeds_hidden_size=16,
    depths=[1, 1, 1],
    num_attention_heads=[2, 2, 2],
    num_hidden_layers=3,
    window_size=4,
    initializer_factor=20.0,
)


def build(hub_id: str, tiny: bool, seconds: int = 10, sampling_rate: int = 48000):
    """See `tests.checkpoints.published.write`; the window that is heard is the published one, or a shorter one."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizer

    vocab, merges = learnt_bpe(SPECIALS, RobertaTokenizer()) if tiny else byte_level_bpe(SPECIALS, VOCABULARY)
    text: dict[str, Any] = dict(vocab_size=len(vocab), **(TINY_TEXT if tiny else {}))
    audio = PUBLISHED[hub_id] | (TINY_AUDIO if tiny else {}) | ({"spec_size": 128} if seconds < 3 else {})
    network = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=24 if tiny else 512))
    tokenizer = RobertaTokenizer(
        vocab=vocab, merges=merges, model_max_length=network.config.text_config.max_position_embeddings - 2
    )
    # preprocessor_config.json of the checkpoints: 10 s at 48 kHz.
    truncation = "fusion" if audio.get("enable_fusion") else "rand_trunc"
    extractor = ClapFeatureExtractor(
        frequency_min=50, frequency_max=min(14000, sampling_rate // 2), truncation=truncation,
        sampling_rate=sampling_rate, hop_length=sampling_rate // 100, max_length_s=seconds,
        fft_window_size=1024 if sampling_rate == 48000 else 512,
    )  # fmt: skip

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        ClapProcessor(extractor, tokenizer).save_pretrained(folder)

    return save
