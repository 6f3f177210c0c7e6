"""That a batch which does not fit into the device's memory is halved, and answered as if it had fitted.

python -m tests.benchmarks.halving --config runs/random/base-random.yaml

On CUDA this process is allowed less memory than all samples at once need, and more than one does; elsewhere a segmenter
that refuses more than half of them stands in for it. In float32: in half precision a batch of another size ends with
other digits, by which networks that know nothing choose among equals.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import methods
from datasets.folder import FolderDataset
from models.config import load_config
from models.loading import load_models, resolve_device
from models.remembering import Memory
from tests.benchmarks.precision import in_float32
from tests.benchmarks.scenes import Layout, write_scenes
from utils.cli import add_config_options, at_least
from utils.errors import UserError, run_script
from utils.runs.engine import Evaluation, Predictions
from utils.types import Sample

DISTINCT = Layout(512)  # no two samples share an image or a sound
ALLOWED = 0.7  # of what all samples take beyond one: half of them fit, with some room for gaps between blocks
TOLERANCE = 1e-3  # of a score map; float32 sums in another order differ by less than 1e-5


def main(argv: Sequence[str] | None = None) -> int:
    """Asks about all samples at once, with and without the memory for it, and prints what was found.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        Samples that were asked about at a time in the end.

    Raises:
        UserError: nothing was halved, the answers differ, or one sample alone does not fit.
    """
    arguments = _parse(argv)
    config = load_config(arguments.config, arguments.set, methods.available())
    device, memory = resolve_device(arguments.device), Memory()
    roles = [role for name in arguments.methods for role in methods.requires(name)]
    models = load_models(config, roles, device, memory)
    asked = {name: methods.create(name, models, config.methods.get(name), memory=memory) for name in arguments.methods}
    with tempfile.TemporaryDirectory() as folder, in_float32():
        write_scenes(Path(folder), DISTINCT, arguments.samples)
        samples = list(FolderDataset(Path(folder)))
        evaluation = Evaluation(asked, {"original": lambda sample: sample}, memory.forget, {}, 0.5, "224")
        _, one = ask(evaluation, samples[:1], device)
        whole, all_at_once = ask(evaluation, samples, device)
        if evaluation.limit:
            raise UserError(f"expected {len(samples)} samples to fit into {device}'s memory; ask for fewer (--samples)")
        allowed = one + ALLOWED * (all_at_once - one)
        with less_memory(device, allowed, models, len(samples) // 2):
            halved, _ = ask(evaluation, samples, device)
    sizes = ", ".join(f"{size / 1e9:.2f}" for size in (one, all_at_once, allowed))
    if evaluation.limit is None:
        raise UserError(f"expected {len(samples)} samples not to fit (GB of one, all, allowed: {sizes}); ask for more")
    differ, largest = compare(whole["original"], halved["original"])
    print(f"GB of one sample, of all, and allowed: {sizes if all_at_once else 'not measured here'}")
    print(f"{len(samples)} samples went on {evaluation.limit} at a time; maps differ by {largest:.1g} at most")
    if differ or largest > TOLERANCE:
        raise UserError(f"expected the same answers after halving, found other queries in {differ} of {len(samples)}")
    return evaluation.limit


def ask(evaluation: Evaluation, samples: Sequence[Sample], device: str) -> tuple[Predictions, int]:
    """What is answered, and the bytes of the card that torch took for it at most; 0 elsewhere."""
    on_card = device.startswith("cuda")
    evaluation.forget()
    gc.collect()
    if on_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    found = evaluation.ask(samples)
    return found, torch.cuda.max_memory_allocated(device) if on_card else 0


@contextmanager
def less_memory(device: str, size: float, models: Mapping[str, Any], room: int) -> Iterator[None]:
    """Memory of `size` bytes on a card; elsewhere a segmenter that takes no more than `room` images."""
    if device.startswith("cuda"):
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(size / total, device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
        return
    segment = models["segmenter"].segment

    def small(images: Sequence[np.ndarray], queries: Sequence[Any]) -> list[np.ndarray]:
        if len(images) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return segment(images, queries)

    with mock.patch.object(models["segmenter"], "segment", small):
        yield


def compare(whole: Mapping[str, Sequence[Any]], halved: Mapping[str, Sequence[Any]]) -> tuple[int, float]:
    """Answers with other queries, and the largest difference of two maps."""
    pairs = [pair for name in whole for pair in zip(whole[name], halved[name], strict=True)]
    differ = sum([q.text for q in one.queries] != [q.text for q in other.queries] for one, other in pairs)
    return differ, max(float(np.abs(one.score_map - other.score_map).max()) for one, other in pairs)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.halving", description=__doc__.split("\n")[0])
    add_config_options(parser)
    add = parser.add_argument
    add("--device", default="auto", help="auto (cuda, else mps, else cpu), or one of these (default: %(default)s)")
    add("--methods", nargs="+", default=["classify", "cross_modal"], metavar="NAME", help="(default: %(default)s)")
    add("--samples", type=at_least(2), default=16, metavar="N", help="of one batch (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
