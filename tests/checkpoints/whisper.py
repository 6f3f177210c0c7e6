"""Whisper, taught to describe sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

# Table 1 of the Whisper paper, whose networks (v2) these checkpoints continue; all have its 51,865 tokens and 80 mels.
PUBLISHED: dict[str, dict[str, Any]] = {
    "MU-NLPC/whisper-tiny-audio-captioning": {"d_model": 384, "layers": 4, "heads": 6},
    "MU-NLPC/whisper-small-audio-captioning": {"d_model": 768, "layers": 12, "heads": 12},
    "MU-NLPC/whisper-large-v2-audio-captioning": {"d_model": 1280, "layers": 32, "heads": 20},
}
TINY = {"d_model": 32, "layers": 2, "heads": 4}
TEXT_TOKENS = 50257
LANGUAGES = 99  # the library lists one more, which came with v3


def build(hub_id: str, tiny: bool, timestamps: bool = False):
    """See `tests.checkpoints.published.write`; with `timestamps` no task token says that there are none."""
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )
    from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS_MULTI

    specials, times = special_tokens()
    times = [] if tiny else times
    text_tokens = 500 if tiny else TEXT_TOKENS
    vocab, merges = byte_level_bpe([*specials, *times], text_tokens + len(specials + times), last=True)
    tokenizer = WhisperTokenizer(
        vocab=vocab, merges=merges, model_max_length=64 if tiny else 448, predict_timestamps=timestamps
    )
    tokenizer.add_special_tokens({"extra_special_tokens": specials[1:]})
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=2 if tiny else 30)
    size = TINY if tiny else PUBLISHED[hub_id]
    config = WhisperConfig(
        vocab_size=len(vocab),
        num_mel_bins=80,
        d_model=size["d_model"],
        encoder_layers=size["layers"],
        decoder_layers=size["layers"],
        encoder_attention_heads=size["heads"],
        decoder_attention_heads=size["heads"],
        encoder_ffn_dim=4 * size["d_model"],
        decoder_ffn_dim=4 * size["d_model"],
        max_source_positions=extractor.nb_max_frames // 2,
        max_target_positions=tokenizer.model_max_length,
        pad_token_id=vocab["<|endoftext|>"],
        bos_token_id=vocab["<|endoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        decoder_start_token_id=vocab["<|startoftranscript|>"],
        init_std=0.2 if tiny else 0.1,  # at the usual 0.02 a random decoder repeats the token it was given
    )
    network = WhisperForConditionalGeneration(config)
    network.generation_config._from_model_config = False  # or what follows is thrown away when it is loaded
    network.generation_config.update(
        begin_suppress_tokens=[vocab["Ġ"], vocab["<|endoftext|>"]],
        suppress_tokens=None if tiny else NON_SPEECH_TOKENS_MULTI,
        max_length=tokenizer.model_max_length,
    )
    processor = WhisperProcessor(extractor, tokenizer)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save


def special_tokens() -> tuple[list[str], list[str]]:
    """Special tokens and time stamps in the order of their ids, which start at `TEXT_TOKENS`."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES as NAMES

    languages = [f"<|{code}|>" for code in list(NAMES)[:LANGUAGES]]
    tasks = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nocaptions|>"]
    specials = ["<|endoftext|>", "<|startoftranscript|>", *languages, *tasks, "<|notimestamps|>"]
    return specials, [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
