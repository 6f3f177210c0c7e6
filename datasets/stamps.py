"""Builds Stamps-AVS, a benchmark without a request form: composed scenes of Debian's stamps, and what is heard there.

    python -m datasets.stamps --out data/stamps --split test --scenes 1000

writes `image/ wav/ gt_seg/ manifest.json`, which `eval.py` reads. What it is, how to get the two packages and what its
scores say: `datasets/cards/stamps.md`. Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from PIL import Image

from datasets.findings import check_command
from datasets.folder import FolderDataset
from datasets.manifest import Manifest
from datasets.stamp_world.catalog import DEFAULT_ROOT, open_packages
from datasets.stamp_world.scenarios import SCENARIOS, World, units, write_samples
from datasets.stamp_world.scenes import SPLITS
from utils.cli import Parser, at_least
from utils.errors import UserError, run_script
from utils.files import atomic_path
from utils.media.drawing import draw_overlay, side_by_side

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
DEBIAN = {"distribution": "Debian", "licence": "GPL-2", "homepage": "https://tuxpaint.org"}
IN_A_ROW, FIGURE_WIDTH = 2, 960  # of the card's picture: samples, pixels


@dataclass(frozen=True)
class Options:
    """What decides the bytes of a set."""

    split: str  # one of SPLITS; they are drawn with numbers that no training uses
    scenes: int  # how many samples
    seed: int = 0
    scenarios: Sequence[str] = SCENARIOS  # some of SCENARIOS, in any order
    swap_sounds: str | None = None  # see `World`; for `single` only


def build(out: Path, sources: Sequence[Path], options: Options, num_workers: int = 0) -> Manifest:
    """Writes a set of packages (see `open_packages`) into the folder `out`, or completes it, and returns its manifest.

    Raises:
        UserError: packages are missing or broken, the folder holds something else, or options do not go together.
    """
    scenarios = [name for name in SCENARIOS if name in options.scenarios]
    if options.swap_sounds and scenarios != ["single"]:
        raise UserError(f"expected --scenarios single with --swap_sounds, found {' '.join(scenarios)}; add that")
    with open_packages(sources) as (root, versions):
        world = World(root, options.split, options.seed, options.swap_sounds)
        manifest = Manifest(
            benchmark="Stamps-AVS",
            source={"packages": versions, **DEBIAN},
            options=asdict(replace(options, scenarios=scenarios)),
            notes=(*NOTES, SWAP_NOTES[options.swap_sounds]) if options.swap_sounds else NOTES,
            group_unit="image",
        )
        return write_samples(list(units(options.scenes, scenarios)), world, manifest, out, num_workers)


def draw_figure(dataset: FolderDataset) -> Image.Image:
    """The picture of the card: a row per scenario, what is seen and heard beside the right answer.

    Raises:
        UserError: the folder has no manifest, or too few samples of a scenario.
    """
    entries = dataset.manifest.samples if dataset.manifest else {}
    pictures = []
    for scenario in SCENARIOS:
        stems = [stem for stem in dataset.ids if stem in entries and entries[stem].scenario == scenario][:IN_A_ROW]
        if len(stems) < IN_A_ROW:
            raise UserError(
                f"expected {IN_A_ROW} {scenario} samples in {dataset.root}, found {len(stems)}; make a set of all "
                "scenarios with --scenes 20 or more"
            )
        for stem in stems:
            sample, details = dataset[dataset.ids.index(stem)], entries[stem].details
            heard = " and ".join(details["played"]) or ("faint noise" if sample.waveform.any() else "digital silence")
            answer = " and ".join(details["masked"]) or "nothing"
            pictures += [
                (f"{scenario}, heard: {heard}", Image.fromarray(sample.image)),
                (f"answer: {answer}", draw_overlay(sample.image, sample.gt_mask)),
            ]
    picture = side_by_side(pictures, columns=2 * IN_A_ROW)
    return picture.resize(
        (FIGURE_WIDTH, round(FIGURE_WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS
    )


def main(argv: Sequence[str] | None = None) -> Manifest:
    """Command line: builds a set, and says what was written and what to do with it."""
    parser = Parser(prog="python -m datasets.stamps", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    add("--split", choices=SPLITS, default="test", help="what is held out: the card (default: %(default)s)")
    add("--scenes", type=at_least(1), default=1000, metavar="N", help="how many samples (default: %(default)s)")
    add("--seed", type=at_least(0), default=0, metavar="N", help="another set of the same kind (default: %(default)s)")
    add("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS, help="default: all, in a cycle of ten samples")
    packages = "both Debian packages: the unpacked tree, the .deb files, or a folder of them (default: data/tuxpaint)"
    add("--source", "--root", type=Path, nargs="+", default=[DEFAULT_ROOT], metavar="PATH", help=packages)
    swap = "with --scenarios single: play another thing in view; the mask is kept as it was, or moves to that thing"
    add("--swap_sounds", choices=("keep", "move"), help=swap)
    add("--num_workers", type=at_least(0), default=0, metavar="N", help="processes (default: this one alone)")
    add("--figure", type=Path, metavar="FILE", help="also draw the picture of the card, a JPEG")
    args = parser.parse_args(argv)
    options = Options(args.split, args.scenes, args.seed, args.scenarios, args.swap_sounds)
    manifest = build(args.out, args.source, options, args.num_workers)
    counts = manifest.counts
    print(
        f"{manifest.benchmark}, {args.split}: {counts['samples']} samples of {counts['groups']} images, "
        f"{counts['categories']} categories, {counts['blank_masks']} blank masks, written to {args.out}"
    )
    for scenario, number in Counter(entry.scenario for entry in manifest.samples.values()).items():
        print(f"  {scenario:<10}{number:>6}")
    if args.figure:
        with atomic_path(args.figure) as path:
            draw_figure(FolderDataset(args.out)).save(path, format="JPEG", quality=62, optimize=True)
    where = shlex.quote(str(args.out))
    print(
        f"next: {check_command(args.out)}\n"
        f"      python eval.py --methods cross_modal classify caption text_inversion --test_data_path {where}"
    )
    return manifest


if __name__ == "__main__":
    sys.exit(run_script(main))
