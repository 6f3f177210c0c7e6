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
from models.pocket.train import backbones, outlines, sounds, words
from models.pocket.train.containers import qt_resources
from models.pocket.train.recordings import PACKAGES, TEST_PACKAGES, read_recordings
from models.pocket.train.scenes import CutOut, SceneMaker, is_of_stamps_avs, read_cut_outs
from utils.errors import UserError, run_script

FOLDER = Path(__file__).resolve().parent.parent
PARTS = ("backbones", "outlines", "sounds", "words")
STAMPS, TEMPLATES, SCENERY = "tuxpaint-stamps-default", "tuxpaint-data", "gcompris-qt-data"
SCENERY_FOLDER = "explore_monuments/"
HELD_OUT = 30  # cut-outs of kinds that are trained on
BACKGROUND = 900  # pixels that a background photograph is kept at


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains what is asked for and returns what was reached by part."""
    parser = argparse.ArgumentParser(prog="python -m models.pocket.train", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/pocket"), help="packages, a folder each (default: %(default)s)")
    add("--out", type=Path, default=FOLDER, help="where the weights go (default: %(default)s)")
    add("--runs", type=Path, default=Path("runs/pocket"), help="checkpoints and logs (default: %(default)s)")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=torch.get_num_threads(), help="processor threads (default: all)")
    add("--steps", type=int, default=outlines.Schedule.steps, help="of the outlines (default: %(default)s)")
    add("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    if args.steps < 1:
        raise UserError(f"expected --steps to be 1 or more, found {args.steps}")
    reached: dict[str, Any] = {}
    trainings = {"outlines": train_outlines, "sounds": train_sounds, "words": train_words}
    for part in [part for part in PARTS if part in args.only]:
        if part == "backbones":
            backbones.make_classifier(args.data, args.out / "efficientnet_lite2")
            backbones.make_soundnet(args.data, args.runs / "soundnet")
            continue
        reached[part] = trainings[part](args)
        print(f"{part}: {json.dumps(reached[part])}", flush=True)
    return reached


def train_outlines(args: argparse.Namespace) -> dict[str, float]:
    """The outline decoder; its numbers are mean IoU at 0.5 of cut-outs asked for by what they are called."""
    classifier = ImageClassifier.from_pretrained(args.out / "efficientnet_lite2")
    classifier.network.to(memory_format=torch.channels_last)
    cut_outs = read_cut_outs(_package(args.data, STAMPS) / "usr/share/tuxpaint/stamps")
    names = outlines.names_of_cut_outs(classifier, cut_outs)
    own = [i for i, one in enumerate(cut_outs) if not is_of_stamps_avs(one.name)]
    photographs = [i for i in own if cut_outs[i].is_photograph]
    held_out = set(np.random.default_rng(args.seed).permutation(photographs)[:HELD_OUT].tolist())
    templates = _package(args.data, TEMPLATES)
    train, test = ([_opened(path) for path in background_photos(templates, split)] for split in ("train", "test"))
    train += _scenery(_package(args.data, SCENERY))
    makers = {
        "train": _maker(cut_outs, names, [i for i in own if i not in held_out], train),
        "held out": _maker(cut_outs, names, sorted(held_out), test, augment=False),
        "Stamps-AVS": _maker(
            cut_outs,
            names,
            [i for i, one in enumerate(cut_outs) if one.is_photograph and i not in own],
            test,
            augment=False,
        ),
    }
    schedule = outlines.Schedule(steps=args.steps)
    decoder = outlines.train_decoder(classifier, makers["train"], schedule, args.seed, args.runs)
    offset = outlines.calibrate(classifier, decoder, makers["held out"])
    outlines.save_outlines(decoder, offset, args.out / "outlines")
    return {
        name: round(outlines.held_out_iou(classifier, decoder, makers[name], offset=offset), 4)
        for name in ("held out", "Stamps-AVS")
    }


def train_sounds(args: argparse.Namespace) -> dict[str, Any]:
    """Hearing; its numbers are those of `sounds.measure`, with all recordings and without those of Stamps-AVS."""
    backbone = args.runs / "soundnet"
    soundnet = sounds.load_soundnet(backbone if backbone.is_dir() else args.out / "soundnet")
    recordings = read_recordings(args.data, PACKAGES)
    labels = sorted({one.label for one in recordings if one.package not in TEST_PACKAGES})
    bank = sounds.hear_clips(recordings, soundnet, args.seed, args.runs)
    trained = sounds.train_heads(bank, labels, args.seed)
    sounds.save_hearing(bank, soundnet, labels, trained, args.out / "soundnet")
    without = sounds.train_heads(bank, labels, args.seed, without=(STAMPS,))
    sounds.save_hearing(bank, soundnet, labels, without, args.runs / "soundnet_without_stamps", without=(STAMPS,))
    return {
        "all recordings": sounds.measure(bank, labels, trained),
        "without Stamps-AVS's": sounds.measure(bank, labels, without, without=(STAMPS,)),
    }


def train_words(args: argparse.Namespace) -> dict[str, float]:
    """The network that guesses words no table has."""
    return words.train(args.out / "words", args.seed)


def _maker(
    cut_outs: Sequence[CutOut],
    names: np.ndarray,
    chosen: Sequence[int],
    backgrounds: Sequence[Image.Image],
    **how: bool,
) -> SceneMaker:
    return SceneMaker([cut_outs[i] for i in chosen], names[list(chosen)], backgrounds, **how)


def _scenery(package: Path) -> list[Image.Image]:
    """Photographs of buildings and landscapes, in which nothing sounds."""
    found = {}
    for collection in sorted((package / "usr/share/gcompris-qt/rcc").glob("*.rcc")):
        for name, content in qt_resources(collection):
            path = name.removeprefix("gcompris/src/activities/")
            if path.startswith(SCENERY_FOLDER) and path.endswith(".webp"):
                found[path] = _opened(content)
    if not found:
        raise UserError(f"expected photographs in {package}, found none; take the version of Debian 12")
    return [found[path] for path in sorted(found)]


def _opened(source: Path | bytes) -> Image.Image:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((BACKGROUND, BACKGROUND))
    return picture


def _package(data: Path, name: str) -> Path:
    if not (data / name / "usr").is_dir():
        raise UserError(f"expected {name} unpacked at {data / name}, found nothing; `apt-get download {name}` and "
                        f"`dpkg-deb -x {name}_*.deb {data / name}` bring it")  # fmt: skip
    return data / name


if __name__ == "__main__":
    sys.exit(run_script(main))
