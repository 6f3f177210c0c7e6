"""What tests of several folders share."""

from __future__ import annotations

import functools
import gc
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from soundfile import write

import utils.report

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes with several threads each get in each other's way


def pytest_collection_finish() -> None:
    """Spares the garbage collector what is there to stay: tests, fixtures, libraries."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what is marked `cuda` where there is none."""
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU that torch can use")


@pytest.fixture(scope="session")
def fakes() -> ModuleType:
    """tests/fakes.py: networks that are right by construction."""
    specification = importlib.util.spec_from_file_location("fakes", Path(__file__).with_name("fakes.py"))
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once():
    """Of the report, in each process: that takes half the time of a small evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils.report, "_environment", functools.cache(utils.report._environment))
        yield


@pytest.fixture(scope="session")
def random_config(tmp_path_factory) -> Path:
    """The path of a config that names a tiny random network for every role, see tests/checkpoints/tiny_config.py."""
    from tests.checkpoints.tiny_config import save_config

    return save_config(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def data(tmp_path_factory, fakes) -> Path:
    """The folder of six scenes of the fake world, see tests/eval_scenes.py; not to be changed."""
    from tests.eval_scenes import save_scenes

    return save_scenes(tmp_path_factory.mktemp("data"), fakes)


@pytest.fixture
def fake_models(monkeypatch, fakes) -> dict[str, Any]:
    """The fakes, which play every config's networks."""
    from tests.eval_scenes import play

    return play(fakes, monkeypatch)


@pytest.fixture(scope="module")
def load_once() -> Callable[..., dict[str, Any]]:
    """A `models.loading.load_models` that loads what was asked for once, and whose networks remember what they said."""
    import models.loading
    from models.remembering import Memory

    load, networks, said = models.loading.load_models, {}, Memory()

    def load_models(config, roles, device="auto", memory=None, **shared):
        roles = tuple(dict.fromkeys(roles))
        key = repr(([config.roles.get(role) for role in roles], roles, models.loading.resolve_device(device)))
        if key not in networks:
            networks[key] = load(config, roles, device, said)
        shared.get("models", {}).update(networks[key])
        return networks[key]

    return load_models


@pytest.fixture
def loaded(fakes, monkeypatch):
    """Puts fake networks behind the demo: the config, the roles and the device of each time that some are loaded."""
    import inference_demo

    loaded = []

    def load_models(config, roles, device, memory, models, **_):
        new = [role for role in roles if role not in models]
        if new:
            loaded.append((config.name, tuple(new), device))
        models.update({role: model for role, model in fakes.make_models().items() if role in new})

    monkeypatch.setattr(inference_demo, "load_models", load_models)
    return loaded


@pytest.fixture
def scene(tmp_path, fakes, loaded, monkeypatch):
    """A folder with input.png and input.wav (a violin sounds beside a dog), fake networks behind the demo."""
    monkeypatch.chdir(tmp_path)
    sample = fakes.make_sample("violin", ("dog", "violin"), size=(120, 200))
    Image.fromarray(sample.image).save("input.png")
    write("input.wav", sample.waveform, sample.sampling_rate)
    words = json.dumps(fakes.NAMES)
    Path("fake.yaml").write_text(f"summary: for tests\nmethods:\n  text_inversion:\n    vocabulary: {words}\n")
    return SimpleNamespace(folder=tmp_path, sample=sample, loaded=loaded)


@pytest.fixture
def unprivileged():
    """A folder of a user for whom permissions hold, as they do not for root."""
    if not hasattr(os, "setresuid"):
        pytest.skip("permissions are another matter here")
    folder, nobody = Path(tempfile.mkdtemp()), 65534
    if is_root := os.geteuid() == 0:
        import torch._dynamo  # noqa: F401 (torch does so at its first optimiser, and nobody may read root's Python)

        os.chown(folder, nobody, nobody)
        os.setresuid(nobody, nobody, 0)
    yield folder
    if is_root:
        os.setresuid(0, 0, 0)
    shut = [folder]
    while shut:
        shut.pop().chmod(0o700)
        shut += [path for path in folder.rglob("*") if path.is_dir() and not path.stat().st_mode & 0o100]
    shutil.rmtree(folder)
