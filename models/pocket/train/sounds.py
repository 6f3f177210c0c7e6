"""Hearing: heads on a frozen SoundNet, how its answers spread over unrelated sounds, and what both reach on others'."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import torch
from numpy.lib.format import open_memmap
from safetensors.torch import load_file, save_file
from torch.nn.functional import one_hot

from models.audio_tagger.soundnet import OBJECTS_WEIGHT, WINDOW_SECONDS, classes_of
from models.pocket.soundnet_network import (
    FFT,
    FRAME_CHANNELS,
    FRAMES,
    HEADS,
    LEVEL,
    MELS,
    SAMPLING_RATE,
    HearingNetwork,
    SoundHead,
    SoundNet,
    frames,
)
from models.pocket.train.clips import AMBIENT, make_clip
from models.pocket.train.recordings import TEST_PACKAGES, Recording
from utils.errors import UserError

__all__ = ["Bank", "hear_clips", "measure", "save_hearing", "train_heads"]

RANK = 128  # of the objects' space
PLAIN, MADE = 10, 40  # of each label: recordings as they are at most, and clips made of them
STEPS, BATCH, RATE = 700, 96, 2e-3
MIXED, SMOOTHED = 0.4, 0.1  # Beta of mixed clips, label smoothing
CHUNK = 8  # clips heard at once
LICENSE = "MIT; trained heads GPL-3.0-or-later and CC-BY-SA-3.0"


@dataclass(frozen=True, eq=False)
class Bank:
    """What SoundNet hears in clips.

    Attributes:
        frames: (N, FRAME_CHANNELS, FRAMES) float16, on disk.
        objects: (N, 1000) float32, logits less their mean.
        labels: (N,) of str.
        packages: (N,) of str.
        kinds: (N,) of str: "plain" for recordings as they are, "made" for clips made of them, "test".
    """

    frames: np.ndarray
    objects: np.ndarray
    labels: np.ndarray
    packages: np.ndarray
    kinds: np.ndarray


def hear_clips(recordings: Sequence[Recording], soundnet: SoundNet, seed: int, runs: Path) -> Bank:
    """Makes clips of all labels and lets SoundNet hear them, or goes on where an earlier run was stopped.

    Args:
        recordings: of the training and the test packages; the latter are heard as they are.
        soundnet: in eval mode.
        seed: of the clips.
        runs: folder of what was heard, `frames.npy`, `objects.npy` and `heard.json`.
    """
    plan = _plan(recordings, seed)
    ambience = [one for one in recordings if one.label in AMBIENT and one.package not in TEST_PACKAGES]
    done_path, mel = runs / "heard.json", mel_filters()
    runs.mkdir(parents=True, exist_ok=True)
    made_of = hashlib.sha256(repr([(label, own[0].package, kind) for label, own, kind in plan]).encode()).hexdigest()
    state = json.loads(done_path.read_text(encoding="utf-8")) if done_path.is_file() else {"clips": 0}
    if state.get("seed", seed) != seed or state.get("plan", made_of) != made_of:
        raise UserError(
            f"expected clips of this seed and these recordings in {runs}, found others; name another --runs"
        )
    done = state["clips"]
    mode = "r+" if done else "w+"
    kept = open_memmap(runs / "frames.npy", mode, np.float16, (len(plan), FRAME_CHANNELS, FRAMES))
    objects = open_memmap(runs / "objects.npy", mode, np.float32, (len(plan), 1000))
    for start in range(done, len(plan), CHUNK):
        some = plan[start : start + CHUNK]
        sounds = []
        for number, (_, sources, kind) in enumerate(some, start):
            rng = np.random.default_rng([seed, number])
            sounds.append(make_clip(rng, sources, ambience) if kind == "made" else sources[0].waveform)
        with torch.inference_mode():
            waveforms = torch.from_numpy(np.stack([_window(sound) for sound in sounds]))
            logits, features = soundnet(waveforms)
            named = logits.mean(-1)
            kept[start : start + len(some)] = frames(waveforms, features, mel).half().numpy()
            objects[start : start + len(some)] = (named - named.mean(1, keepdim=True)).numpy()
        if start // CHUNK % 50 == 49 or start + CHUNK >= len(plan):
            kept.flush()
            objects.flush()
            state = {"clips": start + len(some), "seed": seed, "plan": made_of}
            done_path.write_text(json.dumps(state), encoding="utf-8")
            print(f"heard {start + len(some)} of {len(plan)} clips", flush=True)
    labels, packages, kinds = (
        np.array(column) for column in zip(*((label, own[0].package, kind) for label, own, kind in plan), strict=True)
    )
    return Bank(kept, np.asarray(objects), labels, packages, kinds)


def train_heads(
    bank: Bank, labels: Sequence[str], seed: int, without: Sequence[str] = ()
) -> tuple[list[SoundHead], torch.Tensor, torch.Tensor]:
    """Trains the heads of HEADS.

    Args:
        bank: its "plain" and "made" clips are learnt.
        labels: K.
        seed: of weights and batches.
        without: packages that are left out, besides the test packages.

    Returns:
        The heads in eval mode; mean and deviation of each channel of a frame, (FRAME_CHANNELS, 1) float32 each.
    """
    index = {label: number for number, label in enumerate(labels)}
    chosen = np.flatnonzero((bank.kinds != "test") & ~np.isin(bank.packages, list(without)))
    target = np.array([index[label] for label in bank.labels[chosen]])
    shares = 1 / np.bincount(target, minlength=len(labels))[target]  # each label as often
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
            drawn = rng.choice(len(chosen), BATCH, p=shares / shares.sum())
            heard = (torch.from_numpy(bank.frames[chosen[drawn]].astype(np.float32)) - mean) / deviation
            heard = torch.roll(heard, int(rng.integers(FRAMES)), 2)
            wanted = one_hot(torch.from_numpy(target[drawn]), len(labels)).float()
            share = torch.from_numpy(rng.beta(MIXED, MIXED, (BATCH, 1)).astype(np.float32))
            other = torch.from_numpy(rng.permutation(BATCH))
            heard = share[..., None] * heard + (1 - share[..., None]) * heard[other]
            wanted = share * wanted + (1 - share) * wanted[other]
            wanted = wanted * (1 - SMOOTHED) + SMOOTHED / len(labels)
            loss = -(wanted * head(heard).log_softmax(1)).sum(1).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 2.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()
        print(f"head {number + 1} of {len(HEADS)}: loss {loss.item():.3f}", flush=True)
        heads.append(head.eval())
    return heads, mean, deviation


def save_hearing(
    bank: Bank,
    soundnet: SoundNet,
    labels: Sequence[str],
    trained: tuple[list[SoundHead], torch.Tensor, torch.Tensor],
    folder: Path,
    without: Sequence[str] = (),
) -> None:
    """Writes the whole network, with how its answers spread over the bank's training clips, as float16.

    Args:
        bank: as heard.
        soundnet: the frozen network.
        labels: K.
        trained: of `train_heads`.
        folder: gets config.json and model.safetensors.
        without: packages that were left out.
    """
    heads, mean, deviation = trained
    groups = _groups(labels)
    network = HearingNetwork(len(labels), HEADS, len(groups), RANK)
    network.soundnet.load_state_dict(soundnet.state_dict())
    network.heads.load_state_dict(torch.nn.ModuleList(heads).state_dict())
    chosen = _unrelated(bank, without)
    said = _log_probabilities(bank, heads, mean, deviation, chosen)
    of_groups = np.stack([np.log(np.exp(said[:, members]).sum(1) + 1e-9) for members in groups], 1)
    tables = {"mel": mel_filters(), "frame_mean": mean, "frame_deviation": deviation}
    for name, values, rank in (("objects", bank.objects[chosen], RANK), ("groups", of_groups, len(groups))):
        tables |= {f"{name}_{part}": torch.from_numpy(value) for part, value in _spread(values, rank).items()}
    for name, value in tables.items():
        getattr(network, name).copy_(value)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": "soundnet8",
        "sampling_rate": SAMPLING_RATE,
        "license": LICENSE,
        "heads": HEADS,
        "rank": RANK,
        "labels": list(labels),
        "groups": groups,
    }
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in config.items())  # long lists on a line each
    (folder / "config.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def measure(
    bank: Bank,
    labels: Sequence[str],
    trained: tuple[list[SoundHead], torch.Tensor, torch.Tensor],
    without: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """How well the sounds of the test packages are recognised.

    Only kinds that something visible makes, and that the training knows (`without` some packages), are counted.

    Returns:
        For "objects" (SoundNet's own, nothing trained), "heads" and "both": "first", the share of sounds whose own kind
        is first of all kinds in the test packages; "pair", of pairs of a sound and another kind where its own is ahead;
        and "sounds" and "kinds", how many there are.
    """
    classes = np.stack([classes_of(label) for label in labels])
    visible = np.flatnonzero(classes.any(1))
    learnt = set(bank.labels[(bank.kinds != "test") & ~np.isin(bank.packages, list(without))])
    known = [label for label in np.array(labels)[visible] if label in learnt]
    tested = np.flatnonzero((bank.kinds == "test") & np.isin(bank.labels, known))
    kinds = sorted(set(bank.labels[tested]))
    columns = [list(labels).index(kind) for kind in kinds]
    unrelated = _unrelated(bank, without)
    every = np.concatenate([tested, unrelated])
    z = (bank.objects[every] - bank.objects[unrelated].mean(0)) / bank.objects[unrelated].std(0)
    weights = classes[columns] / classes[columns].sum(1, keepdims=True)
    scores = {"objects": z @ weights.T, "heads": _log_probabilities(bank, *trained, every)[:, columns]}
    scores = {
        name: ((value - value[len(tested) :].mean(0)) / value[len(tested) :].std(0))[: len(tested)]
        for name, value in scores.items()
    }
    scores["both"] = scores["heads"] + OBJECTS_WEIGHT * scores["objects"]
    own = np.array([kinds.index(label) for label in bank.labels[tested]])
    rows = np.arange(len(tested))
    report = {}
    for name, value in scores.items():
        ahead = (value[rows, own][:, None] > value).sum(1) / (len(kinds) - 1)
        report[name] = {"first": float((value.argmax(1) == own).mean()), "pair": float(ahead.mean())}
    return report | {"counted": {"sounds": len(tested), "kinds": len(kinds)}}


def load_soundnet(folder: Path) -> SoundNet:
    """SoundNet out of a folder of the backbone alone, or of the whole."""
    tensors = load_file(folder / "model.safetensors")
    network = SoundNet()
    network.load_state_dict({name.removeprefix("soundnet."): value.float() for name, value in tensors.items()
                             if name.removeprefix("soundnet.").startswith("conv")})  # fmt: skip
    return network.eval()


def mel_filters() -> torch.Tensor:
    """(MELS, FFT / 2 + 1) float32, 50 Hz to 10 kHz."""
    return torch.from_numpy(librosa.filters.mel(sr=SAMPLING_RATE, n_fft=FFT, n_mels=MELS, fmin=50, fmax=10000))


def _plan(recordings: Sequence[Recording], seed: int) -> list[tuple[str, list[Recording], str]]:
    """(label, what it is made of, kind) of each clip."""
    by_label: Mapping[str, dict[str, list[Recording]]] = defaultdict(lambda: defaultdict(list))
    for one in recordings:
        if one.package not in TEST_PACKAGES:
            by_label[one.label][one.package].append(one)
    rng = np.random.default_rng([seed, 1])
    plan = []
    for label in sorted(by_label):
        sources = list(by_label[label].values())
        for own in sources:
            few = rng.permutation(len(own))[: max(2, PLAIN // len(sources))]
            plan += [(label, [own[i]], "plain") for i in few]
        plan += [(label, sources[i % len(sources)], "made") for i in range(MADE)]
    tests = [one for one in recordings if one.package in TEST_PACKAGES]
    return plan + [(one.label, [one], "test") for one in tests]


def _window(sound: np.ndarray) -> np.ndarray:
    peak = max(float(np.abs(sound).max()), 1e-6)
    return np.resize(sound * (LEVEL / peak), WINDOW_SECONDS * SAMPLING_RATE).astype(np.float32)


def _unrelated(bank: Bank, without: Sequence[str]) -> np.ndarray:
    """Up to eight clips of each label, recordings as they are first, none of some packages."""
    chosen, known = [], ~np.isin(bank.packages, list(without))
    for label in sorted(set(bank.labels[known & (bank.kinds != "test")])):
        own = [np.flatnonzero(known & (bank.labels == label) & (bank.kinds == kind)) for kind in ("plain", "made")]
        chosen += np.concatenate(own)[:8].tolist()
    return np.array(chosen)


def _log_probabilities(
    bank: Bank, heads: Sequence[SoundHead], mean: torch.Tensor, deviation: torch.Tensor, rows: np.ndarray
) -> np.ndarray:
    said = []
    with torch.inference_mode():
        for start in range(0, len(rows), 64):
            heard = (torch.from_numpy(bank.frames[rows[start : start + 64]].astype(np.float32)) - mean) / deviation
            said.append(torch.stack([head(heard).log_softmax(1) for head in heads]).mean(0).log_softmax(1))
    return torch.cat(said).numpy()


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
    for index, label in enumerate(labels):
        classes = classes_of(label)
        found.setdefault(classes.tobytes() if classes.any() else label.encode(), []).append(index)
    return list(found.values())
