"""What is in view and what is heard in a sample of Stamps-AVS: five scenarios, in a fixed cycle of ten samples.

    single      one of two or three things that can sound is heard; the mask is that thing
    pair        one image, two samples: two of its things are each heard once
    multi       two of three things that can sound are heard at once; the mask is both of them
    offscreen   something that is not in view is heard; the mask is blank
    silent      nothing is heard: digital silence and faint noise in turn; the mask is blank

Chance comes from the seed, the split and the sample's number alone, so a sample is the same however many there are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from PIL import Image
from tqdm import tqdm

from datasets.batches import parallel_map
from datasets.manifest import Manifest, begin_folder, finish_folder
from datasets.stamp_world.catalog import Kind
from datasets.stamp_world.scenes import CANVASES, SPLITS, Cast, Scene, scene
from datasets.stamp_world.sounds import SAMPLING_RATE, digital_silence, faint_noise, mixture, sound
from utils.errors import UserError
from utils.files import atomic_path
from utils.media.drawing import grey, save_png
from utils.types import Entry

SCENARIOS = ("single", "pair", "multi", "offscreen", "silent")
CYCLE = ("single", "pair", "pair", "single", "multi", "single", "offscreen", "multi", "single", "silent")


@dataclass(frozen=True)
class World:
    """What every sample of a set has in common.

    `swap_sounds`: in `single`, plays the sound of another thing in view; "keep" leaves the mask as it was, so that a
    method that listens fails, "move" puts it on the thing that is played; None swaps nothing.
    """

    root: Path  # of the unpacked packages
    split: str  # one of SPLITS
    seed: int  # of the whole set
    swap_sounds: Literal["keep", "move"] | None = None

    def rng(self, index: int, *purpose: int) -> np.random.Generator:
        """The chance of one sample; each purpose, numbered from 1, has its own."""
        return np.random.default_rng([self.seed, 1000 + SPLITS.index(self.split), index, *purpose])


@dataclass(frozen=True)
class Unit:
    """Samples that share an image."""

    scenario: str  # one of SCENARIOS
    index: int  # number of the first sample
    turn: int  # how many units of the scenario come before

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of its samples, which say nothing of what sounds."""
        return tuple(f"scene_{self.index + k:04d}" for k in range(2 if self.scenario == "pair" else 1))


