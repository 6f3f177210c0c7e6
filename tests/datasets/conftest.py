"""The miniature packages, built once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def stamps_package() -> ModuleType:
    """stamps_package.py: what builds the miniature."""
    spec = importlib.util.spec_from_file_location(
        "stamps_package", Path(__file__).with_name("stamp_world") / "stamps_package.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def stamps_root(stamps_package, tmp_path_factory) -> Path:
    """The root of a miniature of the unpacked Debian packages."""
    return stamps_package.build(tmp_path_factory.mktemp("tuxpaint"))


@pytest.fixture(scope="session")
def stamps_set(stamps_root, tmp_path_factory) -> Path:
    """A set of 40 samples of all scenarios, made of the miniature; only read."""
    from datasets import stamps

    out = tmp_path_factory.mktemp("stamps_set") / "set"
    stamps.build(out, [stamps_root], stamps.Options("test", 40, seed=3))
    return out
