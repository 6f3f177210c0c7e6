"""A dataset folder as samples: one image, one sound and one mask per stem (`datasets.layout` says which files)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datasets.findings import Finding, check_command, count
from datasets.layout import Layout, fingerprint, read_layout
from datasets.manifest import read_manifest
from datasets.masks import misfit, read_mask
from utils.errors import UserError
from utils.media.images import read_image_and_size, resize_mask
from utils.media.sounds import read_recording
from utils.scoring.sample_scores import EVAL_SIZE
from utils.types import Entry, Sample


class FolderDataset:
    """Samples of a folder in the project's layout, in the order of their stems; a map-style dataset.

    Attributes:
        root: the folder.
        layout: its files.
        manifest: what it says of itself, or its labels.csv; None where it says nothing. Samples carry nothing of it.
        limit: how many stems were asked for at most; None for all.
        skipped: stem -> why it is left out.
        ids: the other stems, sorted.
        has_gt: whether there is ground truth.
    """

    def __init__(
        self, root: str | os.PathLike, limit: int | None = None, skipped: Mapping[str, str] | None = None
    ) -> None:
        """Pairs the files without opening any; `skipped` has samples to be left out, and why.

        Raises:
            UserError: a folder is missing or empty, or files cannot be paired; an import was not finished.
        """
        self.layout = read_layout(root)
        if self.layout.faults:
            first, *others = self.layout.faults
            more = f" (and {count(len(others), 'further fault')}; {check_command(root)} names them all)"
            raise UserError(f"expected a dataset folder at {root}, found {first.text()}{more if others else ''}")
        self.root = Path(root)
        self.manifest = read_manifest(self.root, self.layout.files["images"])
        self.has_gt = self.layout.has_gt
        self.limit = limit
        self.skipped = dict(skipped or {})
        self.ids = [stem for stem in self.layout.stems[:limit] if stem not in self.skipped]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Reads one sample from disk.

        Returns:
            Sample with `gt_mask` and `gt_ignore` at the image's size (nearest neighbour where the file has another),
            None without ground truth, and without pixels to be ignored.

        Raises:
            UserError: a file has what `datasets.check` calls an error.
        """
        stem = self.ids[index]
        files = self.layout.files
        image, own_size = read_image_and_size(files["images"][stem])
        waveform, sampling_rate = self.read_sound(stem)
        gt_mask, gt_ignore = (
            _read_mask_of(own_size, files[role][stem]) if stem in files[role] else None for role in ("masks", "ignores")
        )
        entry = self.manifest and self.manifest.samples.get(stem)
        if entry and gt_mask is not None and entry.blank == gt_mask.any():
            said, found = ("no foreground", "some") if entry.blank else ("foreground", "none")
            raise UserError(
                f"expected {said} in the mask {files['masks'][stem]}, as {self.manifest.file} says, found {found}; "
                "the mask was changed: run the import again"
            )
        if gt_ignore is not None and resize_mask(gt_ignore, EVAL_SIZE).all():
            raise UserError(f"expected pixels that count in {files['ignores'][stem]}, found none; remove the sample")
        gt_mask, gt_ignore = (one if one is None else resize_mask(one, image.shape[:2]) for one in (gt_mask, gt_ignore))
        return Sample(stem, image, waveform, sampling_rate, gt_mask, gt_ignore, own_size)

    def read_sound(self, stem: str) -> tuple[np.ndarray, int]:
        """Reads the sound of one sample: waveform (T,) float32 mono in [-1, 1], and sampling rate in Hz.

        Raises:
            UserError: the file cannot be read, is cut, or holds no sample.
        """
        path = self.layout.files["sounds"][stem]
        recording = read_recording(path)
        if recording.missing or not len(recording.waveform):
            found = recording.missing or "not a single sample is"
            raise UserError(f"expected all of the sound {path}, found that {found} there; copy or download it again")
        return recording.waveform, recording.sampling_rate

    def entries(self, group_size: int | None = None) -> tuple[dict[str, Entry], str]:
        """What is known of each sample.

        Args:
            group_size: samples of a group, consecutive by name, where no manifest groups them; None for each by itself.

        Returns:
            entries: stem -> Entry; without a manifest only its group.
            unit: what a group is: "clip", "image", "video", "sample".

        Raises:
            UserError: a group size is given although the manifest groups the samples.
        """
        if self.manifest is not None:
            if group_size is not None:
                raise UserError(
                    "expected groups from --group_size or from the manifest, found both; "
                    f"{self.root / self.manifest.file} says what belongs together, so leave the option out"
                )
            return {stem: self.manifest.samples[stem] for stem in self.ids}, self.manifest.group_unit
        size, stems = group_size or 1, self.layout.stems  # with those left out, or who is beside whom would shift
        groups = {stem: stems[index - index % size] for index, stem in enumerate(stems)}
        return {stem: Entry(groups[stem]) for stem in self.ids}, "sample" if size == 1 else "clip"

    @cached_property
    def digests(self) -> dict[str, dict[str, str]]:
        """Stem -> FOLDER/NAME -> SHA-256, of the files of all samples."""
        return self.layout.digests(self.ids)

    def describe(self) -> dict[str, Any]:
        """Where the samples come from, for results.json."""
        manifest = self.manifest
        return {
            "path": str(self.root),
            "limit": self.limit,
            "contents_sha256": fingerprint(self.digests),
            "manifest": manifest
            and {
                "benchmark": manifest.benchmark,
                "options": manifest.options,
                "published": manifest.published,
                "differences": manifest.differences,
                "left_out": len(manifest.left_out),
                "sha256": hashlib.sha256((self.root / manifest.file).read_bytes()).hexdigest(),
            },
        }


def faults_of_samples(findings: Iterable[Finding], layout: Layout) -> tuple[dict[str, str], list[Finding]]:
    """Stem -> what is wrong with its files; and the findings that are of no sample, but of the folder."""
    stems = {
        path.relative_to(layout.root).as_posix(): stem for of in layout.files.values() for stem, path in of.items()
    }
    stems |= {stem: stem for stem in layout.stems}
    faults: dict[str, list[str]] = {}
    others = []
    for finding in findings:
        names = {name: stems.get(name, stems.get(name.split(": ")[0])) for name in finding.names}
        if not names or not set(names.values()) <= set(layout.stems):
            others.append(finding)
            continue
        for name, stem in names.items():
            faults.setdefault(stem, []).append(f"{finding.kind.replace('_', ' ')} ({name})")
    return {stem: "; ".join(of_stem) for stem, of_stem in sorted(faults.items())}, others


def _read_mask_of(image_size: tuple[int, int], path: Path) -> np.ndarray:
    """A mask (h, w) bool at its own size, for an image of (H, W) pixels; UserError where it does not lie over it."""
    mask = read_mask(path)
    problem = misfit(mask.shape, image_size)
    if problem in ("across", "of_other_shape"):
        turn = "rotate it as the image's EXIF orientation says"
        advice = turn if problem == "across" else "make it anew from the image in the folder"
        raise UserError(
            f"expected the mask {path} to be {image_size[1]}x{image_size[0]} pixels like its upright image, "
            f"found {mask.shape[1]}x{mask.shape[0]}; {advice}"
        )
    return mask
