"""A dataset folder as samples: one image, one sound and one mask per stem (`datasets.layout` says which files)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from datasets.faults import check_command, count
from datasets.layout import read_layout
from datasets.manifest import read_manifest
from utils.errors import UserError
from utils.masks import read_mask, resize_mask
from utils.media import read_audio, read_image
from utils.types import Sample

__all__ = ["FolderDataset"]


class FolderDataset:
    """Samples of a folder in the project's layout, in the order of their stems; a map-style dataset for DataLoader.

    Attributes:
        root: the folder.
        layout: its files.
        manifest: what it says of itself; None where it says nothing. Samples carry nothing of it.
        ids: the stems, sorted.
        has_gt: whether there is ground truth.
    """

    def __init__(self, root: str | os.PathLike, limit: int | None = None) -> None:
        """Pairs the files without opening any.

        Args:
            root: a folder in the layout of `datasets.layout`.
            limit: keep only the first so many stems; None for all.

        Raises:
            UserError: a folder is missing or empty, or files cannot be paired; an import was not finished.
        """
        self.layout = read_layout(root)
        if self.layout.faults:
            first, *others = self.layout.faults
            more = (
                f" (and {count(len(others), 'further fault')}; {check_command(root)} names them all)" if others else ""
            )
            raise UserError(f"expected a dataset folder at {root}, found {first.text()}{more}")
        self.root = Path(root)
        self.manifest = read_manifest(self.root)
        self.has_gt = self.layout.has_gt
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
        image = read_image(self.layout.images[stem])
        waveform, sampling_rate = read_audio(self.layout.sounds[stem])
        gt_mask, gt_ignore = (
            _mask_of(files[stem], image.shape[:2]) if stem in files else None
            for files in (self.layout.masks, self.layout.ignores)
        )
        if gt_ignore is not None and gt_ignore.all():
            raise UserError(f"expected pixels that count in {self.layout.ignores[stem]}, found none; remove the sample")
        return Sample(stem, image, waveform, sampling_rate, gt_mask, gt_ignore)


def _mask_of(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool at the image's size."""
    mask = read_mask(path)
    if mask.shape == size:
        return mask
    if mask.shape == size[::-1]:
        raise UserError(
            f"expected the mask {path} to be {size[1]}x{size[0]} pixels like its upright image, "
            f"found {mask.shape[1]}x{mask.shape[0]}; rotate it as the image's EXIF orientation says"
        )
    return resize_mask(mask, size)
