"""What image captioners share that answer several images in one pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from models.network import MAX_BATCH, Pretrained


class BatchedCaptioner(Pretrained, ABC):
    """Images in passes of at most MAX_BATCH; a family says how it answers one pass."""

    def caption(self, images: Sequence[np.ndarray]) -> list[str]:
        """Describes images.

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.

        Returns:
            One caption per image, stripped; "" where the model says nothing.
        """
        batches = [images[i : i + MAX_BATCH] for i in range(0, len(images), MAX_BATCH)]
        return [caption for batch in batches for caption in self._caption(batch)]

    @abstractmethod
    def _caption(self, images: Sequence[np.ndarray]) -> list[str]:
        """See `caption`; at least one image, at most MAX_BATCH."""
