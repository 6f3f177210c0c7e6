"""How far half precision moves what networks say: the same images, sounds and words in float32, and as a run computes.

python -m tests.benchmarks.precision --config pocket
python -m tests.benchmarks.precision --config runs/random/base-random.yaml

On CUDA a run computes as `models.network.Pretrained.inference` has it; elsewhere bfloat16 by autocast stands in for it.
Captions are compared by the scores of their first word: from the first tie on, all else differs.

Networks that know nothing say nearly the same of everything, and a high cosine then proves little. "of another" is the
distance between the two precisions over the distance between different inputs in float32: 0.1 moves an answer a tenth
as far as another sound or image does, 1 leaves nothing of the input. An answer may move by --most of that, and its
cosine may not fall below LEAST_COSINE. On a processor bfloat16 moved the bundled networks by 0.02 (cosine 0.9995), tiny
random ones by 0.08 (0.9987), and random ones of the published sizes by 0.04 (0.9998), but their sentences, which a text
encoder that knows nothing tells apart by one part in a thousand, by 0.32: of those, no less than 1 is too far.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, is_dataclass
from itertools import combinations
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image

import methods
from datasets.folder import FolderDataset
from models.config import load_config
from models.cpu import right_convolutions
from models.loading import load_models, resolve_device
from models.network import Pretrained
from tests.benchmarks.measure import EXAMPLES
from utils.cli import POSITIVE, add_config_options, at_least
from utils.errors import UserError, run_script
from utils.media.images import resize_score_map
from utils.types import Query, Sample

COLUMNS = ("role", "what", "largest", "mean", "least cosine", "of another", "pixels that flip at 0.5")
SIZE = (224, 224)  # of the maps, as benchmarks have it
ALL_LABELS = 10_000
LEAST_COSINE = 0.97  # an error of a quarter of an answer's length
FARM = "farm_"  # nine examples, each with its own photograph, sound and animal, which its name ends with
CHOSEN = "maps of the boxes found"  # no limit for them: one that knows nothing chooses among equals


@dataclass(frozen=True)
class Moved:
    """How far one kind of answer moved.

    Attributes:
        role, what: whose answers, and which.
        largest, mean: absolute difference of their numbers.
        cosine: the least, of an answer in the two precisions.
        of_another: see above.
        flips: share of a map's pixels on the other side of 0.5; None where the answers are no maps.
    """

    role: str
    what: str
    largest: float
    mean: float
    cosine: float
    of_another: float
    flips: float | None


class FirstWord(Exception):
    """A captioner is about to say its first word."""


def main(argv: Sequence[str] | None = None) -> list[Moved]:
    """Measures and prints.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        One entry a role and kind of answer.

    Raises:
        UserError: answers moved further than the command line allows, or a network cannot be loaded.
    """
    arguments = _parse(argv)
    config = load_config(arguments.config, arguments.set, methods.available())
    device = resolve_device(arguments.device)
    samples = [sample for sample in FolderDataset(EXAMPLES) if sample.id.startswith(FARM)][: arguments.items]
    rows = []
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for role in config.roles:
        model = load_models(config, [role], device)[role]
        with in_float32():
            exact = answers(role, model, samples)
        with as_a_run_computes(device):
            found = answers(role, model, samples)
        for what in exact:
            rows.append(moved(role, what, found[what], exact[what]))
            print(_line(rows[-1]), flush=True)
    judged = [row for row in rows if row.what != CHOSEN]
    near = [row for row in judged if row.of_another <= arguments.most and row.cosine >= LEAST_COSINE]
    far = [f"{row.what} of {row.role}" for row in judged if row not in near]
    if far:
        raise UserError(
            f"expected no answer to move further than {arguments.most:g} of what another input does, nor a cosine "
            f"below {LEAST_COSINE:g}, found it of {', '.join(far)}; keep that network in float32, or find the layer "
            "that half precision is too narrow for"
        )
    return rows


@contextmanager
def in_float32() -> Iterator[None]:
    """No autocast, and no TF32, which a card's convolutions take float32 for."""

    def inference(model: Pretrained) -> torch.inference_mode:
        return torch.inference_mode()

    with mock.patch.object(Pretrained, "inference", inference), torch.backends.cudnn.flags(True, allow_tf32=False):
        yield


@contextmanager
def as_a_run_computes(device: str) -> Iterator[None]:
    """As on CUDA; elsewhere in bfloat16 by autocast."""

    @contextmanager
    def inference(model: Pretrained) -> Iterator[None]:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16), right_convolutions(torch.bfloat16):
            yield

    patched = nullcontext() if device.startswith("cuda") else mock.patch.object(Pretrained, "inference", inference)
    with patched:
        yield


