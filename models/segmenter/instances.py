"""From scored instances with a mask each to one soft map: how sure is it that a pixel is the thing asked for?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from utils.errors import UserError


@dataclass(frozen=True)
class Calibration:
    """How an instance's score s and its mask's logit m at a pixel become one value in [0, 1].

    The plain product s p, with p = sigmoid(m), hides what was found from the fixed threshold 0.5 of an evaluation: a
    detector takes a box at s > t = 0.3, and s p stays below 0.5 for most of the boxes it takes. Rescaled, 0.5 is where
    the two networks' own decisions lie: p where p <= 0.5, and above it

        0.5 + (s - t) / (1 - t) (p - 0.5),

    so that a value is above 0.5 exactly where the mask of an accepted instance is, and grows with the score and with
    the logit.

    Attributes:
        threshold: t, the score above which an instance was accepted, in [0, 1).
        rescale: whether as above; otherwise s p.
        temperature: p = sigmoid(m / temperature), which moves no decision. SAM's logits reach 32 (where SAM 2 clamps
            them), but a float32 sigmoid is exactly 1 from 17 on, and pixels that are equal enter a mask all together or
            not at all where a metric takes the strongest n of them. At 4, they stay apart.

    Raises:
        UserError: a value is out of its range.
    """

    threshold: float
    rescale: bool = True
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise UserError(
                f"expected a threshold for scores from 0 to below 1, found {self.threshold:g}; choose another"
            )
        if not self.temperature > 0:
            raise UserError(f"expected mask_temperature to be positive, found {self.temperature:g}; 1 changes nothing")

    def __call__(self, mask_logits: torch.Tensor, score: float) -> torch.Tensor:
        """(...) float logits of one instance -> (...) float32 in [0, 1]."""
        probability = (mask_logits.float() / self.temperature).sigmoid()
        if not self.rescale:
            return score * probability
        confidence = (score - self.threshold) / (1 - self.threshold)
        return torch.where(probability > 0.5, 0.5 + confidence * (probability - 0.5), probability)


def strongest(values: Iterable[torch.Tensor], size: tuple[int, int]) -> np.ndarray:
    """The maximum over maps of one image, one of them in memory at a time.

    Args:
        values: (H, W) float in [0, 1] each, any number.
        size: (H, W).

    Returns:
        (H, W) float32 in [0, 1]; all zero for no map.
    """
    score_map = None
    for value in values:
        score_map = value if score_map is None else torch.maximum(score_map, value)
    if score_map is None:
        return np.zeros(size, dtype=np.float32)
    return score_map.float().clamp(0, 1).cpu().numpy()
