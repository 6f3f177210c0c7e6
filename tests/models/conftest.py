"""Checkpoints, the models loaded from them, and what they are given, made once a run."""

import numpy as np
import pytest

from models.config import family_class
from tests.checkpoints.published import write
from tests.checkpoints.tiny_config import NETWORKS


@pytest.fixture(scope="session")
def folders(random_config):
    """Role -> folder of a tiny random checkpoint."""
    return {role: random_config.parent / role for role in NETWORKS}


@pytest.fixture(scope="session")
def loaded(folders):
    """Role -> the model of that folder, loaded without a memory."""
    return {
        role: family_class(role, family).from_pretrained(str(folders[role]))
        for role, (family, _, _) in NETWORKS.items()
    }


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Hub id -> folder of a tiny network of that architecture; `tiny.saved(save)` for one of those with settings."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(hub_id):
        return str(write(hub_id, root / hub_id.replace("/", "--"), tiny=True))

    def saved(save):
        path = root / save.__name__
        return str(path if path.is_dir() else save(path))

    folder.saved = saved
    return folder


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
