"""The package `sounding_object` that `pip install -e .` puts on the path: `segment`, two commands, and nothing else.

The clone's folders are called `datasets`, `models` and `utils`, as other people's are, so they are not installed: this
package finds them where the clone lies. In a notebook they are found by our scripts alone, which import them as the
first of these names; `import datasets` is Hugging Face's there, before and after.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OURS = ("methods", "models", "utils")
NAMES = ("segment", "Session", "Answer")


def __getattr__(name: str) -> Any:
    """One of NAMES, from `inference_demo`, which is imported when one is first asked for."""
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(NAMES)}")
    require_clone()
    for package in OURS:
        found = getattr(sys.modules.get(package), "__path__", [str(ROOT / package)])
        if str(ROOT / package) not in map(str, found):
            raise ImportError(
                f"expected {package} to be {ROOT / package}, found {list(found)}, which this process imported before; "
                f"import {__name__} first, or run it in a process of its own"
            )
    sys.path.insert(0, str(ROOT))
    try:
        return getattr(import_module("inference_demo"), name)
    finally:
        sys.path.remove(str(ROOT))


def require_clone() -> None:
    """Refuses (ImportError) to go on where this file was installed without the clone around it."""
    if not (ROOT / "inference_demo.py").is_file():
        raise ImportError(
            "expected the clone of sounding-object around this package, found a copy without it: it runs from its "
            "clone; go to the clone and run `pip install -e .` there (with -e)"
        )


def demo() -> None:
    """The command `sounding-object`: inference_demo.py from any folder."""
    _run("inference_demo")


def evaluate() -> None:
    """The command `sounding-object-eval`: eval.py from any folder."""
    _run("eval")


def _run(script: str) -> None:
    try:
        require_clone()
    except ImportError as error:
        sys.exit(f"error: {error}")
    sys.path.insert(0, str(ROOT))  # of this process, which is ours; its workers take it over
    sys.exit(import_module("utils.errors").run_script(import_module(script).main))
