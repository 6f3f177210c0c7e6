"""The pictures of a report: a few telling samples, each with its image, the ground truth and every method's answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from utils.files import make_folder
from utils.media.drawing import draw_overlay
from utils.runs.engine import Resolution, measure, predict_blind
from utils.trails import describe_trail
from utils.types import Sample

if TYPE_CHECKING:
    from methods.base import Method
    from utils.types import Entry

__all__ = ["choose", "draw"]

FOLDER = "gallery"
OF_EACH_KIND = 2  # best, middling, worst and blank samples
LONGEST_SIDE = 320  # pixels of a picture


def choose(
    named: Mapping[str, Any], entries: Mapping[str, Entry], listening: Sequence[str], of_each: int = OF_EACH_KIND
) -> list[str]:
    """Picks samples worth a look: each method's best and worst, some with nothing to find, some by lot.

    Args:
        named: method -> {"best": [{"id", ...}], "worst": [...]}.
        entries: stem -> what is known of it.
        listening: the methods that are not baselines.
        of_each: how many of each kind.

    Returns:
        Stems without repetition, the same for the same run.
    """
    chosen: list[str] = []
    for kind in ("worst", "best"):
        for method in listening:
            fresh = [row["id"] for row in named[method][kind] if row["id"] not in chosen]
            chosen += fresh[: of_each if len(listening) == 1 else 1]
    by_lot = sorted(entries, key=lambda stem: hashlib.sha256(stem.encode()).hexdigest())
    for wanted in (True, False):
        fresh = [stem for stem in by_lot if entries[stem].blank is wanted and stem not in chosen]
        chosen += fresh[:of_each]
    return chosen


def draw(
    sample: Sample,
    entry: Entry,
    strategies: Mapping[str, Method],
    *,
    threshold: float,
    resolution: Resolution,
    output_dir: Path,
) -> dict[str, Any]:
    """Predicts one sample with every method and draws it.

    Args:
        sample: with its ground truth, which no method is given.
        entry: what is known of it.
        strategies: name -> method.
        threshold: of the masks.
        resolution: see `utils.runs.engine.measure`.
        output_dir: of the run; pictures go to its folder "gallery".

    Returns:
        What results.json says of it, see `utils.runs.results.EvalResults`.
    """
    folder = output_dir / FOLDER
    make_folder(folder)
    answers = {}
    for name, method in strategies.items():
        (prediction,) = predict_blind(method, [sample])
        scores = measure(sample, prediction, threshold, resolution).scores
        overlay = draw_overlay(sample.image, prediction.score_map > threshold, prediction.score_map)
        answers[name] = {
            "map": _save(overlay, folder / f"{sample.id}.{name}.jpg", output_dir),
            "iou": None if scores.gt_empty else scores.iou_fixed,
            "area": scores.area,
            "trail": [list(line) for line in describe_trail({**prediction.trail, "seconds": {}})],
        }
    truth = np.zeros(sample.image.shape[:2], bool) if sample.gt_mask is None else sample.gt_mask
    return {
        "id": sample.id,
        "group": entry.group,
        "categories": list(entry.categories),
        "scenario": entry.scenario,
        "blank": not truth.any(),
        "image": _save(Image.fromarray(sample.image), folder / f"{sample.id}.image.jpg", output_dir),
        "truth": _save(draw_overlay(sample.image, truth), folder / f"{sample.id}.truth.jpg", output_dir),
        "methods": answers,
    }


def _save(picture: Image.Image, path: Path, output_dir: Path) -> str:
    """Writes a picture no larger than a page needs; returns its path relative to the run's folder."""
    picture = picture.copy()
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    picture.save(path, quality=85)
    return path.relative_to(output_dir).as_posix()
