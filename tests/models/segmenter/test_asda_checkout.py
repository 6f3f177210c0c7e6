import importlib
import sys
from types import ModuleType

import pytest

import utils.types
from models.segmenter.asda_checkout import imports_from


@pytest.fixture
def checkout(tmp_path):
    """`utils` without and `models` with an __init__.py, both names of ours; `alone.py` imports them and a stand-in."""
    for name, content in {
        "utils/types.py": "WHOSE = 'theirs'",
        "models/__init__.py": "from utils.types import WHOSE",
        "alone.py": "import models, stand_in\nWHOSE = models.WHOSE + stand_in.NAME",
        "broken.py": "import utils.types\nraise RuntimeError('broken')",
        "not-a-package/x.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.fixture
def stand_in():
    module = ModuleType("stand_in")
    module.NAME = " and a stand-in"
    return {"stand_in": module}


def ours():
    names = ("utils", "models", "alone", "broken", "stand_in")
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] in names}


def test_their_packages_are_theirs_inside_and_ours_afterwards(checkout, stand_in, monkeypatch):
    before, path = ours(), list(sys.path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with imports_from(checkout, stand_in):
        assert importlib.import_module("alone").WHOSE == "theirs and a stand-in"
        assert sys.modules["utils.types"] is not utils.types
    assert ours() == before and sys.path == path and sys.modules["utils.types"] is utils.types
    assert not list(checkout.rglob("*.pyc")) and sys.dont_write_bytecode is False
    assert importlib.import_module("utils.media.masks").__name__ == "utils.media.masks"


def test_so_they_are_when_it_breaks(checkout, stand_in):
    before, path = ours(), list(sys.path)
    with pytest.raises(RuntimeError, match="broken"), imports_from(checkout, stand_in):
        importlib.import_module("broken")
    assert ours() == before and sys.path == path


def test_without_it_ours_would_be_found(checkout, monkeypatch):
    """Why the folders without an __init__.py are handled."""
    monkeypatch.syspath_prepend(str(checkout))
    monkeypatch.delitem(sys.modules, "utils")
    assert importlib.import_module("utils").__file__ == utils.__file__
