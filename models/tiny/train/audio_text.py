"""The small CLAP: sounds and sentences in one space, trained with one cross-entropy each way over all nouns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizer

from datasets.stamp_catalog import KINDS
from datasets.stamp_sounds import SAMPLING_RATE
from models.tiny.train.loop import Schedule, batches, fit, initialise
from models.tiny.train.sounds import load_bank, load_features
from models.tiny.train.words import any_description, byte_level_bpe

SECONDS = 4
MAX_TOKENS = 24
BATCH = 48
SCHEDULE = Schedule(1200, lr=1e-3, matrix_lr=3e-3, warmup=60)
STAGE = 1
PER_KIND = 80  # training sounds


def build() -> tuple[ClapModel, ClapProcessor]:
    """The untrained network and its processor: 64 mel bins, 4 s at 16 kHz, 128 dimensions."""
    vocab, merges = byte_level_bpe(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], RobertaTokenizer())
    tokenizer = RobertaTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)
    extractor = ClapFeatureExtractor(
        feature_size=64, sampling_rate=SAMPLING_RATE, hop_length=256, max_length_s=SECONDS, fft_window_size=512,
        frequency_min=50, frequency_max=8000, truncation="rand_trunc", padding="repeatpad",
    )  # fmt: skip
    config = ClapConfig(
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=384, max_position_embeddings=MAX_TOKENS + 2, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, pad_token_id=1, bos_token_id=0, eos_token_id=2, projection_dim=128,
        ),
        audio_config=dict(
            spec_size=128, num_mel_bins=64, patch_embeds_hidden_size=32, hidden_size=128, depths=[1, 2, 3],
            num_attention_heads=[2, 4, 8], num_hidden_layers=3, window_size=8, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, drop_path_rate=0.0, projection_dim=128,
        ),
        projection_dim=128,
    )  # fmt: skip
    model = ClapModel(config)
    initialise(model)
    return model, ClapProcessor(extractor, tokenizer)


def train(root: Path, runs: Path, seed: int) -> tuple[ClapModel, ClapProcessor]:
    """Trains on varied recordings; silent distractors' nouns are there as things no sound belongs to."""
    torch.manual_seed(seed)
    model, processor = build()

    def extract(waveform: np.ndarray) -> np.ndarray:
        waveform = waveform[: SECONDS * SAMPLING_RATE]
        features = processor.feature_extractor(waveform, sampling_rate=SAMPLING_RATE, return_tensors="np")
        return features["input_features"][0]

    features = load_features("clap", load_bank(root, runs, seed), extract, PER_KIND, runs, seed, STAGE)

    def collate(items: list):
        texts = [any_description(items[0][2], kind) for kind in KINDS]
        tokens = processor.tokenizer(texts, padding=True, return_tensors="pt")
        values = torch.from_numpy(np.stack([value for value, _, _ in items]))
        return values, torch.tensor([kind for _, kind, _ in items]), dict(tokens)

    def loss(clap: ClapModel, data):
        values, kinds, tokens = data
        audio_embeds = clap.get_audio_features(input_features=values).pooler_output.float()
        text_embeds = clap.get_text_features(**tokens).pooler_output.float()
        audio_embeds, text_embeds = F.normalize(audio_embeds, dim=-1), F.normalize(text_embeds, dim=-1)
        similarity = audio_embeds @ text_embeds.T  # (sounds, KINDS)
        logits = similarity * clap.logit_scale_a.exp().clamp(max=30)
        # besides, away from every other noun, so that an absolute similarity means something
        own = F.one_hot(kinds, len(KINDS)).bool()
        apart = F.relu(similarity.masked_fill(own, -1) - 0.3).pow(2).sum(1).mean()
        value = F.cross_entropy(logits, kinds) + 0.2 * apart
        right = (logits.argmax(1) == kinds).float().mean().item()
        return value, {"right": right, "similarity": similarity[own].mean().item()}

    fit("clap", model, batches(features, collate, BATCH, workers=0), loss, SCHEDULE, runs)
    return model, processor


def accuracy(model: ClapModel, processor: ClapProcessor, sounds: list[np.ndarray], kinds: list[int]) -> float:
    """Share of held-out sounds whose most similar noun, of all KINDS, is the right one."""
    texts = processor.tokenizer([kind.noun for kind in KINDS], padding=True, return_tensors="pt")
    with torch.inference_mode():
        text_embeds = model.get_text_features(**texts).pooler_output
        right = 0
        for start in range(0, len(sounds), BATCH):
            part = [waveform[: SECONDS * SAMPLING_RATE] for waveform in sounds[start : start + BATCH]]
            features = processor.feature_extractor(part, sampling_rate=SAMPLING_RATE, return_tensors="pt")
            audio_embeds = model.get_audio_features(input_features=features["input_features"]).pooler_output
            right += sum(
                int(best) == kind
                for best, kind in zip(
                    (audio_embeds @ text_embeds.T).argmax(1), kinds[start : start + BATCH], strict=True
                )
            )
    return right / len(sounds)
