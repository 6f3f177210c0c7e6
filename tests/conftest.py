"""What tests of several folders share."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported


@pytest.fixture(scope="session")
def fakes() -> ModuleType:
    """tests/fakes.py: networks that are right by construction."""
    specification = importlib.util.spec_from_file_location("fakes", Path(__file__).with_name("fakes.py"))
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def random_config(tmp_path_factory) -> Path:
    """The path of a config that names a tiny random network for every role, see tests/checkpoints/tiny_config.py."""
    from tests.checkpoints.tiny_config import save_config

    return save_config(tmp_path_factory.mktemp("checkpoints"))
