"""Rebuilds every weight in models/pocket from packages, and prints what each part reaches on data held out.

    python -m models.pocket.train --data data/pocket

`models/pocket/README.md` says how to get the packages. Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from datasets.stamp_world.catalog import background_photos
from models.pocket.image_classifier import ImageClassifier
from models.pocket.train import clips, outlines, package_folder, sounds, words
from models.pocket.train.recordings import PACKAGES, TEST_PACKAGES, qt_resources, read_recordings
from models.pocket.train.scenes import SceneMaker, is_of_stamps_avs, read_cut_outs
from utils.cli import Parser
from utils.errors import UserError, run_script

FOLDER = Path(__file__).resolve().parent.parent
STAMPS, TEMPLATES, SCENERY = "tuxpaint-stamps-default", "tuxpaint-data", "gcompris-qt-data"
HELD_OUT = 30  # cut-outs of kinds that are trained on
BACKGROUND = 900  # pixels that a background photograph is kept at


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains what is asked for and returns what was reached by part."""
    parser = Parser(prog="python -m models.pocket.train", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/pocket"), help="packages, a folder each (default: %(default)s)")
    add("--out", type=Path, default=FOLDER, help="where the weights go (default: %(default)s)")
    add("--runs", type=Path, default=Path("runs/pocket"), help="checkpoints and logs (default: %(default)s)")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=torch.get_num_threads(), help="processor threads (default: all)")
    add("--steps", type=int, default=outlines.STEPS, help="of the outlines (default: %(default)s)")
    add("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    if args.steps < 1:
        raise UserError(f"expected --steps to be 1 or more, found {args.steps}")
    reached: dict[str, Any] = {}
    for part, train in PARTS.items():
        if part in args.only and (numbers := train(args)):
            reached[part] = numbers
            print(f"{part}: {json.dumps(numbers)}", flush=True)
    return reached


def make_backbones(args: argparse.Namespace) -> None:
    """The two pretrained networks."""
    outlines.make_classifier(args.data, args.out / "efficientnet_lite2")
    sounds.make_soundnet(args.data, args.runs / "soundnet")


def train_outlines(args: argparse.Namespace) -> dict[str, float]:
    """The outline decoder; its numbers are mean IoU at 0.5 of cut-outs asked for by what they are called."""
    classifier = ImageClassifier.from_pretrained(args.out / "efficientnet_lite2")
    classifier.network.to(memory_format=torch.channels_last)
    cut_outs = read_cut_outs(package_folder(args.data, STAMPS) / "usr/share/tuxpaint/stamps")
    names = outlines.names_of_cut_outs(classifier, cut_outs)
    own = [i for i, one in enumerate(cut_outs) if not is_of_stamps_avs(one.name)]
    photographs = [i for i, one in enumerate(cut_outs) if one.is_photograph]
    shuffled = np.random.default_rng(args.seed).permutation([i for i in own if i in photographs])
    held_out = sorted(shuffled[:HELD_OUT].tolist())
    templates = package_folder(args.data, TEMPLATES)
    train, test = ([_opened(path) for path in background_photos(templates, split)] for split in ("train", "test"))
    train += _scenery(package_folder(args.data, SCENERY))
    learnt = [i for i in own if i not in held_out]
    maker = SceneMaker([cut_outs[i] for i in learnt], names[learnt], train)
    decoder = outlines.train_decoder(classifier, maker, args.steps, args.seed, args.runs)
    tests = {"held out": held_out, "Stamps-AVS": [i for i in photographs if i not in own]}
    makers = {
        name: SceneMaker([cut_outs[i] for i in chosen], names[chosen], test, augment=False)
        for name, chosen in tests.items()
    }
    offset = outlines.calibrate(classifier, decoder, makers["held out"])
    outlines.save_outlines(decoder, offset, args.out / "outlines")
    ious = {name: outlines.held_out_iou(classifier, decoder, maker, offset=offset) for name, maker in makers.items()}
    return {name: round(iou, 4) for name, iou in ious.items()}


def train_sounds(args: argparse.Namespace) -> dict[str, Any]:
    """The heads; their numbers are those of `sounds.measure`, with all recordings and without those of Stamps-AVS."""
    backbone = args.runs / "soundnet"
    soundnet = sounds.load_soundnet(backbone if backbone.is_dir() else args.out / "soundnet")
    recordings = read_recordings(args.data, PACKAGES)
    labels = sorted({one.label for one in recordings if one.package not in TEST_PACKAGES})
    bank = clips.make_bank(recordings, soundnet, args.seed, args.runs)
    reached = {}
    for name, folder, without in (
        ("all recordings", args.out / "soundnet", ()),
        ("without Stamps-AVS's", args.runs / "soundnet_without_stamps", (STAMPS,)),
    ):
        heads = sounds.train_heads(bank, labels, args.seed, without)
        sounds.save_network(bank, soundnet, labels, heads, folder, without)
        reached[name] = sounds.measure(bank, labels, heads, without)
    return reached


PARTS = {
    "backbones": make_backbones,
    "outlines": train_outlines,
    "sounds": train_sounds,
    "words": lambda args: words.train(args.out / "words", args.seed),
}


def _scenery(package: Path) -> list[Image.Image]:
    """Photographs of buildings and landscapes, in which nothing sounds."""
    found = {}
    for collection in sorted((package / "usr/share/gcompris-qt/rcc").glob("*.rcc")):
        for path, content in qt_resources(collection):
            if "/explore_monuments/" in f"/{path}" and path.endswith(".webp"):
                found[path] = _opened(io.BytesIO(content))
    if not found:
        raise UserError(f"expected photographs in {package}, found none; take the version of Debian 12")
    return [found[path] for path in sorted(found)]


def _opened(source: Path | io.BytesIO) -> Image.Image:
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((BACKGROUND, BACKGROUND))
    return picture


if __name__ == "__main__":
    sys.exit(run_script(main))
