"""The values that travel between the folders: what comes in, what is asked, what comes out.

Conventions:
    image: (H, W, 3) uint8 RGB.
    waveform: (T,) float32 mono in [-1, 1] at `sampling_rate` Hz.
    mask: (H, W) bool, True where the sounding object is.
    score_map: (H, W) float32 in [0, 1], in the image's own pixel frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with the sound heard over it.

    Attributes:
        id: unique name within its dataset (the file stem).
        image: (H, W, 3) uint8 RGB.
        waveform: (T,) float32 mono in [-1, 1]; T may be 0.
        sampling_rate: Hz, positive.
        gt_mask: (H, W) bool ground truth, or None. Only metrics may read it; methods are given samples without it.
        gt_ignore: (H, W) bool, pixels that no score may count, or None for none; kept from methods like `gt_mask`.
        own_size: (H, W) of the picture in its file, of which `image` may be a reduced copy; None for that of `image`.
    """

    id: str
    image: np.ndarray
    waveform: np.ndarray
    sampling_rate: int
    gt_mask: np.ndarray | None = None
    gt_ignore: np.ndarray | None = None
    own_size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Query:
    """One thing a segmenter is asked to find.

    Attributes:
        text: what a text-conditioned segmenter is asked, e.g. "A photo of guitar".
        score: the method's confidence that this is what sounds, finite; higher is better.
        embedding: (D,) float32 in the segmenter's own text space, to use in place of `text`; None for text.
        wider: what is asked besides where `text` finds nothing: "A photo of person" for a man; None for nothing.
    """

    text: str
    score: float = 1.0
    embedding: np.ndarray | None = None
    wider: str | None = None


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a method wants segmented in one sample, and why.

    Attributes:
        queries: best first; empty where the method found nothing to ask for.
        trail: JSON-serialisable record of how it got there (caption, candidates with scores, query, reason).
    """

    queries: tuple[Query, ...] = ()
    trail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a method answers for one sample.

    Attributes:
        score_map: (H, W) float32 in [0, 1] in the image's own pixel frame; all zero where nothing was found.
        queries: what the segmenter was asked; empty where the method found nothing to ask for.
        trail: JSON-serialisable record of how the answer came about (caption, candidates, query, reason, seconds).
    """

    score_map: np.ndarray
    queries: tuple[Query, ...] = ()
    trail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """What is known of one sample beside its files.

    Attributes:
        group: samples of one group are not independent: the clip of a frame, the image of a pair.
        categories: what sounds, by the dataset's own names; several where several things sound, empty where unknown
            or where nothing in view sounds.
        scenario: how the sample came about ("single", "multi", "offscreen", ...); "" where the dataset has one kind.
        blank: whether the mask has no foreground.
        details: whatever else the dataset says of it; JSON-serialisable.
    """

    group: str
    categories: tuple[str, ...] = ()
    scenario: str = ""
    blank: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
