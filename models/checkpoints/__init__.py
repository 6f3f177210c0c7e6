"""Published networks: what is known of them before they are here (published.yaml), and the hub they come from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import yaml

from utils.errors import UserError, first_sentence

CATALOGUE = Path(__file__).with_name("published.yaml")
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
    """Hub id -> what is known of it; UserError where published.yaml is damaged."""
    try:
        rows = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
        known = {weights: Published(**row) for weights, row in rows.items()}
        sum(row.bytes or 0 for row in known.values())  # a size that is none, and an unknown dtype, are noticed here
        return known
    except (OSError, ValueError, LookupError, AttributeError, TypeError, yaml.YAMLError) as error:
        found = f"expected {CATALOGUE} to give hub ids some of {', '.join(vars(Published()))}, found"
        raise UserError(f"{found} {first_sentence(error)}; restore it with `git checkout`, or mend it") from error
