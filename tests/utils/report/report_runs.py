"""Makes the folder of an evaluation without running one: small score maps, scored and summarised as eval.py does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.media.mp3 import save_mp3
from utils.runs.results import SCHEMA, EvalResults, SampleRecord, write_results
from utils.scoring.sample_scores import SampleScores, score_sample
from utils.scoring.summary import summarise
from utils.types import Entry

FOUND = 20  # pixels of 100 that are to be found
NAMES = ("good", "other", "bad")


def answer(iou: float, blank: bool = False, confidence: float | None = None) -> SampleScores:
    """An answer of this IoU; for a blank sample one that finds this share of the image."""
    gt_mask, score_map = np.zeros((10, 10), bool), np.zeros((10, 10), np.float32)
    gt_mask.flat[: 0 if blank else FOUND] = True
    score_map.flat[: round(iou * (100 if blank else FOUND))] = 0.9
    score_map[9, 9] = 0.25  # soft
    return replace(score_sample(score_map, gt_mask), confidence=confidence)


def spread(mean: float, count: int) -> list[float]:
    """IoUs around a mean, the same for the same mean."""
    return [float(np.clip(mean + 0.3 * np.sin(7 * i + 10 * mean), 0, 1)) for i in range(count)]


def make_results(
    count: int = 24,
    means: Mapping[str, float] = {"good": 0.7, "other": 0.6, "bad": 0.3},
    baselines: Sequence[str] = ("bad",),
    sounds: Sequence[str] = ("silence", "swap"),
    blank: int = 4,
    entries: Sequence[Entry] | None = None,
    ids: Sequence[str] | None = None,
    group_unit: str = "sample",
    **values: Any,
) -> EvalResults:
    """Everything results.json holds; the last `blank` samples have nothing to find, every other sound is deafening."""
    ids = ids or [f"scene_{i:04}" for i in range(count)]
    entries = entries or [
        Entry(f"g{i}", (f"thing {i % 7}",), "single" if i % 2 else "multi", i >= count - blank) for i in range(count)
    ]
    confident = [float(0.5 + 0.4 * np.sin(i)) for i in range(count)]
    answers = {
        "original": {
            name: [
                answer(0 if entry.blank else iou, entry.blank, sure)
                for iou, entry, sure in zip(spread(mean, count), entries, confident, strict=True)
            ]
            for name, mean in means.items()
        }
    }
    for control in sounds:
        own = [name for name in means if name not in baselines]
        answers[control] = {name: [answer(0, entry.blank) for entry in entries] for name in own}
    summary = summarise(answers, ids, entries, group_unit=group_unit, threshold=0.5, draws=100)
    standard = {
        "schema": SCHEMA,
        "command": "python eval.py --test_data_path /data/st60",
        "date": "2025-01-31T12:00:00+00:00",
        "commit": "0123456789abcdef",
        "uncommitted_changes": False,
        "versions": {"python": "3.11", "torch": "2.14"},
        "config": {"name": "base", "path": "configs/base.yaml", "roles": {}, "methods": {"good": {"seed": 0}}},
        "models": {"segmenter": {"family": "clipseg", "id": "CIDAS/x", "revision": "abc", "sha256": None}},
        "device": "cpu",
        "data": {"path": "/data/st60", "limit": None, "samples": count, "gt_empty": sum(e.blank for e in entries)},
        "measurement": {"resolution": [224, 224], "threshold": 0.5},
        "seeds": {"given": None, "bootstrap": 0},
        "seconds": {"total": 12.5, "methods": {name: {"propose": 1.0, "segment": 2.0} for name in means}},
        "methods": {name: {"listens": name not in baselines} for name in means},
        "gallery": [],
    }
    return EvalResults(**{**standard, **asdict(summary), **values})


def make_records(
    count: int = 24, means: Mapping[str, float] = {"good": 0.7, "other": 0.6, "bad": 0.3}, blank: int = 4, **values: Any
) -> list[SampleRecord]:
    """The records that belong to `make_results` with these arguments; every other sound is deafening."""
    records = []
    for method, mean in means.items():
        for i, iou in enumerate(spread(mean, count)):
            is_blank = i >= count - blank
            kind, scenario = f"thing {i % 7}", "single" if i % 2 else "multi"
            for control in ("original", "silence", "swap") if method != "bad" else ("original",):
                scores = answer(0 if is_blank or control != "original" else iou, is_blank)
                numbers = {
                    one.name: getattr(scores, one.name) for one in fields(SampleRecord) if hasattr(scores, one.name)
                }
                names = {"id": f"scene_{i:04}", "group": f"g{i}", "control": control, "method": method}
                said = {"query": kind, "reason": "", "category": f"{kind}; stage", "scenario": scenario}
                records.append(SampleRecord(**{**numbers, **names, **said, **values}))
    return records


def gallery_entry(name: str, methods: Sequence[str] = NAMES, blank: bool = False, **values: Any) -> dict[str, Any]:
    """A sample of the gallery; its pictures are those that `write_run` draws."""
    trail = [
        ["heard", "a dog"],
        ["seen", "a cat"],
        ["weighed", "dog  0.900  ===="],
        ["", "cat  0.1"],
        ["asked", '"dog"'],
    ]
    answers = {
        method: {"map": "gallery/a.jpg", "iou": None if blank else 0.6, "area": 0.2, "trail": trail}
        for method in methods
    }
    pictures = {"image": "gallery/a.jpg", "truth": "gallery/b.jpg", "sound": "gallery/a.mp3"}
    known = {"id": name, "group": name, "categories": ["dog"], "scenario": "single", "blank": blank}
    return {**known, **pictures, "methods": answers, **values}


def write_run(folder: Path, results: EvalResults) -> Path:
    """Writes results.json, two pictures and a sound."""
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (320, 240), colour).save(folder / "gallery" / f"{name}.jpg")
    save_mp3(np.zeros(2000, np.float32), 8000, folder / "gallery" / "a.mp3")
    write_results(results, folder / "results.json")
    return folder
