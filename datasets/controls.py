"""Audio controls: the same images with another sound, to see whether the sound matters.

    original    as it is
    silence     nothing at all, as long
    noise       white noise of the same loudness and length
    swap        the sound of another sample of the same group where it has another one (the other thing of an image),
                else of a sample that is known to sound different; where no manifest says what sounds, the sound of a
                sample of another group, from another file, which may be of the same kind
    offscreen   the sound of something that is not known to be in view; needs a manifest that says what sounds

Everything follows from a seed and the sample's name: neither the order nor the batch nor the other controls matter.
What sounds is taken from the manifest, which no method sees. The ground truth stays that of the original sound: under
every control but `original` a method that listens has to lose it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datasets.findings import count
from datasets.folder import FolderDataset
from datasets.layout import SOUND_FOLDER
from utils.errors import UserError
from utils.types import Entry, Sample

CONTROLS = ("original", "silence", "noise", "swap", "offscreen")
OF_OTHERS = CONTROLS[3:]  # give a sample the sound of another one


class AudioControls:
    """Gives samples of a dataset another sound.

    Attributes:
        names: the controls, in the order asked for, "original" first.
        donors: control -> stem -> stem whose sound it is given; for swap and offscreen.
        refused: control -> why this dataset cannot have it, asked for or not.
    """

    def __init__(
        self, dataset: FolderDataset, names: Sequence[str], seed: int = 0, group_size: int | None = None
    ) -> None:
        """Chooses who is given whose sound; `group_size` is that of `FolderDataset.entries`.

        Raises:
            UserError: there is no such control, or the dataset cannot have it.
        """
        unknown = [name for name in names if name not in CONTROLS]
        if unknown:
            raise UserError(f'there is no audio control "{unknown[0]}"; choose from: {", ".join(CONTROLS)}')
        self.names = tuple(dict.fromkeys(("original", *names)))
        self._dataset, self._seed = dataset, seed
        entries, _ = dataset.entries(group_size)
        described = list(dataset.manifest.samples.values()) if dataset.manifest else []
        in_view = defaultdict(set)
        for entry in described:
            in_view[entry.group] |= _in_view(entry)
        self._groups = {stem: entry.group for stem, entry in entries.items()}
        if any(entry.categories for entry in described):
            self._kinds = {s: entry.categories for s, entry in entries.items() if entry.categories and not entry.blank}
            self._avoided = {
                "swap": {stem: frozenset(entry.categories) for stem, entry in entries.items()},
                "offscreen": {stem: frozenset(in_view[entry.group]) for stem, entry in entries.items()},
            }
        else:  # then a sound is of the kind of its file and of its group
            self._kinds = {stem: (self._sound(stem), f"group {group}") for stem, group in self._groups.items()}
            self._avoided = {"swap": {stem: frozenset(kinds) for stem, kinds in self._kinds.items()}}
        self.refused = {name: reason for name in OF_OTHERS if (reason := self._refusal(name))}
        if reasons := [self.refused[name] for name in self.names if name in self.refused]:
            raise UserError(reasons[0])
        self.donors = {name: self._donors(name) for name in self.names if name in OF_OTHERS}

    def apply(self, control: str, sample: Sample) -> Sample:
        """The sample as it is heard under a control; its image and ground truth stay.

        Raises:
            UserError: the donor's sound cannot be read.
        """
        if control == "original":
            return sample
        if control == "silence":
            return replace(sample, waveform=np.zeros_like(sample.waveform))
        if control == "noise":
            return replace(sample, waveform=self._noise(sample))
        waveform, sampling_rate = self._dataset.read_sound(self.donors[control][sample.id])
        return replace(sample, waveform=waveform, sampling_rate=sampling_rate)

    def given(self, stem: str) -> dict[str, list]:
        """Control -> whose sound it gives a sample, and the digest of that file; for swap and offscreen."""
        donors = {control: of_control[stem] for control, of_control in self.donors.items()}
        return {control: [one, self._sound(one)] for control, one in donors.items()}

    def _noise(self, sample: Sample) -> np.ndarray:
        loudness = np.sqrt(np.mean(np.square(sample.waveform, dtype=np.float64))) if len(sample.waveform) else 0.0
        noise = self._rng("noise", sample.id).standard_normal(len(sample.waveform)) * loudness
        return noise.clip(-1, 1).astype(np.float32)

    def _refusal(self, control: str) -> str | None:
        if control not in self._avoided:
            return (
                f"the audio control {control} needs to know what sounds in each sample, found no categories in "
                f"{self._dataset.root}; import the data set with a module of datasets/, write what sounds in each to "
                "labels.csv (columns stem and category), or leave the control out"
            )
        kinds, avoided = set(self._kinds.values()), self._avoided[control]
        alone = next((stem for stem in avoided if not any(map(avoided[stem].isdisjoint, kinds))), None)
        return alone and (
            f"the audio control {control} needs a sound of something else for {alone}, found none among "
            f"{count(len(avoided), 'sample')}; take more samples, or leave the control out"
        )

    def _donors(self, control: str) -> dict[str, str]:
        pool, beside, sounding, donors = list(self._kinds), defaultdict(list), defaultdict(list), {}
        for place, stem in enumerate(pool):
            beside[self._groups[stem]].append(place)
            for kind in self._kinds[stem]:
                sounding[kind].append(place)
        for stem, avoided in self._avoided[control].items():
            fits = np.ones(len(pool), bool)
            for kind in avoided:
                fits[sounding[kind]] = False
            near = [place for place in beside[self._groups[stem]] if fits[place]] if control == "swap" else []
            fitting = near or np.flatnonzero(fits)
            donors[stem] = pool[fitting[self._rng(control, stem).integers(len(fitting))]]
        return donors

    def _sound(self, stem: str) -> str:
        """The digest of a sample's sound."""
        digests = self._dataset.digests[stem].items()
        return next(digest for name, digest in digests if name.startswith(f"{SOUND_FOLDER}/"))

    def _rng(self, control: str, stem: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._seed}|{control}|{stem}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _in_view(entry: Entry) -> set[str]:
    """Everything the manifest knows to be in view, heard or not."""
    objects = entry.details.get("objects")
    nouns = (one.get("noun") for one in objects if isinstance(one, dict)) if isinstance(objects, list) else ()
    return {*entry.categories, *(noun for noun in nouns if isinstance(noun, str))}
