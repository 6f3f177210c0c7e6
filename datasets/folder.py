"""A dataset folder as samples: one image, one sound and one mask per stem (`datasets.layout` says which files)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from datasets.findings import check_command, count
from datasets.layout import read_layout
from datasets.manifest import MANIFEST, read_manifest
from utils.errors import UserError
from utils.media.images import read_image, read_mask, resize_mask
from utils.media.sounds import read_audio
from utils.types import Entry, Sample


class FolderDataset:
    """Samples of a folder in the project's layout, in the order of their stems; a map-style dataset for DataLoader.

    Attributes:
        root: the folder.
        layout: its files.
        manifest: what it says of itself; None where it says nothing. Samples carry nothing of it.
        limit: how many stems were asked for at most; None for all.
        ids: the stems, sorted.
        has_gt: whether there is ground truth.
    """

    def __init__(self, root: str | os.PathLike, limit: int | None = None) -> None:
        """Pairs the files without opening any.

        Raises:
            UserError: a folder is missing or empty, or files cannot be paired; an import was not finished.
        """
        self.layout = read_layout(root)
        if self.layout.faults:
            first, *others = self.layout.faults
            more = f" (and {count(len(others), 'further fault')}; {check_command(root)} names them all)"
            raise UserError(f"expected a dataset folder at {root}, found {first.text()}{more if others else ''}")
        self.root = Path(root)
        self.manifest = read_manifest(self.root)
        self.has_gt = self.layout.has_gt
        self.limit = limit
        self.ids = self.layout.stems[:limit]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Reads one sample from disk.

        Returns:
            Sample with `gt_mask` and `gt_ignore` at the image's size (nearest neighbour where the file has another),
            None without ground truth, and without pixels to be ignored.

        Raises:
            UserError: a file cannot be read, or the mask lies across the image.
        """
        stem = self.ids[index]
        files = self.layout.files
        image = read_image(files["images"][stem])
        waveform, sampling_rate = self.read_sound(stem)
        gt_mask, gt_ignore = (
            _read_mask_of(image, files[role][stem]) if stem in files[role] else None for role in ("masks", "ignores")
        )
        if gt_ignore is not None and gt_ignore.all():
            raise UserError(f"expected pixels that count in {files['ignores'][stem]}, found none; remove the sample")
        return Sample(stem, image, waveform, sampling_rate, gt_mask, gt_ignore)

    def read_sound(self, stem: str) -> tuple[np.ndarray, int]:
        """Reads the sound of one sample: waveform (T,) float32 mono in [-1, 1], and sampling rate in Hz.

        Raises:
            UserError: the file cannot be read.
        """
        return read_audio(self.layout.files["sounds"][stem])

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
                    f"expected groups from --group_size or from the manifest, found both; {self.root / MANIFEST} says "
                    "what belongs together, so leave the option out"
                )
            return {stem: self.manifest.samples[stem] for stem in self.ids}, self.manifest.group_unit
        size = group_size or 1
        entries = {stem: Entry(self.ids[index - index % size]) for index, stem in enumerate(self.ids)}
        return entries, "sample" if size == 1 else "clip"

    def describe(self) -> dict[str, Any]:
        """Where the samples come from, for results.json."""
        manifest = self.manifest
        return {
            "path": str(self.root),
            "limit": self.limit,
            "files_sha256": self.layout.fingerprint(self.ids),
            "manifest": manifest
            and {
                "benchmark": manifest.benchmark,
                "options": manifest.options,
                "published": manifest.published,
                "differences": manifest.differences,
                "left_out": len(manifest.left_out),
                "sha256": hashlib.sha256((self.root / MANIFEST).read_bytes()).hexdigest(),
            },
        }


def _read_mask_of(image: np.ndarray, path: Path) -> np.ndarray:
    """A mask (H, W) bool at the size of its image (H, W, 3)."""
    mask, size = read_mask(path), image.shape[:2]
    if mask.shape == size:
        return mask
    if mask.shape == size[::-1]:
        raise UserError(
            f"expected the mask {path} to be {size[1]}x{size[0]} pixels like its upright image, "
            f"found {mask.shape[1]}x{mask.shape[0]}; rotate it as the image's EXIF orientation says"
        )
    return resize_mask(mask, size)
