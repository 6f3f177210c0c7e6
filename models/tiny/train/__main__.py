"""Rebuilds every weight in models/tiny from the Debian packages, and prints what each network reaches on held-out data.

    python -m models.tiny.train

Stopped at any moment, the same command goes on where it was. `datasets/stamp_catalog.py` tells how to get the packages.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

from datasets.stamp_catalog import DEFAULT_ROOT, SOUNDING, check_root
from datasets.stamp_sounds import sound
from models.tiny.train import audio_captioner, audio_tagger, audio_text, image_captioner, segmenter
from models.tiny.train.vision import train_trunk
from utils.errors import UserError

FOLDER = Path(__file__).resolve().parent.parent
AUDIO = {"clap": audio_text, "ast": audio_tagger, "whisper": audio_captioner}
IMAGE = {"clipseg": segmenter, "blip": image_captioner}
HELD_OUT_SEED = 99
HELD_OUT_SCENES = 300


def held_out_sounds(root: Path, per_kind: int = 5) -> tuple[list[np.ndarray], list[int]]:
    """Sounds in variations never trained on: waveforms and their indices into SOUNDING."""
    kinds = [index for index in range(len(SOUNDING)) for _ in range(per_kind)]
    draws = [np.random.default_rng([HELD_OUT_SEED, 7, i]) for i in range(len(kinds))]
    return [sound(rng, SOUNDING[kind], root, "test") for rng, kind in zip(draws, kinds, strict=True)], kinds


def export(model, processor, folder: Path):
    """Saves weights as float16 safetensors with tokenizer and preprocessor config, and returns the model as stored."""
    stored = copy.deepcopy(model).half()
    stored.save_pretrained(folder)
    processor.save_pretrained(folder)
    for part in ("feature_extractor", "image_processor"):
        if hasattr(processor, part):
            getattr(processor, part).save_pretrained(folder)
    return stored.float().eval()


def main(argv: list[str] | None = None) -> dict:
    """Trains what is asked for and returns the held-out numbers by network."""
    parser = argparse.ArgumentParser(prog="python -m models.tiny.train", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, help="unpacked Debian packages (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the weights go (default: %(default)s)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/tiny"), help="checkpoints and logs (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="processor threads (default: all)")
    parser.add_argument("--only", nargs="+", choices=[*AUDIO, *IMAGE], default=[*AUDIO, *IMAGE], metavar="NETWORK")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    check_root(args.root)
    reached: dict[str, dict[str, float]] = {}
    wanted_audio = [name for name in AUDIO if name in args.only]
    wanted_image = [name for name in IMAGE if name in args.only]
    if wanted_audio:
        sounds, kinds = held_out_sounds(args.root)
    for name in wanted_audio:
        model, processor = AUDIO[name].train(args.root, args.runs, args.seed)
        model = export(model, processor, args.out / name)
        reached[name] = {"held-out sounds right": AUDIO[name].accuracy(model, processor, sounds, kinds)}
        print(f"{name}: {json.dumps(reached[name])}", flush=True)
    for name in wanted_image:
        trunk = train_trunk(args.root, args.runs, args.seed, IMAGE[name].IMAGE_SIZE)
        model, processor = IMAGE[name].train(args.root, args.runs, args.seed, trunk)
        model = export(model, processor, args.out / name)
        measure = segmenter.held_out_iou if name == "clipseg" else image_captioner.held_out_recall
        what = "mask IoU" if name == "clipseg" else "sounding thing named"
        reached[name] = {
            f"{what}, {split}": measure(model, processor, args.root, split, HELD_OUT_SCENES)
            for split in ("test", "unseen_photos")
        }
        print(f"{name}: {json.dumps(reached[name])}", flush=True)
    return reached


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
