"""The miniature packages, built once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def stamps_root(tmp_path_factory):
    """The root of a miniature of the unpacked Debian packages."""
    spec = importlib.util.spec_from_file_location("stamps_package", Path(__file__).with_name("stamps_package.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build(tmp_path_factory.mktemp("tuxpaint"))
