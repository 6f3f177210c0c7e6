"""Which network plays which role: reads configs/NAME.yaml and the `--set` overrides, and refuses what it does not know.

A config file holds `summary` (one line: what it is good for), `roles` (role -> family, weights and settings) and
`methods` (method -> settings). Defaults live in the classes that use them; a config names what differs from them.
"""

from __future__ import annotations

import importlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from utils.cli import DEFAULT_CONFIG, check_setting, settings_of
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("audio_text", "audio_tagger", "audio_captioner", "image_captioner", "segmenter")
WEIGHTS_KEYS = ("weights", "revision", "license", "dtype", "trust_remote_code")  # where a network comes from, and how
DTYPES = ("float32", "bfloat16", "float16")  # the first is the default
BANKED = "audio_text"  # the role beside which a bank of sounds is named, see `models.sound_bank`
REFINED = "segmenter"  # whose maps `models.segmenter.refine` looks at again
REFINEMENTS = ("none", "parts", "guided_filter", "sam")  # the first is the default
SAM = "sam"  # the part beside a segmenter that has the weights for the last
OUTLINED = ("grounded_sam", "sam_clip", "sam3")  # families whose masks are Segment Anything's
CONFIG_KEYS = ("summary", "roles", "methods")
MAX_VALUES = 100_000  # of a YAML file, those that an alias repeats counted again


@dataclass(frozen=True)
class Config:
    """One choice of networks and settings, checked.

    Attributes:
        name, path: of the file; the name without extension.
        summary: one line, what this config is good for.
        roles: role -> {"family", **WEIGHTS_KEYS, **settings of the family's class}; a family of several networks has
            one mapping of WEIGHTS_KEYS for each of its parts instead, under the part's name. "audio_text" may name a
            "bank" of sounds. "segmenter" may have "refine", one of REFINEMENTS, and for "sam" a part of that name.
        methods: method name -> settings that differ from the defaults in the method's class, unchecked.
    """

    name: str
    path: Path
    summary: str
    roles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def bundled(self) -> bool:
        """Whether the file is one of ours, whose settings are known to be sound."""
        return self.path.parent == ROOT / "configs"


@dataclass(frozen=True)
class Source:
    """Where one network comes from: WEIGHTS_KEYS by config or default; `part` is "" where its family has no other."""

    role: str
    family: str
    part: str
    weights: str
    revision: str | None = None
    license: str | None = None
    dtype: str = "float32"
    trust_remote_code: bool = False


def sources(config: Config, used: Collection[str] | None = None) -> list[Source]:
    """Every network of a config, or of the roles that are used, in its order."""
    return [
        Source(role, entry["family"], part, **{key: keys[key] for key in WEIGHTS_KEYS if key in keys})
        for role, entry in config.roles.items()
        if used is None or role in used
        for part, keys in _networks(entry, family_class(role, entry["family"]))
    ]


def files_of(source: Source) -> tuple[str, ...]:
    """What a family reads where its checkpoints are of another kind than the library's: its class says so."""
    if not source.role:
        return ()
    family = family_class(source.role, source.family)
    return getattr(getattr(family, "parts", {}).get(source.part) if source.part else family, "hub_files", ())


