"""Published networks: what is known of them before they are here (published.yaml), and the hub they come from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}  # of a number


@dataclass(frozen=True)
class Published:
    """A row of published.yaml, which says what its columns mean."""

    license: str = "unknown"
    parameters: float | None = None
    dtype: str = "float32"
    gated: bool = False
    pickled: bool = False
    alternative: str | None = None

    @property
    def bytes(self) -> int | None:
        """About what has to be fetched, None if unknown; the hub knows exactly."""
        return None if self.parameters is None else round(self.parameters * 1e6 * BYTES[self.dtype])


def command(program: str, weights: str, revision: str | None) -> str:
    """What fetches or converts a hub id at the revision that is pinned, as sentences quote it."""
    return f"`python -m models.{program} {weights}{f' --revision {revision}' if revision else ''}`"


@functools.cache
def catalogue() -> dict[str, Published]:
    """Hub id -> what is known of it."""
    rows = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))
    return {weights: Published(**row) for weights, row in rows.items()}
