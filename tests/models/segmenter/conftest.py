"""Tiny checkpoints with random weights, each written once a run."""

import pytest

from tests.checkpoints.published import write


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
