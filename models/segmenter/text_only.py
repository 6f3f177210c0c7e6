"""What a segmenter that is asked in words alone says of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from utils.errors import UserError
from utils.types import Query


class TextOnly:
    """Mixed into such a segmenter; an embedding is refused, never passed over."""

    family: ClassVar[str]
    accepts_embeddings = False
    text_embed_dim = 0

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Refuses.

        Raises:
            UserError: always.
        """
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
