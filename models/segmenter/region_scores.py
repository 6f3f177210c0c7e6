"""What CLIP is shown of a region, and what it makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from models.network import MAX_BATCH
from models.segmenter.crops import BACKGROUNDS, cut, mute_background, squares_around
from models.segmenter.open_clip import ClipScorer
from models.segmenter.segment_anything import Proposals
from utils.errors import UserError


@dataclass(frozen=True)
class Views:
    """A square crop with some context, and the same crop with its background muted.

    Attributes:
        crop_weight, mask_weight: of the two; 0 saves that pass.
        context: margin around a region, as a share of its longer side.
        background: how it is muted, see `models/segmenter/crops.py`.

    Raises:
        UserError: a value is out of its range.
    """

    crop_weight: float
    mask_weight: float
    context: float
    background: str

    def __post_init__(self) -> None:
        if min(self.crop_weight, self.mask_weight) < 0 or not self.crop_weight + self.mask_weight:
            raise UserError(
                "expected crop_weight and mask_weight to be 0 or more and not both 0, found "
                f"{self.crop_weight:g} and {self.mask_weight:g}"
            )
        if self.context < 0:
            raise UserError(f"expected crop_context to be 0 or more, found {self.context:g}")
        if self.background not in BACKGROUNDS:
            raise UserError(f"expected background to be one of {', '.join(BACKGROUNDS)}, found {self.background!r}")

    def embed(self, scorer: ClipScorer, image: np.ndarray, proposals: Proposals) -> torch.Tensor:
        """Embeds each region of an image.

        Args:
            scorer: the network.
            image: (H, W, 3) uint8 RGB.
            proposals: of that image.

        Returns:
            (P, D) float32, the weighted mean of the L2-normalised embeddings of its views; so its product with a
            sentence's embedding is the weighted mean of their cosines.
        """
        picture, squares = Image.fromarray(image), squares_around(proposals.boxes, self.context)
        regions = [torch.zeros(0, scorer.embed_dim, device=scorer.device)]
        for start in range(0, len(proposals), MAX_BATCH):
            some = slice(start, start + MAX_BATCH)
            crops = scorer.prepare([cut(picture, square, scorer.mean_colour) for square in squares[some].tolist()])
            mean = 0
            if self.crop_weight:
                mean = mean + self.crop_weight * scorer.encode_pixels(crops)
            if self.mask_weight:
                masks = proposals.masks_within(squares[some], some, crops.shape[-1])
                muted = mute_background(crops, masks, self.background)
                mean = mean + self.mask_weight * scorer.encode_pixels(muted)
            regions.append(mean / (self.crop_weight + self.mask_weight))
        return torch.cat(regions)
