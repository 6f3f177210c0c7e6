"""The small Whisper-architecture captioner: sounds to sentences such as "a dog is barking"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from datasets.stamp_catalog import SOUNDING
from datasets.stamp_sounds import SAMPLING_RATE
from models.tiny.train.loop import Schedule, batches, fit, initialise
from models.tiny.train.sounds import load_bank, load_features
from models.tiny.train.words import byte_level_bpe

SECONDS = 4
MAX_TOKENS = 16
BATCH = 32
SCHEDULE = Schedule(1300, lr=1e-3, matrix_lr=3e-3, warmup=80)
STAGE = 3
PER_KIND = 100  # training sounds


def build() -> tuple[WhisperForConditionalGeneration, WhisperProcessor]:
    """The untrained network: 3 encoder and 2 decoder layers of 128 over 64 mel bins and 4 s."""
    specials = ["<|endoftext|>", "<|startoftranscript|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>"]
    vocab, merges = byte_level_bpe(specials, WhisperTokenizer())
    # predict_timestamps leaves only the start token in the prefix, which is what the decoder is trained to start from
    tokenizer = WhisperTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS, predict_timestamps=True)
    tokenizer.add_special_tokens({"extra_special_tokens": specials[1:]})
    end, start = tokenizer.convert_tokens_to_ids(specials[:2])
    extractor = WhisperFeatureExtractor(feature_size=64, chunk_length=SECONDS)
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=64, d_model=128, encoder_layers=3, decoder_layers=2,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=384, decoder_ffn_dim=384, dropout=0.0,
        max_source_positions=extractor.nb_max_frames // 2, max_target_positions=MAX_TOKENS, pad_token_id=end,
        bos_token_id=end, eos_token_id=end, decoder_start_token_id=start, suppress_tokens=None,
        begin_suppress_tokens=None, attn_implementation="eager",
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    initialise(model)
    return model, WhisperProcessor(extractor, tokenizer)


def caption_labels(tokenizer: WhisperTokenizer) -> torch.Tensor:
    """(len(SOUNDING), L) int64: each kind's caption without the start token, padded with -100."""
    ids = [tokenizer(kind.sound_caption).input_ids[1:] for kind in SOUNDING]
    return nn.utils.rnn.pad_sequence([torch.tensor(one) for one in ids], batch_first=True, padding_value=-100)


def train(root: Path, runs: Path, seed: int) -> tuple[WhisperForConditionalGeneration, WhisperProcessor]:
    """Trains on varied recordings with one sentence each."""
    torch.manual_seed(seed)
    model, processor = build()
    captions = caption_labels(processor.tokenizer)

    def extract(waveform: np.ndarray) -> np.ndarray:
        features = processor.feature_extractor(waveform, sampling_rate=SAMPLING_RATE, return_tensors="np")
        return features["input_features"][0]

    features = load_features("whisper", load_bank(root, runs, seed), extract, PER_KIND, runs, seed, STAGE)

    def collate(items: list):
        values = torch.from_numpy(np.stack([value for value, _, _ in items]))
        return values, captions[[kind for _, kind, _ in items]]

    def loss(whisper: WhisperForConditionalGeneration, data):
        values, labels = data
        outputs = whisper(input_features=values, labels=labels)
        with torch.no_grad():
            wrong = ((outputs.logits.argmax(-1) != labels) & (labels != -100)).any(1)
        return outputs.loss.float(), {"right": 1 - wrong.float().mean().item()}

    fit("whisper", model, batches(features, collate, BATCH, workers=0), loss, SCHEDULE, runs)
    return model, processor


def accuracy(model, processor, sounds: list[np.ndarray], kinds: list[int]) -> float:
    """Share of held-out sounds whose sentence is the right one, word for word."""
    right = 0
    with torch.inference_mode():
        for start in range(0, len(sounds), BATCH):
            part = [waveform[: SECONDS * SAMPLING_RATE] for waveform in sounds[start : start + BATCH]]
            features = processor.feature_extractor(part, sampling_rate=SAMPLING_RATE, return_tensors="pt")
            ids = model.generate(features["input_features"], max_new_tokens=MAX_TOKENS - 2, do_sample=False)
            said = processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
            wanted = [SOUNDING[kind].sound_caption for kind in kinds[start : start + BATCH]]
            right += sum(one.strip() == other for one, other in zip(said, wanted, strict=True))
    return right / len(sounds)
