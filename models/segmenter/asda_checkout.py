"""Imports modules of somebody else's checkout whose package names collide with ours, and leaves nothing behind."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def imports_from(checkout: Path, stand_ins: Mapping[str, ModuleType] | None = None) -> Iterator[None]:
    """While it lasts, what the checkout calls `utils` is its own; afterwards `utils` is ours again.

    Objects made from its classes go on working, as long as they import nothing more by those names. Other threads must
    not import meanwhile.

    Args:
        checkout: folder whose packages and modules take precedence.
        stand_ins: modules that the checkout is to find under these names in place of installed ones.
    """
    stand_ins = {**_bare_packages(checkout), **(stand_ins or {})}
    theirs = (
        {path.stem for path in checkout.glob("*.py")} | {path.name for path in _folders(checkout)} | stand_ins.keys()
    )
    hidden = {name: module for name, module in sys.modules.items() if _top(name) in theirs}
    path, writes_bytecode = list(sys.path), sys.dont_write_bytecode
    try:
        for name in hidden:
            del sys.modules[name]
        sys.modules.update(stand_ins)
        sys.path.insert(0, str(checkout))
        sys.dont_write_bytecode = True  # the checkout is not ours to write into
        importlib.invalidate_caches()
        yield
    finally:
        for name in [name for name in sys.modules if _top(name) in theirs]:
            del sys.modules[name]
        sys.modules.update(hidden)
        sys.path[:] = path
        sys.dont_write_bytecode = writes_bytecode


def _bare_packages(checkout: Path) -> dict[str, ModuleType]:
    """The folders without an __init__.py: to Python, a real package further down the path would come before them."""
    packages = {}
    for folder in _folders(checkout):
        if not (folder / "__init__.py").is_file():
            packages[folder.name] = ModuleType(folder.name)
            packages[folder.name].__path__ = [str(folder)]
    return packages


def _folders(checkout: Path) -> list[Path]:
    return [path for path in checkout.iterdir() if path.is_dir() and path.name.isidentifier()]


def _top(name: str) -> str:
    return name.partition(".")[0]
