"""Who may know whom, what is installed for what, and how much of the house a first look walks through."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("methods", "models", "datasets", "utils")
OURS = {*ROOMS, "inference_demo", "eval", "tests"}
PAGE = "requirements-page.txt"  # for utils/demo/page.py alone
# Imported where one setting or family asks for them; the sentence that names them says how to get them.
OPTIONAL = {"spacy", "msclap", "model"}
# Named by the user of this project or needed by a library of the list, without an import of ours.
NOT_IMPORTED = {"torchaudio"}
MAX_FILES = 40  # that the demo executes
MAX_CALLS = 9  # of ours, one within another

TRACE = """
import os, runpy, sys
import timm, torch  # their own calls are not looked at
root, files, deepest = os.getcwd() + os.sep, set(), []
def ours(frame):
    path = frame.f_code.co_filename
    return path.startswith(root) and not frame.f_code.co_name.startswith("<")
def look(frame, event, argument):
    global deepest
    if event != "call" or not frame.f_code.co_filename.startswith(root):
        return
    files.add(frame.f_code.co_filename[len(root):])
    stack, one = [], frame
    while one:
        if ours(one):
            stack.append(f"{one.f_code.co_filename[len(root):]}:{one.f_code.co_name}")
        one = one.f_back
    deepest = max(deepest, stack[::-1], key=len)
sys.path.insert(0, root)
sys.argv = ["inference_demo.py", "--output", sys.argv[1]]
sys.settrace(look)  # of no lines, since it returns nothing
try:
    runpy.run_path(root + "inference_demo.py", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
finally:
    sys.settrace(None)
print("\\n=", *sorted(files))
print("=", *deepest)
"""


def sources() -> list[Path]:
    """Our Python files outside tests/."""
    scripts = [ROOT / "inference_demo.py", ROOT / "eval.py"]
    return scripts + [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]


def test_the_contracts_hold():
    """pyproject.toml says who may know whom, and that nothing goes in circles."""
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_scripts_and_tests_are_known_by_nobody():
    for path in sources():
        if path.parent != ROOT:
            assert not imported(path) & {"inference_demo", "eval", "tests"}, path


def test_requirements_are_what_is_imported():
    found = set().union(*map(imported, sources())) - sys.stdlib_module_names - OURS - OPTIONAL
    for package in requirements(ROOT / PAGE):
        assert [path.name for path in sources() if package in imported(path)] == ["page.py"]
        found.remove(package)
    named = requirements(ROOT / "requirements.txt")
    packages = metadata.packages_distributions()
    asked = {normal(package) for module in found for package in packages[module]}
    assert {module for module in found if not {normal(one) for one in packages[module]} & named} == set()
    assert named - asked - NOT_IMPORTED == set()


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The files a first run of the demo executes, and its deepest stack of calls."""
    done = subprocess.run(
        [sys.executable, "-c", TRACE, str(tmp_path_factory.mktemp("demo"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    files, deepest = (line[2:].split() for line in done.stdout.splitlines() if line.startswith("= "))
    return files, deepest


def test_the_demo_walks_through_few_files(walked):
    files, _ = walked
    assert "inference_demo.py" in files and "methods/cross_modal.py" in files
    assert len(files) <= MAX_FILES, files
    assert not [path for path in files if path.startswith(("datasets/", "models/checkpoints/"))]


def test_the_demo_nests_few_calls(walked):
    _, deepest = walked
    assert len(deepest) <= MAX_CALLS, deepest


def imported(path: Path) -> set[str]:
    """The first names of everything a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def requirements(path: Path) -> set[str]:
    """The packages that a requirements file names."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {normal(re.split(r"[<>=\[ ]", line)[0]) for line in lines if line and not line.startswith(("#", "-r"))}


def normal(package: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()
