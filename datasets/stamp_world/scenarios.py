"""What is in view and what is heard in a sample of Stamps-AVS: five scenarios, in a fixed cycle of ten samples.

    single      one of two or three things that can sound is heard; the mask is that thing
    pair        one image, two samples: two of its things are each heard once
    multi       two of three things that can sound are heard at once; the mask is both of them
    offscreen   something that is not in view is heard; the mask is blank
    silent      nothing is heard: digital silence and faint noise in turn; the mask is blank

Chance comes from the seed, the split and the sample's number alone, so a sample is the same however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from datasets.stamp_world.catalog import Kind
from datasets.stamp_world.scenes import CANVASES, SPLITS, Scene, scene
from datasets.stamp_world.sounds import digital_silence, faint_noise, mixture, sound
from utils.types import Entry

__all__ = ["SCENARIOS", "Composed", "Unit", "World", "compose", "units"]

SCENARIOS = ("single", "pair", "multi", "offscreen", "silent")
CYCLE = ("single", "pair", "pair", "single", "multi", "single", "offscreen", "multi", "single", "silent")


@dataclass(frozen=True)
class World:
    """What every sample of a set has in common.

    Attributes:
        root: unpacked packages.
        split: one of SPLITS.
        seed: of the whole set.
        swap_sounds: in `single`, plays the sound of another thing in view; "keep" leaves the mask as it was, so that a
            method that listens fails, "move" puts it on the thing that is played; None swaps nothing.
    """

    root: Path
    split: str
    seed: int
    swap_sounds: Literal["keep", "move"] | None = None

    @property
    def sound_split(self) -> str:
        """ "train" or "test": other photographs of a kind come with the held-out variations of its one recording."""
        return "train" if self.split == "train" else "test"

    def rng(self, index: int, *purpose: int) -> np.random.Generator:
        """The chance of one sample; each purpose, numbered from 1, has its own."""
        return np.random.default_rng([self.seed, 1000 + SPLITS.index(self.split), index, *purpose])


@dataclass(frozen=True)
class Unit:
    """Samples that share an image.

    Attributes:
        scenario: one of SCENARIOS.
        index: number of the first sample.
        turn: how many units of the scenario come before.
    """

    scenario: str
    index: int
    turn: int

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of its samples, which say nothing of what sounds."""
        return tuple(f"scene_{self.index + k:04d}" for k in range(2 if self.scenario == "pair" else 1))


@dataclass(frozen=True, eq=False)
class Composed:
    """One sample, ready to be written.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        make_waveform: (T,) float32 at SAMPLING_RATE; made when asked for, once, because it takes longest.
        entry: for the manifest.
    """

    image: np.ndarray
    mask: np.ndarray
    make_waveform: Callable[[], np.ndarray]
    entry: Entry


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
    width, height = CANVASES[unit.index % len(CANVASES)]
    drawn = scene(rng, world.root, world.split, 2 + unit.index % 2, unit.index // 2 % 2, width, height)
    played = truth = drawn.sounding
    if world.swap_sounds:
        others = [i for i, thing in enumerate(drawn.objects) if thing.kind.sounds and i != drawn.sounding]
        played = others[rng.integers(len(others))]
        truth = played if world.swap_sounds == "move" else truth
    kind = drawn.objects[played].kind
    return [_composed(unit, drawn, [kind], [truth], lambda: sound(rng, kind, world.root, world.sound_split))]


def _pair(unit: Unit, world: World) -> list[Composed]:
    drawn = _scene(world.rng(unit.index, 1), world, heard=2)
    return [
        _composed(
            unit,
            drawn,
            [drawn.objects[thing].kind],
            [thing],
            lambda thing=thing, k=k: sound(
                world.rng(unit.index, 2, k), drawn.objects[thing].kind, world.root, world.sound_split
            ),
        )
        for k, thing in enumerate(drawn.planned[:2])
    ]


def _multi(unit: Unit, world: World) -> list[Composed]:
    rng = world.rng(unit.index, 3)
    drawn = _scene(rng, world, sounding=3, heard=2)
    kinds = [drawn.objects[thing].kind for thing in drawn.planned[:2]]
    return [
        _composed(unit, drawn, kinds, drawn.planned[:2], lambda: mixture(rng, kinds, world.root, world.sound_split))
    ]


def _offscreen(unit: Unit, world: World) -> list[Composed]:
    rng = world.rng(unit.index, 4)
    drawn = _scene(rng, world, sounding=2, offscreen=1)
    (kind,) = drawn.offscreen
    return [_composed(unit, drawn, [kind], [], lambda: sound(rng, kind, world.root, world.sound_split))]


def _silent(unit: Unit, world: World) -> list[Composed]:
    rng = world.rng(unit.index, 5)
    drawn = _scene(rng, world)
    waveform = faint_noise(rng, world.sound_split) if unit.turn % 2 else digital_silence(rng)
    return [_composed(unit, drawn, [], [], lambda: waveform)]


_COMPOSERS = {"single": _single, "pair": _pair, "multi": _multi, "offscreen": _offscreen, "silent": _silent}


def _scene(
    rng: np.random.Generator, world: World, sounding: int | None = None, heard: int = 1, offscreen: int = 0
) -> Scene:
    """A scene of any canvas, with a distractor in every other one; of two or three things that can sound by default."""
    width, height = CANVASES[rng.integers(len(CANVASES))]
    sounding = sounding or int(rng.integers(2, 4))
    distractors = int(rng.integers(0, 2))
    return scene(rng, world.root, world.split, sounding, distractors, width, height, heard, offscreen)


def _composed(
    unit: Unit,
    drawn: Scene,
    played: Sequence[Kind],
    truth: Sequence[int],
    make_waveform: Callable[[], np.ndarray],
) -> Composed:
    """A sample of a drawn scene: which kinds are heard, and which of its objects (indices) the mask covers."""
    mask = np.isin(drawn.label_map, truth)
    in_view = {thing.kind for thing in drawn.objects}
    objects = [
        {"noun": thing.kind.noun, "stamp": thing.stamp, "sounds": bool(thing.kind.sounds)} for thing in drawn.objects
    ]
    details = {
        "objects": objects,
        "played": [kind.noun for kind in played],
        "masked": [drawn.objects[i].kind.noun for i in truth],
    }
    categories = tuple(kind.noun for kind in played if kind in in_view)
    entry = Entry(unit.stems[0], categories, unit.scenario, not mask.any(), details)
    return Composed(drawn.image, mask, make_waveform, entry)
