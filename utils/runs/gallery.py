"""The pictures of a run: a few telling samples for the report, and on request every prediction over its image.

Which samples are telling is known when all are measured. So every prediction leaves a small sketch of itself behind,
and the gallery draws those of the chosen samples: it asks no method again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.files import atomic_path, file_name, make_own_folder
from utils.media.drawing import draw_overlay
from utils.media.images import resize_mask, resize_score_map
from utils.media.mp3 import save_mp3
from utils.scoring.sample_scores import SampleScores
from utils.trails import describe_trail
from utils.types import Entry, Prediction, Sample

FOLDER, OVERLAYS = "gallery", "visualizations"
OF_EACH_KIND = 2  # best, middling, worst and blank samples
LONGEST_SIDE = 640  # pixels of a picture
SKETCH_SIDE, SHADES = 128, 15  # pixels of a sketch's longest side, its shades on each side of the threshold: 1 to 2 kB


@dataclass(frozen=True)
class Sketch:
    """What is kept of a prediction for a picture.

    Attributes:
        score_map: a PNG of SKETCH_SIDE pixels at most and 2 * SHADES + 1 values: SHADES and less are not in the mask.
        trail: lines of (label, text), see `utils.trails.describe_trail`.
    """

    score_map: bytes
    trail: Sequence[Sequence[str]]


def sketch(prediction: Prediction, threshold: float) -> Sketch:
    """Makes a sketch of a prediction whose mask is what lies above the threshold."""
    shape = prediction.score_map.shape
    scale = min(1, SKETCH_SIDE / max(shape))
    small = resize_score_map(prediction.score_map, tuple(max(1, round(side * scale)) for side in shape))
    file = BytesIO()
    below = np.rint(SHADES * small / max(threshold, 1e-6))
    above = SHADES + np.ceil(SHADES * (small - threshold) / max(1 - threshold, 1e-6)).clip(1)
    Image.fromarray(np.where(small > threshold, above, below).astype(np.uint8)).save(file, "PNG", optimize=True)
    return Sketch(file.getvalue(), [list(line) for line in describe_trail({**prediction.trail, "seconds": {}})])


def choose(named: Mapping[str, Any], entries: Mapping[str, Entry], listening: Sequence[str]) -> list[str]:
    """Stems of samples worth a look: each method's best and worst, some with nothing to find, some by a fixed lot.

    Args:
        named: method -> {"best": [{"id", ...}], "worst": [...]}.
        entries: stem -> what is known of it.
        listening: the methods that are not baselines.
    """
    chosen: list[str] = []
    for kind in ("worst", "best"):
        for method in listening:
            fresh = [row["id"] for row in named[method][kind] if row["id"] not in chosen]
            chosen += fresh[: OF_EACH_KIND if len(listening) == 1 else 1]
    by_lot = sorted(entries, key=lambda stem: hashlib.sha256(stem.encode()).hexdigest())
    for wanted in (True, False):
        fresh = [stem for stem in by_lot if entries[stem].blank is wanted and stem not in chosen]
        chosen += fresh[:OF_EACH_KIND]
    return chosen


def draw(
    sample: Sample,
    entry: Entry,
    sketches: Mapping[str, Sketch],
    scores: Mapping[str, SampleScores],
    threshold: float,
    output_dir: Path,
) -> dict[str, Any]:
    """Draws one sample and what every method answered, in OUTPUT_DIR/gallery, its sound beside them.

    Args:
        sample, entry: with its ground truth, and what is known of it.
        sketches, scores: method -> what is kept of its prediction, and what was measured on it.
        threshold, output_dir: of the masks, and of the run.

    Returns:
        What results.json says of it, see `utils.runs.results.EvalResults`.
    """
    make_own_folder(output_dir / FOLDER)

    def save(picture: Image.Image, kind: str) -> str:
        path = output_dir / FOLDER / file_name(sample.id, f".{kind}.jpg")
        _save(picture, path, quality=85)
        return path.relative_to(output_dir).as_posix()

    sound = output_dir / FOLDER / file_name(sample.id, ".sound.mp3")
    with atomic_path(sound) as partial_path:
        save_mp3(sample.waveform, sample.sampling_rate, partial_path)
    picture = Image.fromarray(sample.image)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    image = np.asarray(picture)
    methods = {}
    for name, kept in sketches.items():
        with Image.open(BytesIO(kept.score_map)) as small:
            shades = np.asarray(small, np.float32) / SHADES  # 1 is the threshold
        small_map = np.where(shades <= 1, threshold * shades, threshold + (1 - threshold) * (shades - 1))
        score_map = resize_score_map(small_map.astype(np.float32), image.shape[:2])
        methods[name] = {
            "map": save(draw_overlay(image, score_map > threshold, score_map), name),
            "iou": None if scores[name].gt_empty else scores[name].iou_fixed,
            "area": scores[name].area,
            "trail": kept.trail,
        }
    return {
        "id": sample.id,
        "group": entry.group,
        "categories": list(entry.categories),
        "scenario": entry.scenario,
        "blank": not sample.gt_mask.any(),
        "image": save(picture, "image"),
        "truth": save(draw_overlay(image, resize_mask(sample.gt_mask, image.shape[:2])), "truth"),
        "sound": sound.relative_to(output_dir).as_posix(),
        "methods": methods,
    }


def save_overlays(
    threshold: float, output_dir: Path, samples: Sequence[Sample], predictions: Mapping[str, Sequence[Prediction]]
) -> None:
    """Draws each method's mask and scores over the image: OUTPUT_DIR/visualizations/METHOD/ID.jpg."""
    make_own_folder(output_dir / OVERLAYS)
    for name, of_method in predictions.items():
        folder = output_dir / OVERLAYS / name
        make_own_folder(folder)
        for sample, prediction in zip(samples, of_method, strict=True):
            overlay = draw_overlay(sample.image, prediction.score_map > threshold, prediction.score_map)
            _save(overlay, folder / file_name(sample.id, ".jpg"), quality=90)


def _save(picture: Image.Image, path: Path, quality: int) -> None:
    with atomic_path(path) as partial_path:
        picture.save(partial_path, "JPEG", quality=quality)
