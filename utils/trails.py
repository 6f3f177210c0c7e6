"""The record of how a method came to its query, with the same keys whatever the method.

Conventions, for every trail:
    heard: str, a short sentence on the sound.
    seen: str or None, what an image captioner said; None where the method does not look at the image.
    candidates: list of {"text": str, "score": float}, best first: what was weighed for the query; [] where nothing was.
    query: str or None, what the segmenter is asked ("; " between several).
    reason: str or None, why nothing is asked, in plain words; None exactly where there is a query.
    Further keys are a method's own. Numbers are rounded to 4 decimals: a trail is for reading; everything is JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from utils.types import Proposal, Query

__all__ = ["abstain", "candidates", "propose", "silence"]


def candidates(texts: Sequence[str], scores: Iterable[float]) -> list[dict[str, Any]]:
    """Lists what was weighed, best first; equals keep their order."""
    rows = [{"text": text, "score": round(float(score), 4)} for text, score in zip(texts, scores, strict=True)]
    return sorted(rows, key=lambda row: -row["score"])


def propose(
    queries: Sequence[Query], heard: str, seen: str | None = None, candidates: Sequence[dict] = (), **further: Any
) -> Proposal:
    """A proposal that asks for something.

    Args:
        queries: one or more, best first.
        heard, seen, candidates: see the module's conventions.
        further: keys of the method's own.
    """
    query = "; ".join(query.text for query in queries)
    return Proposal(tuple(queries), _trail(heard, seen, candidates, query, None, further))


def abstain(
    reason: str, heard: str, seen: str | None = None, candidates: Sequence[dict] = (), **further: Any
) -> Proposal:
    """A proposal that asks for nothing, and says why."""
    return Proposal((), _trail(heard, seen, candidates, None, reason, further))


def silence(floor_db: float, seen: str | None = None) -> Proposal:
    """The proposal for a sound in which there is nothing to hear."""
    return abstain(f"the sound is silent: it never rises above {floor_db:g} dBFS", heard="nothing", seen=seen)


def _trail(
    heard: str, seen: str | None, candidates: Sequence[dict], query: str | None, reason: str | None, further: dict
) -> dict[str, Any]:
    return {
        "heard": heard,
        "seen": seen,
        "candidates": list(candidates),
        "query": query,
        "reason": reason,
        **further,
    }
