"""Draws the picture of the Stamps-AVS card: a row per scenario, what is seen and heard beside the right answer.

python -m datasets.stamp_world.figure data/stamps --out datasets/cards/stamps.jpg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from datasets.folder import FolderDataset
from datasets.stamp_world.scenarios import SCENARIOS
from utils.errors import UserError, run_script
from utils.files import atomic_path
from utils.media.drawing import draw_overlay, side_by_side

SAMPLES = 2  # a row
WIDTH = 960  # pixels


def draw(dataset: FolderDataset) -> Image.Image:
    """The first samples of each scenario.

    Raises:
        UserError: the folder has no manifest, or too few samples of a scenario.
    """
    entries = dataset.manifest.samples if dataset.manifest else {}
    pictures = []
    for scenario in SCENARIOS:
        stems = [stem for stem in dataset.ids if stem in entries and entries[stem].scenario == scenario][:SAMPLES]
        if len(stems) < SAMPLES:
            raise UserError(
                f"expected {SAMPLES} {scenario} samples in {dataset.root}, found {len(stems)}; make a set of all "
                "scenarios with --scenes 20 or more"
            )
        for stem in stems:
            sample, details = dataset[dataset.ids.index(stem)], entries[stem].details
            nothing = "faint noise" if sample.waveform.any() else "digital silence"
            pictures += [
                (f"{scenario}, heard: {_listed(details['played']) or nothing}", Image.fromarray(sample.image)),
                (f"answer: {_listed(details['masked']) or 'nothing'}", draw_overlay(sample.image, sample.gt_mask)),
            ]
    picture = side_by_side(pictures, columns=2 * SAMPLES)
    return picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS)


def _listed(nouns: Sequence[str]) -> str:
    return " and ".join(nouns)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line: draws a set's picture to a JPEG file."""
    parser = argparse.ArgumentParser(prog="python -m datasets.stamp_world.figure", description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="DIR", help="a folder of python -m datasets.stamps")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JPEG to write")
    args = parser.parse_args(argv)
    picture = draw(FolderDataset(args.root))
    with atomic_path(args.out) as path:
        picture.save(path, format="JPEG", quality=62, optimize=True)


if __name__ == "__main__":
    sys.exit(run_script(main))
