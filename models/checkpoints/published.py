"""What is known of published networks before they are here: licence, gate, size. Read from models/checkpoints/published.yaml."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml

PATH = Path(__file__).with_name("published.yaml")
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Published:
    """One row of the catalogue.

    Attributes:
        weights: hub id.
        license: SPDX name, or the licence's own.
        parameters: in millions; None if unknown.
        dtype: of the file.
        gated: whether the hub asks to accept the licence first.
        pickled: whether the repository has only pickled weights; `python -m models.convert` makes safetensors of them.
        alternative: what to take instead of a gated one.
    """

    weights: str
    license: str
    parameters: float | None = None
    dtype: str = "float32"
    gated: bool = False
    pickled: bool = False
    alternative: str | None = None

    @property
    def bytes(self) -> int | None:
        """About what has to be fetched; the hub knows exactly."""
        return None if self.parameters is None else round(self.parameters * 1e6 * BYTES[self.dtype])


@functools.cache
def catalogue() -> dict[str, Published]:
    """Hub id -> what is known of it."""
    rows = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return {weights: Published(weights, **row) for weights, row in rows.items()}


def license_of(weights: str) -> str | None:
    """The licence of a hub id; None where the catalogue does not know it."""
    known = catalogue().get(weights)
    return known.license if known else None