@dataclass(frozen=True, eq=False)
class Composed:
    """One sample, ready to be written."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    mask: np.ndarray  # (H, W) bool
    make_waveform: Callable[[], np.ndarray]  # (T,) float32 at SAMPLING_RATE; called once, because it takes longest
    entry: Entry  # for the manifest


def units(samples: int, scenarios: Sequence[str] = SCENARIOS) -> Iterator[Unit]:
    """Fills a number of samples with the cycle of those scenarios; a pair cut in half at the end becomes a single."""
    cycle = [scenario for scenario in CYCLE if scenario in scenarios]
    turns: Counter[str] = Counter()
    index = 0
    while index < samples:
        scenario = cycle[index % len(cycle)]
        if scenario == "pair" and index + 1 == samples:
            scenario = "single"
        unit = Unit(scenario, index, turns[scenario])
        yield unit
        turns[scenario] += 1
        index += len(unit.stems)


def compose(unit: Unit, world: World) -> list[Composed]:
    """The samples of a unit, one per stem."""
    return _COMPOSERS[unit.scenario](unit, world)


def _single(unit: Unit, world: World) -> list[Composed]:
    rng = world.rng(unit.index)
    cast = Cast(sounding=2 + unit.index % 2, silent=unit.index // 2 % 2)
    drawn = scene(rng, world.root, world.split, CANVASES[unit.index % len(CANVASES)], cast)
    played = truth = drawn.planned[0]
    if world.swap_sounds:
        others = [i for i, thing in enumerate(drawn.objects) if thing.kind.sounds and i != played]
        played = others[rng.integers(len(others))]
        truth = played if world.swap_sounds == "move" else truth
    kind = drawn.objects[played].kind
    return [_composed(unit, drawn, [kind], [truth], lambda: sound(rng, kind, world.root, world.split))]


def _pair(unit: Unit, world: World) -> list[Composed]:
    drawn = _scene(world.rng(unit.index, 1), world, heard=2)

    def heard(k: int, thing: int) -> Composed:
        rng, kind = world.rng(unit.index, 2, k), drawn.objects[thing].kind
        return _composed(unit, drawn, [kind], [thing], lambda: sound(rng, kind, world.root, world.split))

    return [heard(k, thing) for k, thing in enumerate(drawn.planned[:2])]


def _multi(unit: Unit, world: World) -> list[Composed]:
    rng = world.rng(unit.index, 3)
    drawn = _scene(rng, world, sounding=3, heard=2)
    truth = drawn.planned[:2]
    kinds = [drawn.objects[thing].kind for thing in truth]
    return [_composed(unit, drawn, kinds, truth, lambda: mixture(rng, kinds, world.root, world.split))]


def _offscreen(unit: Unit, world: World) -> list[Composed]:
    rng = world.rng(unit.index, 4)
    drawn = _scene(rng, world, sounding=2, offscreen=1)
    (kind,) = drawn.offscreen
    return [_composed(unit, drawn, [kind], [], lambda: sound(rng, kind, world.root, world.split))]


def _silent(unit: Unit, world: World) -> list[Composed]:
    rng = world.rng(unit.index, 5)
    drawn = _scene(rng, world)
    waveform = faint_noise(rng, world.split) if unit.turn % 2 else digital_silence(rng)
    return [_composed(unit, drawn, [], [], lambda: waveform)]


_COMPOSERS = {"single": _single, "pair": _pair, "multi": _multi, "offscreen": _offscreen, "silent": _silent}


def _scene(rng: np.random.Generator, world: World, sounding: int | None = None, **others: int) -> Scene:
    """A scene of any canvas, with a distractor in every other one; of two or three things that can sound by default."""
    canvas = CANVASES[rng.integers(len(CANVASES))]
    sounding = sounding or int(rng.integers(2, 4))
    return scene(rng, world.root, world.split, canvas, Cast(sounding, silent=int(rng.integers(0, 2)), **others))


def _composed(
    unit: Unit, drawn: Scene, played: Sequence[Kind], truth: Sequence[int], make_waveform: Callable[[], np.ndarray]
) -> Composed:
    """A sample of a drawn scene: which kinds are heard, and which of its objects (indices) the mask covers."""
    mask = np.isin(drawn.label_map, truth)
    in_view = {thing.kind for thing in drawn.objects}
    details = {
        "objects": [
            {"noun": one.kind.noun, "stamp": one.stamp, "sounds": bool(one.kind.sounds)} for one in drawn.objects
        ],
        "played": [kind.noun for kind in played],
        "masked": [drawn.objects[i].kind.noun for i in truth],
    }
    categories = tuple(kind.noun for kind in played if kind in in_view)
    entry = Entry(unit.stems[0], categories, unit.scenario, not mask.any(), details)
    return Composed(drawn.image, mask, make_waveform, entry)


def write_samples(
    samples: Sequence[Unit], world: World, manifest: Manifest, out: Path, num_workers: int = 0
) -> Manifest:
    """Writes samples and their manifest into the folder `out`, whole files only, and returns that as written.

    Files that are there already are kept; the bytes are the same for any number of processes.

    Raises:
        UserError: the folder was begun with another manifest, or cannot be written to.
    """

    def check(there: Manifest) -> None:
        for what in ("benchmark", "options", "source"):
            wanted, found = (json.dumps(getattr(one, what)) for one in (manifest, there))
            if wanted != found:
                raise UserError(
                    f"expected a folder begun with the {what} {wanted} at {out}, found {found}; choose another --out"
                )

    begin_folder(manifest, out, check)
    entries: dict[str, Entry] = {}
    with tqdm(total=sum(len(unit.stems) for unit in samples), unit="sample") as progress:
        for written in parallel_map(_write_unit, [(unit, world, out) for unit in samples], num_workers):
            entries |= written
            progress.update(len(written))
    manifest = replace(manifest, samples=entries)
    finish_folder(manifest, out)
    return manifest


def _write_unit(job: tuple[Unit, World, Path]) -> dict[str, Entry]:
    """Writes what is not there yet; stem -> entry of all."""
    unit, world, out = job
    entries = {}
    for stem, sample in zip(unit.stems, compose(unit, world), strict=True):
        image, wav, mask = out / f"image/{stem}.jpg", out / f"wav/{stem}.wav", out / f"gt_seg/{stem}.png"
        if not image.exists():
            with atomic_path(image) as path:
                Image.fromarray(sample.image).save(path, format="JPEG", quality=90)
        if not mask.exists():
            save_png(grey(sample.mask), mask)
        if not wav.exists():
            with atomic_path(wav) as path:
                soundfile.write(path, sample.make_waveform(), SAMPLING_RATE, format="WAV", subtype="PCM_16")
        entries[stem] = sample.entry
    return entries
