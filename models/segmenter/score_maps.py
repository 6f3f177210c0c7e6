"""What segmenters share: queries on the way in, and on the way out one soft map in the image's own pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import interpolate

from utils.errors import UserError
from utils.types import Query

MAX_ASPECT = 16
NEAR_MISS = 0.49  # the most that a map can have of what was not accepted: no mask at 0.5, but an order for the oracles
ACCEPTED = float(np.nextafter(np.float32(0.5), np.float32(1)))  # the least above 0.5, which rounding would take for 0.5


@dataclass(frozen=True)
class Calibration:
    """How an instance's score s and its mask's logit m at a pixel become one value in [0, 1].

    The plain product s p, with p = sigmoid(m), hides what was found from the fixed threshold 0.5 of an evaluation: a
    detector takes a box at s > t = 0.3, and s p stays below 0.5 for most of the boxes it takes. Rescaled, 0.5 is where
    the two networks' own decisions lie: p where p <= 0.5, and above it

        0.5 + (s - t) / (1 - t) (p - 0.5),

    so that a value is above 0.5 exactly where the mask of an accepted instance is, m > 0, and grows with the score and
    with the logit. One that is not accepted, s <= t, has NEAR_MISS (s / t) p: below 0.5 everywhere, and not nothing, so
    that a score that looks for its own threshold still sees what was nearest.

    Attributes:
        threshold: t, the score above which an instance is accepted, in [0, 1).
        rescale: whether as above; otherwise s p, or where t is above NEAR_MISS, of one that is not accepted, as above.
        temperature: p = sigmoid(m / temperature), which moves no decision. SAM's logits reach 32 (where SAM 2 clamps
            them), but a float32 sigmoid is exactly 1 from 17 on, and pixels that are equal enter a mask all together or
            not at all where a metric takes the strongest n of them. At 4, they stay apart.
    """

    threshold: float
    rescale: bool = True
    temperature: float = 4.0

    def __call__(self, mask_logits: torch.Tensor, score: float) -> torch.Tensor:
        """(...) float logits of one instance -> (...) float32 in [0, 1]."""
        probability = (mask_logits.float() / self.temperature).sigmoid()
        if score <= self.threshold:
            of_rejected = NEAR_MISS / max(self.threshold, 1e-9)  # whose score is 0 where the threshold is
            return score * (of_rejected if self.rescale else min(of_rejected, 1.0)) * probability
        if not self.rescale:
            return score * probability
        confidence = (score - self.threshold) / (1 - self.threshold)
        above = (0.5 + confidence * (probability - 0.5)).clamp(min=ACCEPTED)
        return torch.where(mask_logits > 0, above, probability)


def stretched(low_res_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(h, w) over the whole image -> (H, W) float32, bilinearly, however the aspect was changed."""
    return interpolate(low_res_map[None, None].float(), size=size, mode="bilinear", align_corners=False)[0, 0]


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


def cut_at(score_map: np.ndarray, threshold: float) -> np.ndarray:
    """Moves the value at which a network's authors cut its maps to 0.5, where masks are cut here.

    0.5 p / t up to t, and 0.5 + 0.5 (p - t) / (1 - t) above: 0 and 1 stay, what is above t is above 0.5, and the order
    of the pixels stays, with which every score that looks for its own threshold stays as it is (but for pixels that
    differ in their last bits: they may become equal).

    Args:
        score_map: p, (...) float32 in [0, 1].
        threshold: t, in (0, 1).

    Returns:
        (...) float32 in [0, 1]; the same map for 0.5.
    """
    if threshold == 0.5:
        return score_map
    threshold = np.float32(threshold)  # as pixels are compared with it
    above = np.maximum(0.5 + 0.5 * (score_map - threshold) / (1 - threshold), ACCEPTED)
    return np.where(score_map > threshold, above, 0.5 * score_map / threshold).astype(np.float32)


def of_words(presence: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """Decorates a family's `presence`, rows of numbers: 0 of a text without words, which a network might answer."""

    @wraps(presence)
    def asked(self: Any, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        found = np.zeros((len(images), len(texts)), dtype=np.float32)
        columns = [column for column, text in enumerate(texts) if text.strip()]
        if found[:, columns].size:
            found[:, columns] = presence(self, images, [texts[column] for column in columns])
        return found

    return asked


def within_aspect(image: np.ndarray) -> np.ndarray:
    """Adds black below or to the right of a very long image; pixels keep their places.

    Networks that keep the aspect shrink the short side with the long one, in the end to nothing.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H', W', 3) uint8, no side longer than MAX_ASPECT times the other; the same image where it was not.
    """
    height, width = image.shape[:2]
    below, right = max(0, -(-width // MAX_ASPECT) - height), max(0, -(-height // MAX_ASPECT) - width)
    return np.pad(image, ((0, below), (0, right), (0, 0))) if below or right else image


def query_embeds(queries: Sequence[Query], from_text: np.ndarray, embed_dim: int) -> np.ndarray:
    """Each query's own embedding, or the next one of `from_text`, those of the texts of the others, in order.

    Returns:
        (Q, embed_dim) float32.

    Raises:
        ValueError: an embedding of another shape than (embed_dim,).
    """
    following = iter(from_text)
    embeds = [next(following) if query.embedding is None else np.asarray(query.embedding) for query in queries]
    for embed in embeds:
        if embed.shape != (embed_dim,):
            raise ValueError(f"expected query embeddings of shape ({embed_dim},), found {embed.shape}")
    return np.asarray(embeds, np.float32).reshape(len(embeds), embed_dim)


class TextOnly:
    """Mixed into a segmenter that is asked in words alone: an embedding is refused, never passed over."""

    family: ClassVar[str]
    accepts_embeddings = False
    text_embed_dim = 0

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Raises UserError, always."""
        raise UserError(
            f"expected a segmenter that takes embeddings, found {self.family}, which is asked in words; "
            "hand over words, or choose one that takes embeddings (segmenter.family=clipseg)"
        )

    def texts(self, queries: Sequence[Query]) -> list[str]:
        """The different texts of an image's queries, in their order.

        Raises:
            UserError: a query has an embedding.
        """
        if any(query.embedding is not None for query in queries):
            self.encode_text([])
        return list(dict.fromkeys(query.text for query in queries))
