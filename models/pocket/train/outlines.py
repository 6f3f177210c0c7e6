"""The outline decoder: learnt on composed scenes of cut-outs, the classifier frozen, resumable at any moment."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from models.pocket.image_classifier import ImageClassifier
from models.pocket.train.scenes import CutOut, Scene, SceneMaker
from models.precision import right_convolutions
from models.segmenter.outline_decoder import OutlineDecoder
from utils.errors import UserError

__all__ = ["Schedule", "calibrate", "held_out_iou", "names_of_cut_outs", "save_outlines", "train_decoder"]

SIZES = (224, 256, 288, 352)  # pixels; one size a batch
LOG_STEPS = 100
CHECKPOINT_STEPS = 200
HELD_OUT_SEED, CALIBRATION_SEED = 5, 6
OFFSETS = tuple(np.linspace(-2, 2, 17).tolist())


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        batch: scenes a step.
        lr: peak learning rate of AdamW, reached after a twentieth of the steps, then falling as a cosine.
        workers: processes that compose scenes.
    """

    steps: int = 4200
    batch: int = 16
    lr: float = 2e-3
    workers: int = 2


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


def train_decoder(
    classifier: ImageClassifier, maker: SceneMaker, schedule: Schedule, seed: int, runs: Path
) -> OutlineDecoder:
    """Trains a decoder, or goes on where an earlier run was stopped.

    Args:
        classifier: stays as it is.
        maker: of scenes.
        schedule: how long and how fast.
        seed: of scenes and weights.
        runs: folder of the checkpoint and the log, `outlines.pt` and `outlines.jsonl`.

    Returns:
        In eval mode.
    """
    torch.manual_seed(seed)
    decoder = OutlineDecoder(classifier.channels).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=schedule.lr, weight_decay=0.02)
    runs.mkdir(parents=True, exist_ok=True)
    checkpoint, first = runs / "outlines.pt", 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        if (state["seed"], state["schedule"]) != (seed, asdict(schedule)):
            raise UserError(
                f"expected a training of this seed and schedule in {runs}, found another; name another --runs"
            )
        decoder.load_state_dict(state["decoder"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    average = {name: value.detach().clone() for name, value in decoder.state_dict().items()}
    if first:
        average = state["average"]
    started, losses = time.monotonic(), []
    for step, scenes in zip(range(first, schedule.steps), _batches(maker, schedule, seed, first), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = schedule.lr * _rate(step / schedule.steps)
        loss = _loss(classifier, decoder, *scenes)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"expected a finite loss, found {loss.item()} at step {step}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():  # a running average of the weights answers better than the last of them
            for name, value in decoder.state_dict().items():
                average[name].lerp_(value, max(0.002, 1 / (step + 1)))
        losses.append(loss.item())
        done = step + 1
        if done % LOG_STEPS == 0 or done == schedule.steps:
            line = {"step": done, "seconds": round(time.monotonic() - started), "loss": float(np.mean(losses))}
            print(json.dumps(line), flush=True)
            with (runs / "outlines.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            losses = []
        if done % CHECKPOINT_STEPS == 0 or done == schedule.steps:
            state = {
                "decoder": decoder.state_dict(),
                "average": average,
                "optimiser": optimiser.state_dict(),
                "step": done,
                "schedule": asdict(schedule),
                "seed": seed,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
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
    """Mean IoU at 0.5 over scenes of cut-outs that were not trained on.

    Args:
        classifier, decoder: as trained.
        maker: of scenes; its cut-outs must be held out.
        count: of scenes; the same ones every time.
        offset: added to the decoder's logits.
    """
    return _mean_iou(_drawn(classifier, decoder, maker, count, HELD_OUT_SEED), offset)


def _mean_iou(drawn: Sequence[tuple[Scene, list[torch.Tensor]]], offset: float) -> float:
    ious = []
    for scene, logits in drawn:
        votes = sum((one + offset).sigmoid() for one in logits).numpy() / len(logits)
        found = (votes > 0.5) & scene.counted
        ious.append((found & scene.mask).sum() / max(1, (found | scene.mask).sum()))
    return float(np.mean(ious))


def _drawn(
    classifier: ImageClassifier, decoder: OutlineDecoder, maker: SceneMaker, count: int, seed: int
) -> list[tuple[Scene, list[torch.Tensor]]]:
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


def save_outlines(decoder: OutlineDecoder, offset: float, folder: Path) -> None:
    """Writes the decoder as float16, with its calibration."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": "outline_decoder",
        "license": "GPL-3.0-or-later and CC-BY-SA-4.0",
        "channels": decoder.channels,
        "widths": decoder.widths,
        "slope": 1.0,
        "offset": offset,
    }
    tensors = {name: value.half().contiguous() for name, value in decoder.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _rate(progress: float) -> float:
    return (
        progress / 0.05 if progress < 0.05 else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))
    )


def _loss(
    classifier: ImageClassifier,
    decoder: OutlineDecoder,
    images: torch.Tensor,
    queries: torch.Tensor,
    masks: torch.Tensor,
    counted: torch.Tensor,
) -> torch.Tensor:
    """Cross entropy and one minus Dice, at half the scenes' resolution."""
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


def _batches(maker: SceneMaker, schedule: Schedule, seed: int, first: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Batches from step `first` on; what a step sees follows from the seed and the step alone."""

    return iter(
        torch.utils.data.DataLoader(
            _Steps(maker, schedule.batch, seed),
            batch_size=None,
            sampler=range(first, schedule.steps),
            num_workers=schedule.workers,
            prefetch_factor=3 if schedule.workers else None,
            worker_init_fn=_give_way,
        )
    )


class _Steps(torch.utils.data.Dataset):
    """The batch of each step, made in a worker."""

    def __init__(self, maker: SceneMaker, batch: int, seed: int) -> None:
        self.maker, self.batch, self.seed = maker, batch, seed

    def __getitem__(self, step: int) -> tuple[torch.Tensor, ...]:
        rng = np.random.default_rng([self.seed, step])
        size = int(rng.choice(SIZES))
        return _stacked([self.maker.make(rng, size) for _ in range(self.batch)])


def _stacked(scenes: Sequence[Scene]) -> tuple[torch.Tensor, ...]:
    columns = ("image", "query", "mask", "counted")
    return tuple(torch.from_numpy(np.stack([getattr(scene, column) for scene in scenes])) for column in columns)


def _give_way(worker: int) -> None:
    """The training has the processor first, whoever composes fills the gaps."""
    os.nice(5)
    torch.set_num_threads(1)
