"""From what a classifier says of each place of an image to the outline of what was asked for.

A classifier with spatial features, applied place by place, says roughly where its names are. This small network draws
the outline: it reads the classifier's features from coarse to fine, is told how much each place answers to the query,
and how alike each place is to those that do.

Conventions:
    names: the N classes of the classifier.
    query: (B, N) float in [0, 1], how far each name is what was asked for; the largest is 1.
    place: one position of the classifier's last feature map, (h, w) of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cosine_similarity, interpolate

from models.network import Pretrained
from models.pocket import PocketFolder

HINTS = 3  # maps that say how much a place answers to the query
LEAST = 1e-4  # share of a place's names below which it is all the same


def share_of_query(logits: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """How probable it is, at each place, that its name is one of those asked for: (B, h, w) in [0, 1].

    Args:
        logits: (B, N, h, w) float, the classifier's at each place.
        query: (B, N).
    """
    return torch.einsum("bnhw,bn->bhw", logits.softmax(1), query)


def hints(logits: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """What the decoder is told of the query.

    Args:
        logits: (B, N, h, w).
        query: (B, N).

    Returns:
        (B, HINTS, h, w): the query's share of each place, its logarithm (0 to 1), and how far the names asked for stand
        out there from the image's other places.
    """
    share = share_of_query(logits, query)
    logarithm = 1 - share.clamp(min=LEAST, max=1).log() / torch.tensor(LEAST).log()
    asked = (logits + query.clamp(min=1e-6).log()[:, :, None, None]).logsumexp(1)  # (B, h, w)
    deviation = asked.std((1, 2), keepdim=True, correction=0)
    contrast = (asked - asked.mean((1, 2), keepdim=True)) / (deviation + 0.5)
    return torch.stack([share, logarithm, contrast / 3], 1)


class OutlineDecoder(nn.Module):
    """Four blocks, from a classifier's coarsest features to its finest of four.

    Args:
        channels: of the four feature maps, the finest (stride 4) first.
        widths: channels of the four blocks, in the same order.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int] = (32, 48, 64, 64)) -> None:
        super().__init__()
        self.channels, self.widths = tuple(channels), tuple(widths)
        coarser = [*self.widths[1:], 0]
        self.project = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(self.channels, self.widths, strict=True))
        self.bring = nn.ModuleList(
            nn.Conv2d(c, w, 1) if c else nn.Identity() for c, w in zip(coarser, self.widths, strict=True)
        )
        self.blocks = nn.ModuleList()
        for width in self.widths:
            self.blocks.append(_block(width + HINTS + 1, width))
        self.out = nn.Conv2d(self.widths[0], 1, 1)

    def forward(self, features: Sequence[torch.Tensor], logits: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """Draws outlines.

        Args:
            features: four maps (B, C, H / s, W / s), s = 4, 8, 16, 32.
            logits: (B, N, h, w), at each place.
            query: (B, N).

        Returns:
            (B, H / 4, W / 4) float, logits of the mask.
        """
        told = hints(logits, query)  # (B, HINTS, h, w)
        coarse = None
        for project, bring, block, feature in reversed(
            list(zip(self.project, self.bring, self.blocks, features, strict=True))
        ):
            own = project(feature)
            here = interpolate(told, size=own.shape[-2:], mode="bilinear", align_corners=False)
            alike = _likeness(own, here[:, 0])
            if coarse is not None:
                own = own + interpolate(bring(coarse), size=own.shape[-2:], mode="bilinear", align_corners=False)
            coarse = block(torch.cat([own, here.to(own.dtype), alike.to(own.dtype)], 1))
        return self.out(coarse)[:, 0]


def _likeness(features: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Cosine of each position's features (B, C, h, w) with their mean weighted by `share` (B, h, w) -> (B, 1, h, w)."""
    weights = share + 1e-6
    weights = weights / weights.sum((1, 2), keepdim=True)
    typical = torch.einsum("bchw,bhw->bc", features, weights.to(features.dtype))
    return cosine_similarity(features, typical[:, :, None, None], dim=1, eps=1e-4)[:, None]


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.GroupNorm(8, width),
        nn.SiLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.GroupNorm(8, width),
        nn.SiLU(),
    )


class OutlineNetwork(PocketFolder, Pretrained):
    """A trained decoder for the features of one classifier."""

    family = "outlines"
    architecture = "outline_decoder"
    module = OutlineDecoder

    @staticmethod
    def arguments(config: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"channels": config["channels"], "widths": config["widths"]}

    @property
    def calibration(self) -> tuple[float, float]:
        """(slope, offset) that take its logits to those of a probability, fitted on held-out cut-outs."""
        return self.processor["slope"], self.processor["offset"]
