"""Checkpoints and the models loaded from them, made once a run."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import numpy as np
import pytest

from models.config import families
from tests import checkpoints

SAVERS = {
    "audio_text": checkpoints.save_clap,
    "audio_tagger": checkpoints.save_audio_classifier,
    "audio_captioner": checkpoints.save_whisper,
    "image_captioner": checkpoints.save_blip,
    "segmenter": checkpoints.save_clipseg,
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Role -> folder of a tiny random checkpoint."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {role: save(root / role) for role, save in SAVERS.items()}


@pytest.fixture(scope="session")
def loaded(folders):
    """Role -> the first family of the role, loaded from that folder without a memory."""
    return {role: next(iter(families(role).values())).from_pretrained(str(folder)) for role, folder in folders.items()}


@pytest.fixture(scope="session")
def sounds():
    """Waveforms and rates: short, several windows, other rates, a single sample, nothing at all."""
    rng = np.random.default_rng(0)
    rates = [16000, 16000, 44100, 8000, 16000, 48000]
    lengths = [9000, 75000, 60000, 12000, 1, 0]
    return [rng.uniform(-0.5, 0.5, length).astype(np.float32) for length in lengths], rates


@pytest.fixture(scope="session")
def images():
    """Images of several sizes and aspects, one so flat that its rows could be taken for channels."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in [(48, 80), (90, 40), (64, 64), (3, 7), (1, 1)]]
