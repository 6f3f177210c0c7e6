from __future__ import annotations

import numpy as np
import pytest

from models.network import blocks_by_length
from models.segmenter.clipseg import ClipSegmenter


def test_the_shortest_come_first_and_everything_once():
    blocks = blocks_by_length([5, 1, 3, 1, 9], size=2)
    assert [block.tolist() for block in blocks] == [[1, 3], [2, 0], [4]]
    assert blocks_by_length([], size=2) == []


@pytest.mark.parametrize("role", ["audio_text", "segmenter"])
def test_sentences_of_any_lengths_keep_their_places(loaded, monkeypatch, role):
    """In blocks of two, and next to much longer ones."""
    encoder = loaded[role]
    texts = ["dog", "a man and a woman with a violin in the kitchen", "a guitar", "dog", "a photo of a sea lion"]
    alone = np.concatenate([encoder.encode_text([text]) for text in texts])
    module = "models.segmenter.clipseg" if isinstance(encoder, ClipSegmenter) else "models.audio_text.encoder"
    monkeypatch.setattr(f"{module}.TEXTS_AT_ONCE", 2)
    np.testing.assert_allclose(encoder.encode_text(texts), alone, atol=2e-5)
