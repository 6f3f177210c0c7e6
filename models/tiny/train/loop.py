"""One training loop for all small networks: seeded by step, resumable at any moment, one log line now and then."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from models.half_precision import right_convolutions

CHECKPOINT_SECONDS = 120


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: optimiser steps in all.
        lr: peak learning rate of AdamW (embeddings, norms, biases, heads).
        matrix_lr: peak learning rate of Muon on hidden weight matrices; 0 trains them with AdamW as well.
        warmup: steps of linear warm-up; after it the rate falls as a cosine to a hundredth of the peak.
        weight_decay: decoupled, on matrices only.
    """

    steps: int
    lr: float = 1e-3
    matrix_lr: float = 0.0
    warmup: int = 100
    weight_decay: float = 0.02

    def factor(self, step: int) -> float:
        """Share of the peak learning rate at a step."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def initialise(*networks: nn.Module) -> None:
    """Starts linear layers at the spread of their inputs (std = fan-in ** -0.5) and embeddings at 0.2.

    The library starts published sizes at 0.02, with which small networks give the same answer to everything for
    hundreds of steps, and CLIPSeg's decoder at a scale that gives logits in the hundreds.
    """
    for network in networks:
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding) and module.weight.requires_grad:  # Whisper's sinusoids stay
                nn.init.normal_(module.weight, std=0.2)


class Optimiser:
    """Muon (Jordan et al. 2024, torch.optim.Muon) for hidden matrices and AdamW for the rest, stepped as one.

    Args:
        named_parameters: what to train.
        schedule: rates.
        is_matrix: which parameter names count as hidden matrices.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        schedule: Schedule,
        is_matrix: Callable[[str], bool] = lambda name: ".layers." in name or ".layer." in name,
    ) -> None:
        matrices, decayed, others = [], [], []
        for name, parameter in named_parameters:
            if not parameter.requires_grad:
                continue
            if schedule.matrix_lr and parameter.ndim == 2 and is_matrix(name):
                matrices.append(parameter)
            else:
                (decayed if parameter.ndim == 2 else others).append(parameter)
        groups = [
            {"params": decayed, "weight_decay": schedule.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.schedule = schedule
        self.parameters = [*matrices, *decayed, *others]
        self.parts = [torch.optim.AdamW(groups, lr=schedule.lr, betas=(0.9, 0.98), eps=1e-8)]
        self.peaks = [schedule.lr]
        if matrices:
            self.parts.append(
                torch.optim.Muon(
                    matrices, lr=schedule.matrix_lr, weight_decay=schedule.weight_decay, adjust_lr_fn="match_rms_adamw"
                )
            )
            self.peaks.append(schedule.matrix_lr)

    def step(self, step: int) -> None:
        """Applies the gradients, clipped to norm 1, at the rate of this step, and clears them."""
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        factor = self.schedule.factor(step)
        for part, peak in zip(self.parts, self.peaks, strict=True):
            for group in part.param_groups:
                group["lr"] = peak * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def fit(
    name: str,
    module: nn.Module,
    batch: Callable[[int, int], Iterable],
    loss: Callable[..., tuple[torch.Tensor, dict[str, float]]],
    schedule: Schedule,
    runs: Path,
    matrices: Callable[[str], bool] | None = None,
) -> nn.Module:
    """Trains a module, or goes on where an earlier run was stopped.

    Args:
        name: names the checkpoint `runs/NAME.pt` and the log `runs/NAME.jsonl`.
        module: what is trained and saved.
        batch: (first step, last step) -> iterable of batches; the batch of a step must depend on the step alone.
        loss: (module, one batch) -> scalar loss and numbers for the log; the forward pass runs under bfloat16 autocast
            where the processor has it.
        schedule: steps and rates.
        runs: folder of checkpoints and logs.
        matrices: which parameter names Muon trains; the layers of transformers by default.

    Returns:
        The module in eval mode.
    """
    runs.mkdir(parents=True, exist_ok=True)
    checkpoint, log = runs / f"{name}.pt", runs / f"{name}.jsonl"
    optimiser = Optimiser(module.named_parameters(), schedule, **({"is_matrix": matrices} if matrices else {}))
    first, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        first, spent = state["step"], state["seconds"]
        state_of = "is complete" if first >= schedule.steps else f"goes on at step {first} of {schedule.steps}"
        print(f"{name}: {state_of}", flush=True)

    def save(step: int) -> None:
        temporary = checkpoint.with_suffix(".tmp")
        state = {"module": module.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "seconds": spent}
        torch.save(state, temporary)
        os.replace(temporary, checkpoint)

    bf16 = has_bf16()
    convolutions = right_convolutions(torch.bfloat16) if bf16 else nullcontext()
    module.train()
    sums: dict[str, float] = {}
    count, tick, saved = 0, time.monotonic(), time.monotonic()
    for step, data in enumerate(batch(first, schedule.steps), start=first):
        torch.manual_seed(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16), convolutions:
            value, numbers = loss(module, data)
        if not torch.isfinite(value):
            raise FloatingPointError(f"expected a finite loss in {name}, found {value.item()} at step {step}")
        value.backward()
        optimiser.step(step)
        for key, number in {"loss": value.item(), **numbers}.items():
            sums[key] = sums.get(key, 0.0) + number
        count += 1
        now = time.monotonic()
        spent, tick = spent + now - tick, now
        done = step + 1
        if done % 100 == 0 or done == schedule.steps:
            line = {"step": done, "seconds": round(spent), **{k: round(v / count, 4) for k, v in sums.items()}}
            print(f"{name}: {json.dumps(line)}", flush=True)
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
            sums, count = {}, 0
        if now - saved > CHECKPOINT_SECONDS or done == schedule.steps:
            save(done)
            saved = time.monotonic()
    return module.eval()


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 matrices in hardware."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    return capabilities.startswith("AVX512") and bool(torch.cpu._is_avx512_bf16_supported())


class Steps(torch.utils.data.Dataset):
    """Items numbered through all steps; item i is made by `make(i)` alone, so a run can stop and go on anywhere."""

    def __init__(self, make: Callable[[int], object]) -> None:
        self.make = make

    def __getitem__(self, index: int) -> object:
        return self.make(index)


def _give_way(worker: int) -> None:
    """Lets the training have the processor first; a worker fills the gaps."""
    os.nice(5)
    torch.set_num_threads(1)


def batches(
    make: Callable[[int], object], collate: Callable, batch_size: int, workers: int = 1
) -> Callable[[int, int], Iterable]:
    """Turns an item maker into the `batch` argument of `fit`, made in a worker process ahead of the training."""

    def run(first: int, last: int) -> Iterable:
        if first >= last:
            return []
        return torch.utils.data.DataLoader(
            Steps(make),
            batch_size=batch_size,
            sampler=range(first * batch_size, last * batch_size),
            collate_fn=collate,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_give_way,
        )

    return run
