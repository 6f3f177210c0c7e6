"""Six scenes of the fake world on disk and the evaluation script over them, for its tests."""

from __future__ import annotations

import csv

import soundfile
from PIL import Image

import eval as script
import models.loading

CONFIG = "tests/fakes.yaml"
SCENES = {  # stem: (what sounds, what is in view, (H, W))
    "a.mp4_1": ("dog", ("dog", "violin"), (48, 80)),
    "a.mp4_2": ("violin", ("dog", "violin"), (61, 47)),
    "b": ("drum", ("drum", "sea lion", "dog"), (224, 224)),
    "c": ("sea lion", ("sea lion",), (300, 260)),
    "d": (None, ("dog",), (40, 40)),
    "e": ("drum", ("dog", "violin"), (64, 64)),
}


def save_scenes(root, fakes):
    """In "d" nothing sounds, in "e" what sounds is not in view."""
    for folder in ("image", "wav", "gt_seg"):
        (root / folder).mkdir()
    for stem, (sounding, visible, size) in SCENES.items():
        sample = fakes.make_sample(sounding, visible, size)
        Image.fromarray(sample.image).save(root / "image" / f"{stem}.png")
        soundfile.write(root / "wav" / f"{stem}.wav", sample.waveform, sample.sampling_rate)
        Image.fromarray(sample.gt_mask).save(root / "gt_seg" / f"{stem}.png")
    return root


def play(fakes, monkeypatch):
    """Every config's networks are the fakes, and what the segmenter was given is kept."""
    played = fakes.make_models()
    played["segmenter"].provenance = {"id": "fake", "sha256": "0" * 64}
    monkeypatch.setattr(
        models.loading,
        "load_models",
        lambda config, roles, *_, **__: {role: played[role] for role in sorted(set(roles))},
    )
    return played


def evaluate(data, output, *further):
    options = ["--config", CONFIG, "--device", "cpu", "--draws", "50"]
    return script.main(["--test_data_path", str(data), "--output_dir", str(output), *options, *further])


def rows_of(output):
    with (output / "per_sample.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