def load_config(
    name_or_path: str | Path = DEFAULT_CONFIG,
    overrides: Iterable[str] = (),
    methods: Collection[str] | None = None,
    used: Collection[str] | None = None,
) -> Config:
    """Reads a config and applies overrides.

    Args:
        name_or_path: name of a file in configs/ ("pocket"), or the path of a YAML file.
        overrides: "ROLE.key=value" or "METHOD.key=value", the value in YAML: "segmenter.weights=my/folder", or
            "segmenter.detector.weights=my/folder" for a part. Another family for a role starts from nothing; other
            weights drop revision, license, trust_remote_code and bank.
        methods: the names that settings may be given to; None leaves those of the config unread.
        used: the roles to look into beside those that overrides name, None for all; no other's family is imported.

    Raises:
        UserError: no such config, not the form of a config, or a name or value that does not fit; says which would.
    """
    path, overrides = _find(name_or_path), tuple(overrides)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: {error}; expected a YAML file in UTF-8") from error
    content = _parse(text, str(path))
    _require(isinstance(content, dict), f"{path} must hold {', '.join(CONFIG_KEYS)}; found {type(content).__name__}")
    _check_known(content, CONFIG_KEYS, "key", str(path))
    roles, settings = (_sections(content, key, path) for key in ("roles", "methods"))
    for override in sorted(overrides, key=_precedence):
        _apply(override, roles, settings, methods or ())
    _check_known(roles, ROLES, "role", str(path))
    if methods is not None:
        _check_known(settings, methods, "method", str(path))
    named = {override.partition(".")[0].strip() for override in overrides}
    for role, entry in roles.items():
        if used is None or role in {*used, *named}:
            _check_role(role, entry)
    return Config(path.stem, path, str(content.get("summary") or ""), roles, settings if methods is not None else {})


def config_names() -> list[str]:
    """Names of the bundled configs, sorted."""
    return sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def families(role: str) -> dict[str, str]:
    """Who can play a role: family name -> "module:class"."""
    return importlib.import_module(f"models.{role}").FAMILIES


def family_class(role: str, family: str) -> type:
    """The class of a family; importing it loads no network."""
    module, _, name = families(role)[family].partition(":")
    return getattr(importlib.import_module(module), name)


def parts_of(model_class: type) -> tuple[str, ...]:
    """The names of the networks a family is made of; none where it is one."""
    return tuple(getattr(model_class, "parts", ()))


def _networks(entry: Mapping[str, Any], model_class: type) -> list[tuple[str, Mapping[str, Any]]]:
    """The part's name and the keys of each network of a role."""
    own = [(part, entry[part]) for part in parts_of(model_class)] or [("", entry)]
    return [*own, (SAM, entry[SAM])] if entry.get("refine") == SAM else own


def _find(name_or_path: str | Path) -> Path:
    path = Path(os.path.expanduser(name_or_path))  # as it is where it names no user
    bundled = [ROOT / "configs" / f"{path}.yaml"] if re.fullmatch(r"[\w-]+", str(path)) else []
    for candidate in (*bundled, path, ROOT / path):
        if candidate.is_file():
            return candidate
    raise UserError(
        f"there is no config {str(name_or_path)!r}; bundled at present: {', '.join(config_names())}; "
        "or give the path of a YAML file of your own"
    )


class _Loader(yaml.SafeLoader):
    """YAML 1.1, but 1e-3 is a number, a date is a text, and no key comes twice."""

    def get_single_data(self) -> Any:
        """Refuses a key of which the library would keep the last, and aliases of aliases that fill any memory."""
        root = self.get_single_node()
        within = [root]
        for _ in range(MAX_VALUES):
            if not within:
                return self.construct_document(root) if root else None
            node = within.pop()
            children = node.value if isinstance(node, yaml.CollectionNode) else []
            if isinstance(node, yaml.MappingNode):
                names = Counter(str(key.value) for key, _ in children)
                if twice := [name for name, count in names.items() if count > 1]:
                    raise yaml.YAMLError(f"it has the key {twice[0]!r} twice{node.start_mark}")
                children = [one for pair in children for one in pair]
            within += children
        raise yaml.YAMLError(f"it has more than {MAX_VALUES} values")


_Loader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # the latter by tags such as !!int
        raise UserError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UserError(f"{where} is nested too deeply; expected names, and below them their settings") from error


def _sections(content: Mapping[str, Any], key: str, path: Path) -> dict[str, dict[str, Any]]:
    sections = content.get(key) or {}
    fits = isinstance(sections, dict) and all(entry is None or isinstance(entry, dict) for entry in sections.values())
    _require(fits, f"{key} in {path} must map each name to its settings")
    return {name: entry or {} for name, entry in sections.items()}


