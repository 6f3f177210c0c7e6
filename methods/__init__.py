"""The connection strategies, found by listing this folder: `NAME.py` holds the method NAME, and nothing else names it.

Each file holds exactly one subclass of `methods.base.Method`. Importing this package imports none of them. A name that
is no method's is a UserError, which lists those that are. `python -m methods.calibrate` is a program for all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from methods.base import Method
from utils.cli import check_setting, settings_of
from utils.errors import UserError

FOLDER = Path(__file__).resolve().parent
NOT_METHODS = {"base", "calibrate"}
NEVER = (-1.0, 0.0)  # below which no similarity, and no probability, is refused


def available() -> list[str]:
    """Returns the names of all methods, sorted; files whose name starts with "_" are not methods."""
    names = (path.stem for path in FOLDER.glob("*.py"))
    return sorted(name for name in names if not name.startswith("_") and name not in NOT_METHODS)


def requires(name: str) -> tuple[str, ...]:
    """Returns every role that the method `name` must be given, the segmenter included where it needs one."""
    found = _find(name)
    if isinstance(found.requires, str):
        raise UserError(
            f'expected {name}.requires to be names of roles, like ("audio_text",); found {found.requires!r}'
        )
    return tuple(dict.fromkeys((*found.requires, "segmenter") if found.segments else found.requires))


def asks(name: str) -> tuple[str, ...]:
    """Returns the roles that decide what the method `name` asks for; the segmenter only where it is one of these."""
    return tuple(_find(name).requires)


def needs_bank(name: str) -> bool:
    """Returns whether the method `name` wants a bank of sounds beside the audio-text encoder."""
    return _find(name).needs_bank


def listens(name: str) -> bool:
    """Returns whether the sound can change what the method `name` answers; False for baselines."""
    return _find(name).listens


def abstains_below(name: str) -> tuple[str, float] | None:
    """Returns the setting below which the method `name` asks for nothing, and its value that refuses nothing."""
    found = _find(name)
    if found.abstains_below is None:
        return None
    (range_,) = settings_of(found)[found.abstains_below].annotation.__metadata__
    return found.abstains_below, next(filter(range_.holds, NEVER))


def settings(name: str) -> dict[str, Any]:
    """Returns the settings of the method `name` with their defaults."""
    return {key: setting.default for key, setting in settings_of(_find(name)).items()}


def check(name: str, values: Mapping[str, Any]) -> None:
    """Refuses settings that the method `name` does not have, and values out of their ranges, with a UserError each."""
    known = settings_of(_find(name))
    for key, value in values.items():
        if key not in known:
            raise UserError(f'the method {name} has no setting "{key}"; it has: {", ".join(known) or "none"}')
        check_setting(f"{name}.{key}", value, known[key])


def create(
    name: str,
    models: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    memory: Any = None,
) -> Method:
    """Makes a method ready to predict.

    Args:
        name: one of `available()`.
        models: role name -> loaded model, for at least `requires(name)`.
        values: settings that shall differ from their defaults.
        seed: the setting "seed" of methods that have one, unless `values` names it.
        memory: `models.remembering.Memory` for costly steps of its own, see `Method.recall`; None for none.

    Raises:
        UserError: it has no such setting, or a setting's value is refused.
    """
    values = dict(values or {})
    check(name, values)
    if seed is not None and "seed" in settings(name):
        values.setdefault("seed", seed)
    method = _find(name)(models, **values)
    method.memory = memory
    return method


def _find(name: str) -> type[Method]:
    if name not in available():
        raise UserError(f'there is no method "{name}"; choose from: {", ".join(available())}')
    module = import_module(f"{__name__}.{name}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        names = ", ".join(value.__name__ for value in found) or "none"
        raise UserError(f"expected exactly one subclass of Method in {module.__file__}, found: {names}")
    return found[0]
