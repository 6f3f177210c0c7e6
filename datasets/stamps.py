"""Writes scenes of the stamps world, each with the sound of one thing in it, as a folder that `eval.py` reads.

    python -m datasets.stamps --out DIR --split test --scenes 300

What a scene is and what is held out: `datasets/stamp_scenes.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from datasets.stamp_catalog import DEFAULT_ROOT, check_root
from datasets.stamp_scenes import CANVASES, SPLITS, scene
from datasets.stamp_sounds import SAMPLING_RATE, sound
from utils.errors import UserError


def write_split(
    out: Path,
    root: Path,
    split: str,
    count: int,
    seed: int,
    swapped_truth: str | None = None,
    silent: tuple[int, ...] = (0, 1),
) -> None:
    """Writes scenes of two and three sounding things in turn as `image/ wav/ gt_seg/`, with `scenes.json` beside them.

    Args:
        out: folder to write; files already there are written again, the same for the same arguments.
        root: unpacked packages.
        split: one of SPLITS.
        count: scenes.
        seed: of the scenes; the test split is drawn with numbers no training scene uses.
        swapped_truth: plays the sound of another thing in view; "keep" leaves the ground truth as it was, so that a
            method that listens fails, and "move" puts it on the thing that is played now. None swaps nothing.
        silent: numbers of distractors, in turn.
    """
    check_root(root)
    for folder in ("image", "wav", "gt_seg"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    records = []
    for index in range(count):
        rng = np.random.default_rng([seed, 1000 + SPLITS.index(split), index])
        width, height = CANVASES[index % len(CANVASES)]
        drawn = scene(rng, root, split, 2 + index % 2, silent[(index // 2) % len(silent)], width, height)
        heard = drawn.objects[drawn.sounding].kind
        stem = f"scene_{index:04d}"  # says nothing of what sounds
        Image.fromarray(drawn.image).save(out / "image" / f"{stem}.jpg", quality=90)
        others = [placed.kind for placed in drawn.objects if placed.kind.sounds and placed.kind is not heard]
        played = others[rng.integers(len(others))] if swapped_truth else heard
        truth = [placed.kind for placed in drawn.objects].index(played if swapped_truth == "move" else heard)
        Image.fromarray(drawn.mask(truth).astype(np.uint8) * 255).save(out / "gt_seg" / f"{stem}.png")
        waveform = sound(rng, played, root, "train" if split == "train" else "test")
        soundfile.write(out / "wav" / f"{stem}.wav", waveform, SAMPLING_RATE, subtype="PCM_16")
        objects = [
            {"noun": placed.kind.noun, "stamp": placed.stamp, "sounds": bool(placed.kind.sounds)}
            for placed in drawn.objects
        ]
        records.append({"id": stem, "sounding": heard.noun, "played": played.noun, "objects": objects})
    text = json.dumps({"split": split, "seed": seed, "scenes": records}, indent=1)
    (out / "scenes.json").write_text(text + "\n")


def main(argv: list[str] | None = None) -> None:
    """Command line: writes a split to a folder."""
    parser = argparse.ArgumentParser(prog="python -m datasets.stamps", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--scenes", type=int, default=300, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, help="unpacked Debian packages (default: %(default)s)"
    )
    parser.add_argument(
        "--swap_sounds",
        choices=("keep", "move"),
        help="play the sound of another thing in view; the ground truth is kept as it was, or moves to that thing",
    )
    args = parser.parse_args(argv)
    write_split(args.out, args.root, args.split, args.scenes, args.seed, args.swap_sounds)
    print(f"{args.scenes} scenes of split {args.split} in {args.out}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
