"""The connection strategies, found by listing this folder: `NAME.py` holds the method NAME, and nothing else names it.

Each file holds exactly one subclass of `methods.base.Method`. Importing this package imports none of them. A name that
is no method's is a UserError, which lists those that are. `python -m methods.calibrate` is a program for all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from importlib import import_module
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

from methods.base import Method
from utils.cli import at_least, check_setting, settings_of
from utils.errors import UserError

FOLDER = Path(__file__).resolve().parent
NOT_METHODS = {"base", "calibrate"}
NEVER = (-1.0, 0.0)  # below which no similarity, and no probability, is refused
VERIFY = "verify"  # the setting that wraps a method in `methods._verify.Verified`: how many further candidates
VERIFY_ROLES, VERIFY_ROUNDS = ("audio_tagger",), 2  # what that asks besides the segmenter, and at most
VERIFY_SETTING = Parameter(
    VERIFY, Parameter.KEYWORD_ONLY, default=0, annotation=Annotated[int, at_least(0, VERIFY_ROUNDS)]
)


def available() -> list[str]:
    """Returns the names of all methods, sorted; files whose name starts with "_" are not methods."""
    names = (path.stem for path in FOLDER.glob("*.py"))
    return sorted(name for name in names if not name.startswith("_") and name not in NOT_METHODS)


def requires(name: str, values: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Returns every role that the method `name` must be given, with these settings, and the segmenter that it needs."""
    found = _find(name)
    if values and values.get(VERIFY):
        return tuple(dict.fromkeys((*VERIFY_ROLES, *requires(name))))
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
    return {key: setting.default for key, setting in _settings(name).items()}


def verifying(names: Iterable[str]) -> list[str]:
    """Returns what --verify says to --set, of those of the methods `names` that can; a UserError where none can."""
    names = list(names)
    found = [f"{name}.{VERIFY}={VERIFY_ROUNDS}" for name in names if VERIFY in _settings(name)]
    if not found:
        able = ", ".join(name for name in available() if VERIFY in _settings(name))
        expected = f"expected a method whose masks can be verified, one of {able}"
        raise UserError(f"{expected}; found {', '.join(names)}; leave --verify out")
    return found


def check(name: str, values: Mapping[str, Any]) -> None:
    """Refuses settings that the method `name` does not have, and values out of their ranges, with a UserError each."""
    known = _settings(name)
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
    rounds = values.pop(VERIFY, 0)
    method = _find(name)(models, **values)
    method.memory = memory
    if rounds:
        from methods._verify import Verified  # not read where nothing is verified

        return Verified(models, method, rounds)
    return method


def _settings(name: str) -> dict[str, Parameter]:
    """A method's own settings; and of one that listens and has a segmenter, how often its masks are verified."""
    found = _find(name)
    further = {VERIFY: VERIFY_SETTING} if found.listens and found.segments else {}
    return settings_of(found) | further


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
