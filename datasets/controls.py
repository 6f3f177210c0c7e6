"""Audio controls: the same images with another sound, to see whether the sound matters.

    original    as it is
    silence     nothing at all, as long
    noise       white noise of the same loudness and length
    swap        the sound of another sample of the same group where it has another one (the other thing of an image),
                else of a sample that is known to sound different
    offscreen   the sound of something that is not known to be in view

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

from datasets.folder import FolderDataset
from utils.errors import UserError
from utils.types import Entry, Sample

CONTROLS = ("original", "silence", "noise", "swap", "offscreen")


class AudioControls:
    """Gives samples of a dataset another sound.

    Attributes:
        names: the controls, in the order asked for, "original" first.
        donors: control -> stem -> stem whose sound it is given; for swap and offscreen.
    """

    def __init__(self, dataset: FolderDataset, names: Sequence[str], seed: int = 0) -> None:
        """Chooses who is given whose sound.

        Raises:
            UserError: there is no such control, the dataset does not say what sounds, or nothing else does.
        """
        unknown = [name for name in names if name not in CONTROLS]
        if unknown:
            raise UserError(f'there is no audio control "{unknown[0]}"; choose from: {", ".join(CONTROLS)}')
        self.names = tuple(dict.fromkeys(("original", *names)))
        self._dataset, self._seed = dataset, seed
        self.donors = {name: self._donors(name) for name in self.names if name in ("swap", "offscreen")}

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

    def _noise(self, sample: Sample) -> np.ndarray:
        loudness = np.sqrt(np.mean(np.square(sample.waveform, dtype=np.float64))) if len(sample.waveform) else 0.0
        noise = self._rng("noise", sample.id).standard_normal(len(sample.waveform)) * loudness
        return noise.clip(-1, 1).astype(np.float32)

    def _donors(self, control: str) -> dict[str, str]:
        manifest = self._dataset.manifest
        if manifest is None or not any(entry.categories for entry in manifest.samples.values()):
            raise UserError(
                f"the audio control {control} needs to know what sounds in each sample, found no categories in "
                f"{self._dataset.root}; import the data set with a module of datasets/, or leave the control out"
            )
        entries = {stem: manifest.samples[stem] for stem in self._dataset.ids}
        sounding = [stem for stem, entry in entries.items() if entry.categories and not entry.blank]
        groups, in_view = defaultdict(list), defaultdict(set)
        for stem in sounding:
            groups[entries[stem].group].append(stem)
        for entry in manifest.samples.values():
            in_view[entry.group] |= _in_view(entry)
        donors = {}
        for stem, entry in entries.items():
            avoided = in_view[entry.group] if control == "offscreen" else set(entry.categories)
            for pool in (groups[entry.group], sounding) if control == "swap" else (sounding,):
                if fitting := [one for one in pool if avoided.isdisjoint(entries[one].categories)]:
                    break
            if not fitting:
                raise UserError(
                    f"the audio control {control} needs a sound of something else for {stem}, found none among "
                    f"{len(entries)} samples; take more samples, or leave the control out"
                )
            donors[stem] = fitting[self._rng(control, stem).integers(len(fitting))]
        return donors

    def _rng(self, control: str, stem: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._seed}|{control}|{stem}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _in_view(entry: Entry) -> set[str]:
    """Everything the manifest knows to be in view, heard or not."""
    objects = entry.details.get("objects", ())
    return {*entry.categories, *(one["noun"] for one in objects if isinstance(one, dict) and "noun" in one)}
