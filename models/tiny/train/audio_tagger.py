"""The small AST: sounds to the nouns of what makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from datasets.stamp_catalog import SOUNDING
from datasets.stamp_sounds import SAMPLING_RATE
from models.tiny.train.loop import Schedule, batches, fit, initialise
from models.tiny.train.sounds import load_bank, load_features

FRAMES = 400  # 10 ms each
BATCH = 48
SCHEDULE = Schedule(1000, lr=1e-3, matrix_lr=3e-3, warmup=60)
STAGE = 2
PER_KIND = 100  # training sounds


def build() -> tuple[ASTForAudioClassification, ASTFeatureExtractor]:
    """The untrained network: 4 layers of 128 over 16 x 16 patches of 64 mel bins and 4 s."""
    labels = [kind.noun for kind in SOUNDING]
    config = ASTConfig(
        hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=384, max_length=FRAMES,
        num_mel_bins=64, frequency_stride=16, time_stride=16, patch_size=16, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)}, problem_type="single_label_classification",
        attn_implementation="eager",
    )  # fmt: skip
    model = ASTForAudioClassification(config)
    initialise(model)
    return model, ASTFeatureExtractor(num_mel_bins=64, max_length=FRAMES, mean=-3.0, std=3.0)


def window(waveform: np.ndarray) -> np.ndarray:
    """The first FRAMES frames of a sound."""
    return waveform[: 400 + 160 * (FRAMES - 1)]


def train(root: Path, runs: Path, seed: int) -> tuple[ASTForAudioClassification, ASTFeatureExtractor]:
    """Trains on varied recordings with one label each."""
    torch.manual_seed(seed)
    model, extractor = build()

    def extract(waveform: np.ndarray) -> np.ndarray:
        return extractor(window(waveform), sampling_rate=SAMPLING_RATE, return_tensors="np")["input_values"][0]

    features = load_features("ast", load_bank(root, runs, seed), extract, PER_KIND, runs, seed, STAGE)

    def collate(items: list):
        values = torch.from_numpy(np.stack([value for value, _, _ in items]))
        return values, torch.tensor([kind for _, kind, _ in items])

    def loss(ast: ASTForAudioClassification, data):
        values, kinds = data
        logits = ast(input_values=values).logits.float()
        right = (logits.argmax(1) == kinds).float().mean().item()
        return F.cross_entropy(logits, kinds, label_smoothing=0.05), {"right": right}

    fit("ast", model, batches(features, collate, BATCH, workers=0), loss, SCHEDULE, runs)
    return model, extractor


def accuracy(model, extractor, sounds: list[np.ndarray], kinds: list[int]) -> float:
    """Share of held-out sounds whose most probable label is the right one."""
    with torch.inference_mode():
        right = 0
        for start in range(0, len(sounds), BATCH):
            part = [window(waveform) for waveform in sounds[start : start + BATCH]]
            features = extractor(part, sampling_rate=SAMPLING_RATE, return_tensors="pt")
            best = model(**features).logits.argmax(1).tolist()
            right += sum(one == kind for one, kind in zip(best, kinds[start : start + BATCH], strict=True))
    return right / len(sounds)