def _precedence(override: str) -> int:
    """Families first, then weights: each of them drops what was said of the one before."""
    key = override.partition("=")[0]
    return 0 if key.endswith(".family") else 1 if key.endswith(".weights") else 2


def _apply(
    override: str, roles: dict[str, dict[str, Any]], settings: dict[str, dict[str, Any]], methods: Collection[str]
) -> None:
    target, equals, value = override.partition("=")
    name, dot, key = target.strip().partition(".")
    _require(bool(equals and dot and name and key), f"expected ROLE.key=value or METHOD.key=value, found {override!r}")
    _check_known([name], (*ROLES, *methods), "role or method", f"--set {override}")
    section = (roles if name in ROLES else settings).setdefault(name, {})
    *parts, key = key.split(".")
    for part in parts:
        section = section.setdefault(part, {})
        _require(isinstance(section, dict), f"--set {override}: {name}.{part} is a value, not a part with keys")
    found = _parse(value, f"--set {override}")
    if name in ROLES and section.get(key) != found:
        if key == "family" and not parts:
            section.clear()
        elif key == "weights":  # what is said of one network's weights does not hold for another's
            for said in ("revision", "license", "trust_remote_code", "bank"):
                section.pop(said, None)
    section[key] = found


def _check_role(role: str, entry: Mapping[str, Any]) -> None:
    known = families(role)
    _require(isinstance(entry.get("family"), str), f"role {role} needs family; families: {', '.join(known)}")
    _check_known([entry["family"]], known, "family", f"role {role}")
    model_class, where = family_class(role, entry["family"]), f"role {role} ({entry['family']})"
    parts, settings = parts_of(model_class), settings_of(model_class)
    further = {BANKED: ("bank",), REFINED: ("refine", SAM)}.get(role, ())
    _check_known(entry, ("family", *(parts or WEIGHTS_KEYS), *settings, *further), "setting", where)
    _require(
        isinstance(entry.get("bank", ""), str), f"{role}.bank must be the path of a file; found {entry.get('bank')!r}"
    )
    refine = entry.get("refine", REFINEMENTS[0])
    _require(refine in REFINEMENTS, f"{role}.refine must be one of {', '.join(REFINEMENTS)}; found {refine!r}")
    _require(
        refine != SAM or entry["family"] not in OUTLINED,
        f"{where} has its masks from Segment Anything already, which refine: sam would ask again; leave it out",
    )
    for part in (*parts, SAM) if SAM in (refine, *entry) else parts:
        _require(isinstance(entry.get(part), dict), f"{where} needs its part {part} to be a mapping with weights")
        _check_known(entry[part], WEIGHTS_KEYS, "setting", f"{where}, part {part}")
    for part, keys in _networks(entry, model_class):
        part = f"{role}.{part}".rstrip(".")
        _require(isinstance(keys.get("weights"), str), f"{where} needs {part}.weights: a folder or hub id")
        for key, kind in (("revision", str), ("license", str), ("trust_remote_code", bool)):
            found = keys.get(key)
            _require(found is None or isinstance(found, kind), f"{part}.{key} must be {kind.__name__}; found {found!r}")
        dtype = keys.get("dtype", DTYPES[0])
        _require(dtype in DTYPES, f"{part}.dtype must be one of {', '.join(DTYPES)}; found {dtype!r}")
    for key in settings.keys() & entry.keys():
        check_setting(f"{role}.{key}", entry[key], settings[key])


def _check_known(found: Iterable[str], known: Iterable[str], what: str, where: str) -> None:
    known = list(known)
    for name in found:
        _require(name in known, f"unknown {what} {name!r} in {where}; known: {', '.join(known) or 'none'}")


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise UserError(sentence)
