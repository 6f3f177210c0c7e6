"""The record of how a method came to its query: the same keys whatever the method, and their story in words.

Conventions, for every trail; candidates, query and reason follow from the queries where a method leaves them out:
    heard: str, a short sentence on the sound; not there where the method does not say.
    seen: str or None, what an image captioner said; None where the method does not look at the image; not there where
        it does not say.
    candidates: list of {"text": str, "score": float}, best first: what was weighed for the query; [] where nothing was.
    query: str or None, what the segmenter is asked ("; " between several).
    reason: str or None, why nothing is asked, in plain words; None exactly where there is a query.
    unheard: str, the seconds in which something sounds and which a captioner was not asked about; not there for none.
    Further keys are a method's own. Numbers are rounded to 4 decimals: a trail is for reading; everything is JSON.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.media.sounds import level_db, why_unheard
from utils.types import Answer, Prediction, Proposal, Query, Sample

BAR_WIDTH = 24  # characters, for a score of 1
LABEL_WIDTH = 15  # characters
NAMES_SHOWN = 5
RESEARCH_CONFIGS = ("base", "paper", "large")  # published networks, for what the bundled ones do not know


def candidates(texts: Sequence[str], scores: Iterable[float]) -> list[dict[str, Any]]:
    """Lists what was weighed, best first; equals keep their order."""
    rows = [{"text": text, "score": round(float(score), 4)} for text, score in zip(texts, scores, strict=True)]
    return sorted(rows, key=lambda row: -row["score"])


def ask_for(
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


def complete(proposal: Proposal, reason: str) -> Proposal:
    """A proposal whose trail has the keys that follow from its queries; what the method itself put there stays.

    Args:
        proposal: with any trail, {} too.
        reason: why nothing is asked, for a method that does not say it.
    """
    queries, trail = tuple(proposal.queries), proposal.trail
    told = {key: trail[key] for key in ("heard", "seen") if key in trail}
    derived = {
        "candidates": candidates([query.text for query in queries], [query.score for query in queries]),
        "query": "; ".join(query.text for query in queries) if queries else None,
        "reason": None if queries else reason,
    }
    return replace(proposal, queries=queries, trail={**told, **derived, **trail})


def silence(reason: str, seen: str | None = None) -> Proposal:
    """The proposal for a sound of which nothing can be told; `utils.media.sounds.why_unheard` gives the reason."""
    return abstain(reason, heard="nothing", seen=seen)


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


def describe_trail(trail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Puts a trail into words for a person.

    Args:
        trail: of any method; with or without "seconds".

    Returns:
        (label, text) for each line, in the order of the story: heard, seen, weighed (a line each candidate, the label
        only on the first), asked, then the method's own keys and the seconds. No line for what the trail does not have.
    """
    further = dict(trail)
    heard, rows, query, reason = (further.pop(key, None) for key in ("heard", "candidates", "query", "reason"))
    seconds = further.pop("seconds", {})
    lines = [("heard", heard)] if heard is not None else []
    if "seen" in further:
        seen = further.pop("seen")
        lines.append(("seen", seen or ("(does not look at the image)" if seen is None else "(an empty caption)")))
    width = max((len(row["text"]) for row in rows or []), default=0)
    for number, row in enumerate(rows or []):
        bar = "=" * round(BAR_WIDTH * min(max(row["score"], 0), 1))
        lines.append(("" if number else "weighed", f"{row['text']:<{width}}  {row['score']:6.3f}  {bar}".rstrip()))
    if query or reason:
        lines.append(("asked", f'"{query}"' if query else f"nothing: {reason}"))
    lines += [(key, _short(value)) for key, value in further.items()]
    if seconds:
        lines.append(("seconds", ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())))
    return lines


def caption(trail: Mapping[str, Any], is_found: bool) -> str:
    """What was asked for, and whether nothing came of it; where a method asks for nothing, why."""
    asked, reason = trail.get("query"), trail.get("reason")
    if asked:
        return asked if is_found else f"{asked}: nothing found"
    if is_found and reason:  # by a method that makes its map itself
        return reason
    return f"nothing asked for: {reason}" if reason else "nothing asked for"


def describe_sample(sample: Sample, paths: tuple[Path, Path], remarks: Sequence[str]) -> list[str]:
    """Lines on a picture and a sound and what is special about them."""
    (height, width), size = sample.size, sample.image.shape[:2]
    reduced = f", worked on at {size[1]} x {size[0]}" if size != (height, width) else ""
    seconds, level = len(sample.waveform) / sample.sampling_rate, level_db(sample.waveform, sample.sampling_rate)
    loudness = f"loudest moment {level:.0f} dBFS" if level > float("-inf") else "nothing but silence"
    about = ", ".join([f"{seconds:.1f} s", f"{sample.sampling_rate} Hz", loudness, *remarks])
    return [
        line("image", f"{paths[0]}  ({width} x {height} pixels{reduced})"),
        line("sound", f"{paths[1]}  ({about})"),
    ]


def describe_answer(answer: Answer) -> list[str]:
    """Lines on what a method heard, saw, weighed, asked for and found, and where the pictures are."""
    found = ("found", f"{answer.mask.mean():.1%} of the image, {answer.mask.sum()} pixels")
    rows = [*describe_trail(answer.trail), found, *answer.files.items(), *answer.near_miss.items()]
    return [answer.method, *(line(f"  {label}" if label else "", value) for label, value in rows)]


def near_miss(prediction: Prediction, segmenter: Any, threshold: float) -> dict[str, str]:
    """What was nearly found where no pixel is above the threshold: label -> text."""
    if not prediction.queries:
        return {}
    query, known = prediction.queries[0], getattr(segmenter, "known_names", None)
    rows = {"highest score": f"{prediction.score_map.max(initial=0):.2f}; a pixel counts above {threshold:g}"}
    if known:
        nothing = f'"{query.text}" means nothing to this segmenter'
        rows["nearest names"] = ", ".join(known(query, NAMES_SHOWN)) or nothing
    return rows


def published_networks(config: str, method: str, sample: Sample, img_path: Path, wav_path: Path) -> dict[str, str]:
    """How to ask published networks the same; nothing where that cannot help."""
    if config in RESEARCH_CONFIGS or why_unheard(sample.waveform, sample.sampling_rate):
        return {}
    fetch = f"python -m models.fetch --config {RESEARCH_CONFIGS[0]}"
    command = ["python", "inference_demo.py", "--config", RESEARCH_CONFIGS[0], "--methods", method]
    command += ["--img_path", str(img_path), "--wav_path", str(wav_path)]
    return {"or try": f"{fetch} && {shlex.join(command)}"}


def line(label: str, value: object) -> str:
    """A line of print: the label in a column of its own."""
    return f"{label:<{LABEL_WIDTH}} {value}"


def _short(value: Any) -> str:
    """A value on one line: of many numbers the first and the last, of texts with scores both."""
    items = value if isinstance(value, list) else []
    if items and all(isinstance(item, dict) and {*item} == {"text", "score"} for item in items):
        return ", ".join(f"{item['text']} {item['score']:.3f}" for item in items)
    if len(items) > 3 and all(isinstance(item, (int, float)) for item in items):
        return f"{items[0]:.3f} -> {items[-1]:.3f} ({len(items)} values)"
    return str(value)
