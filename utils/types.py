"""The values that travel between the folders: what comes in, what is asked, what comes out.

Conventions:
    image: (H, W, 3) uint8 RGB.
    waveform: (T,) float32 mono in [-1, 1] at `sampling_rate` Hz.
    mask: (H, W) bool, True where the sounding object is.
    score_map: (H, W) float32 in [0, 1], in the image's own pixel frame.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.files import digest, make_folder
from utils.media.drawing import captioned, draw_overlay, grey, save_pictures, shades, side_by_side
from utils.media.images import resize_mask, resize_score_map

Pair = tuple[Path, Path]  # of an image and a sound


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

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the picture in its file."""
        return self.own_size or self.image.shape[:2]


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


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """What a method made of one picture and one sound, to look at and to go on with.

    Attributes:
        method: its name.
        sample: the picture and the sound.
        prediction: what the method answered, at the size that is worked on.
        mask: (H, W) bool, at the picture's own size.
        caption: what was asked for, and whether nothing came of it.
        made_of: digits that differ where the method, its networks, a setting, the picture or the sound do.
        near_miss: what was nearly found and what to try, label -> text; empty where something was found.
        files: what is saved of it, see `save`; empty where nothing is.
    """

    method: str
    sample: Sample
    prediction: Prediction
    mask: np.ndarray
    caption: str
    made_of: str
    near_miss: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def score_map(self) -> np.ndarray:
        """(H, W) float32 in [0, 1], at the picture's own size; the mask is where it is above the threshold."""
        return resize_score_map(self.prediction.score_map, self.mask.shape)

    @property
    def trail(self) -> dict[str, Any]:
        """How the answer came about, see `utils.trails`."""
        return self.prediction.trail

    @property
    def queries(self) -> tuple[Query, ...]:
        """What the segmenter was asked."""
        return self.prediction.queries

    @property
    def overlay(self) -> Image.Image:
        """The mask over its picture, at the size that is worked on (RGB)."""
        image = self.sample.image
        return draw_overlay(image, resize_mask(self.mask, image.shape[:2]), self.prediction.score_map)

    @property
    def picture(self) -> Image.Image:
        """The overlay with the caption below, by which it is taller (RGB)."""
        return captioned(self.overlay, f"{self.method}: {self.caption}")

    def save(self, folder: str | os.PathLike) -> Answer:
        """Saves "overlay" (the picture), "mask" and "score_map" as NAME_METHOD_mask.png and so on in a folder.

        What is there of another answer stays: the files then have some digits in their names.

        Returns:
            The same answer with `files`: kind -> path.
        """
        scores = Image.fromarray(resize_score_map(self.prediction.score_map, self.mask.shape, shades))
        pictures = {"overlay": self.picture, "mask": grey(self.mask), "score_map": scores}
        make_folder(Path(folder))
        files = save_pictures(pictures, Path(folder), self.sample.id, f"_{self.method}", self.made_of)
        return replace(self, files=files)

    def show(self) -> None:
        """Shows the picture: in a notebook below the cell, elsewhere in the system's viewer."""
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if hasattr(shell, "kernel"):
            import_module("IPython.display").display(self.picture)
        else:
            self.picture.show()

    def _repr_png_(self) -> bytes:
        """What a notebook shows of it."""
        file = BytesIO()
        self.picture.save(file, format="PNG")
        return file.getvalue()

    def __repr__(self) -> str:
        (height, width), share = self.mask.shape, self.mask.mean()
        return f"<Answer of {self.method}: {self.caption}; {share:.1%} of {width} x {height} pixels>"


@dataclass(frozen=True, eq=False)
class Demo:
    """What the methods made of one picture and one sound.

    Attributes:
        paths: of the two.
        answers: method name -> its answer, saved (`files`), in the order asked for.
        comparison: path of the picture with all methods side by side; None for one method.
    """

    paths: Pair
    answers: Mapping[str, Answer]
    comparison: Path | None


def save_comparison(sample: Sample, answers: Mapping[str, Answer], folder: Path) -> Path | None:
    """Writes the image and every method's overlay as one picture; returns its path, None for one method."""
    if len(answers) == 1:
        return None
    pictures = [("image", Image.fromarray(sample.image))]
    pictures += [(f"{name}\n{answer.caption}", answer.overlay) for name, answer in answers.items()]
    made_of = digest(*(answer.made_of for answer in answers.values()))
    return save_pictures({"comparison": side_by_side(pictures)}, folder, sample.id, "", made_of)["comparison"]


@dataclass(frozen=True)
class Entry:
    """What is known of one sample beside its files.

    Attributes:
        group: samples of one group are not independent: the clip of a frame, the image of a pair.
        categories: what sounds, by the dataset's own names; several where several things sound, empty where unknown
            or where nothing in view sounds.
        scenario: how the sample came about ("single", "multi", "offscreen", ...); "" where the dataset has one kind.
        blank: whether the mask has no foreground; None where only the mask says so.
        details: whatever else the dataset says of it; JSON-serialisable.
    """

    group: str
    categories: tuple[str, ...] = ()
    scenario: str = ""
    blank: bool | None = False
    details: Mapping[str, Any] = field(default_factory=dict)