def answers(role: str, model: Any, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """What a role says of samples: kind of answer -> (N, ...) float, a row a sample."""
    sounds = [sample.waveform for sample in samples], [sample.sampling_rate for sample in samples]
    images = [sample.image for sample in samples]
    texts = [f"A photo of {sample.id.removeprefix(FARM)}" for sample in samples]
    if role == "audio_text":
        return {"sounds": model.encode_audio(*sounds), "sentences": model.encode_text(texts)}
    if role == "audio_tagger":
        tags = model.tag(*sounds, top_k=ALL_LABELS)
        return {"probabilities": np.array([[probability for _, probability in sorted(some)] for some in tags])}
    if role in ("audio_captioner", "image_captioner"):
        if not isinstance(model.model, Pretrained):
            return {}  # one that does not write word by word, made of networks that are compared elsewhere
        columns = zip(*sounds, strict=True) if role == "audio_captioner" else zip(images, strict=True)
        return {"first word": np.stack([first_word(model, [[one] for one in row]) for row in columns])}
    maps = np.stack([resize_score_map(one, SIZE) for one in model.segment(images, [[Query(text)] for text in texts])])
    if "masks" not in getattr(model, "networks", {}):
        return {"maps": maps}
    images = [np.asarray(Image.fromarray(image).resize(SIZE)) for image in images]  # so that features have one shape
    parts = {name: part for name, part in model.networks.items() if hasattr(part, "encode_images")}
    return {CHOSEN: maps, **{f"features of {name}": features(part, images) for name, part in parts.items()}}


def first_word(model: Any, asked: Sequence[Any]) -> np.ndarray:
    """(V,) float32, the scores of all words that the caption of one item can begin with."""

    def stop(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if scores.isfinite().sum() > len(scores):
            raise FirstWord(scores[0])
        return scores  # of a start token that is given, not chosen

    with mock.patch.object(model.model, "finite_scores", stop):
        try:
            model.caption(*asked)
        except FirstWord as said:
            return said.args[0].float().cpu().numpy()
    raise UserError("expected a captioner that chooses its first word, found one that says nothing")


def features(part: Any, images: Sequence[np.ndarray]) -> np.ndarray:
    """(N, D) float32, all that a segmenter's part makes of each image's pixels."""
    rows = []
    for encoded in part.encode_images(images):
        within, found = [encoded], []
        while within:
            one = within.pop()
            found += [one] if isinstance(one, torch.Tensor) and one.is_floating_point() else []
            one = vars(one) if is_dataclass(one) and not isinstance(one, Mapping) else one
            within += one.values() if isinstance(one, Mapping) else one if isinstance(one, (list, tuple)) else ()
        rows.append(torch.cat([tensor.flatten().float() for tensor in found]).cpu().numpy())
    return np.stack(rows)


def moved(role: str, what: str, found: np.ndarray, exact: np.ndarray) -> Moved:
    """Compares (N, ...) of as a run computes with float32."""
    flips = float(((found > 0.5) != (exact > 0.5)).mean()) if found.ndim == 3 else None
    a, b = (np.nan_to_num(rows.reshape(len(rows), -1).astype(np.float64), neginf=0) for rows in (found, exact))
    difference = np.abs(a - b)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.divide((a * b).sum(1), lengths, out=(a == b).all(1).astype(float), where=lengths > 0)
    others = np.mean([np.linalg.norm(one - other) for one, other in combinations(b, 2)])
    of_another = np.linalg.norm(a - b, axis=1).mean() / others
    return Moved(role, what, difference.max(), difference.mean(), cosines.min(), of_another, flips)


def _line(row: Moved) -> str:
    """Of a Markdown table."""
    numbers = (f"{row.largest:.2g}", f"{row.mean:.2g}", f"{row.cosine:.5f}", f"{row.of_another:.3f}")
    flips = "" if row.flips is None else f"{row.flips:.2%}"
    return f"| {' | '.join((row.role, row.what, *numbers, flips))} |"


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.precision", description=__doc__.split("\n")[0])
    add_config_options(parser)
    add = parser.add_argument
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    add("--items", type=at_least(2, 9), default=8, metavar="N", help="examples (default: %(default)s)")
    about = "of what another input moves an answer by; further is an error (default: %(default)s)"
    add("--most", type=POSITIVE, default=0.25, metavar="SHARE", help=about)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
