"""One page to look through many answers: pictures, players, what was heard and seen, and masks to switch.

index.html asks no network for anything; what it shows lies beside it, in the folder FILES.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from utils.files import atomic_path, digest, make_own_folder, write_text_atomic
from utils.media.drawing import draw_layer, save_png
from utils.media.images import resize_mask
from utils.types import Answer, Sample

TEMPLATES = Path(__file__).with_name("templates")
FILES = "index_files"
LONGEST_SIDE = 1024  # pixels of a picture on the page
QUALITY = 85


class Shown:
    """Writes the files that the page shows, each named by what it holds: a sound for many pictures is there once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FILES
        make_own_folder(self.folder)

    def files(self, answer: Answer) -> dict[str, str]:
        """Writes what is not there yet of an answer: "picture", "player" and "layer", within the output folder."""
        sample = answer.sample
        picture = self.folder / f"{digest(sample.image)}.jpg"
        player = self.folder / f"{digest(sample.waveform, sample.sampling_rate)}.wav"
        layer = self.folder / f"{answer.made_of}.png"
        if not picture.is_file():
            small = Image.fromarray(sample.image)
            small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            with atomic_path(picture) as path:
                small.save(path, format="JPEG", quality=QUALITY)
        if not player.is_file():
            _write_wav(sample, player)
        height, width = sample.image.shape[:2]
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        size = max(1, round(height * scale)), max(1, round(width * scale))
        save_png(draw_layer(resize_mask(answer.mask, size)), layer)
        return {
            kind: f"{FILES}/{path.name}" for kind, path in (("picture", picture), ("player", player), ("layer", layer))
        }


def _write_wav(sample: Sample, path: Path) -> None:
    """What was heard: one channel, 16 bits."""
    heard = sample.waveform if len(sample.waveform) else np.zeros(1, np.float32)
    with atomic_path(path) as partial_path:
        soundfile.write(os.fspath(partial_path), heard, sample.sampling_rate, format="WAV", subtype="PCM_16")


def write_page(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes index.html.

    Args:
        rows: of `utils.demo.records.row_of`, with what `Shown.files` gives.
    """
    pairs: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        pairs.setdefault(tuple(row[key] for key in ("picture", "player", "image", "sound")), []).append(row)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["address"] = lambda name: quote(os.fsencode(name))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    told = {(row["config"], row["threshold"]) for row in rows}
    text = environment.get_template("index.html").render(
        pairs=list(pairs.values()), methods=methods, is_mixed=len(told) > 1
    )
    write_text_atomic(path, text)
