"""Builds Stamps-AVS, a benchmark without a request form: composed scenes of Debian's stamps, and what is heard there.

    python -m datasets.stamps --out data/stamps --split test --scenes 1000

writes `image/ wav/ gt_seg/ manifest.json`, which `eval.py` reads. What it is, how to get the two packages and what its
scores say: `datasets/cards/stamps.md`. Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from datasets.faults import check_command
from datasets.manifest import Manifest
from datasets.processes import workers
from datasets.stamp_world.catalog import DEFAULT_ROOT
from datasets.stamp_world.packages import Packages, open_packages
from datasets.stamp_world.scenarios import SCENARIOS, World, units
from datasets.stamp_world.scenes import SPLITS
from datasets.stamp_world.writing import write_samples
from utils.cli import at_least
from utils.errors import UserError, run_script

__all__ = ["BENCHMARK", "build", "main"]

BENCHMARK = "Stamps-AVS"
NOTES = (
    "Scenes are composed: cut-out photographs on photographs or textures, in which nothing stands on anything.",
    "66 kinds sound, each with one or two photographs and one recording, which all splits share.",
    "The bundled networks (--config pocket) learnt these recordings, for which many kinds have no other, but none of "
    "these photographs, nor others of these kinds.",
    "The mask holds the visible pixels of what is heard, where its cut-out is more than half opaque.",
    "Offscreen and silent samples have a blank mask: any foreground is wrong there, and IoU and F are 0 in any case.",
    "The two samples of a pair share one image and are one group.",
)
SWAP_NOTES = {
    "keep": "Sounds are swapped: the mask stays on a thing in view that is not heard, so a method that listens fails.",
    "move": "Sounds are swapped with those of another thing in view, and the mask is on the thing that is heard.",
}


def build(
    out: Path,
    sources: Sequence[Path],
    split: str,
    samples: int,
    seed: int,
    scenarios: Sequence[str] = SCENARIOS,
    swap_sounds: str | None = None,
    num_workers: int = 0,
) -> Manifest:
    """Writes a set.

    Args:
        out: folder to write; a finished or stopped set of the same options is completed.
        sources: the packages, see `open_packages`.
        split: one of SPLITS.
        samples: how many.
        seed: of the set; the splits are drawn with numbers that no training uses.
        scenarios: some of SCENARIOS, in any order.
        swap_sounds: see `World`; for `single` only.
        num_workers: processes besides this one.

    Returns:
        The manifest as written.

    Raises:
        UserError: packages are missing or broken, the folder holds something else, or options do not go together.
    """
    scenarios = [name for name in SCENARIOS if name in scenarios]
    if swap_sounds and scenarios != ["single"]:
        raise UserError(f"expected --scenarios single with --swap_sounds, found {' '.join(scenarios)}; add that")
    options = {"split": split, "scenes": samples, "seed": seed, "scenarios": scenarios, "swap_sounds": swap_sounds}
    with open_packages(sources) as packages:
        world = World(packages.root, split, seed, swap_sounds)
        notes = (*NOTES, SWAP_NOTES[swap_sounds]) if swap_sounds else NOTES
        manifest = Manifest(BENCHMARK, _source(packages), options, {}, notes=notes, group_unit="image")
        return write_samples(list(units(samples, scenarios)), world, manifest, out, num_workers)


def _source(packages: Packages) -> dict[str, object]:
    return {
        "packages": dict(packages.versions),
        "distribution": "Debian",
        "licence": "GPL-2",
        "homepage": "https://tuxpaint.org",
    }


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Command line: builds a set, and says what was written and what to do with it."""
    args = parse_arguments(argv)
    manifest = build(
        args.out, args.source, args.split, args.scenes, args.seed, args.scenarios, args.swap_sounds, args.num_workers
    )
    counts = manifest.counts
    print(
        f"{BENCHMARK}, {args.split}: {counts['samples']} samples of {counts['groups']} images, {counts['categories']} "
        f"categories, {counts['blank_masks']} blank masks, written to {args.out}"
    )
    for scenario, number in Counter(entry.scenario for entry in manifest.samples.values()).items():
        print(f"  {scenario:<10}{number:>6}")
    where = shlex.quote(str(args.out))
    print(
        f"next: {check_command(args.out)}\n"
        f"      python eval.py --methods cross_modal classify caption text_inversion --test_data_path {where}"
    )
    return manifest


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; argparse ends the program with code 2 on a wrong one."""
    parser = argparse.ArgumentParser(prog="python -m datasets.stamps", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add("--split", choices=SPLITS, default="test", help="what is held out: the card (default: %(default)s)")
    add("--scenes", type=at_least(1), default=1000, metavar="N", help="how many samples (default: %(default)s)")
    add("--seed", type=at_least(0), default=0, metavar="N", help="another set of the same kind (default: %(default)s)")
    add("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS, help="default: all, in a cycle of ten samples")
    add(
        "--source",
        "--root",
        type=Path,
        nargs="+",
        default=[DEFAULT_ROOT],
        metavar="PATH",
        help="both Debian packages: the unpacked tree, the .deb files, or a folder of them (default: data/tuxpaint)",
    )
    add(
        "--swap_sounds",
        choices=("keep", "move"),
        help="with --scenarios single: play another thing in view; the mask is kept as it was, or moves to that thing",
    )
    add("--num_workers", type=workers, default=0, metavar="N", help="processes (default: this one alone)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
