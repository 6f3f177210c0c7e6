"""What tests of several methods share."""

from __future__ import annotations

import numpy as np
import pytest

from models.sound_bank import LEAST_DEVIATION, SoundBank
from utils.types import Sample


class Known:
    """Every role, of which all numbers are given: word or sentence -> (z of the text, z of the tag or None, presence).

    Unrelated sounds are one that each sentence has the product 1 with, and one with -1; their tags have
    log-probabilities of -4 in the mean, with a deviation of 0.5.

    Args:
        words: see above; a tag named like the word is there where it has a z.
        nouns: of the image's caption.
        alike: sentences that mean what another one does.
    """

    accepts_sentences = accepts_embeddings = False

    def __init__(self, words, nouns=(), alike=None) -> None:
        self.words, self.nouns_seen, self.alike = words, list(nouns), alike or {}
        self.labels = [word for word, (_, tag, _) in words.items() if tag is not None]
        self.encoded = []

    def bank(self):
        tags = np.exp(np.array([[-3.5], [-4.5]])) - 1e-4
        ones = np.ones(len(self.words), np.float32)
        return SoundBank(np.stack([ones, -ones]), np.tile(tags, len(self.labels)), self.labels, {})

    def encode_text(self, texts):
        self.encoded += texts
        names = list(self.words)
        return np.eye(len(names), dtype=np.float32)[[names.index(self.alike.get(text, text)) for text in texts]]

    def encode_audio(self, waveforms, sampling_rates):
        deviation = 1 + LEAST_DEVIATION * np.sqrt(len(self.words))
        return np.tile([z * deviation for z, _, _ in self.words.values()], (len(waveforms), 1))

    def tag(self, waveforms, sampling_rates, top_k=5):
        tags = [(label, float(np.exp(self.words[label][1] - 4) - 1e-4)) for label in self.labels]
        return [sorted(tags, key=lambda tag: -tag[1])[:top_k] for _ in waveforms]

    def caption(self, *asked):
        return ["words" for _ in asked[0]]

    def nouns(self, caption):
        return self.nouns_seen

    def presence(self, images, texts):
        return np.array([[self.words[text][2] for text in texts] for _ in images], np.float32)

    def models(self):
        nobody = type("Nobody", (), {"caption": lambda self, waveforms, rates: ["" for _ in waveforms]})()
        names = ("audio_text", "audio_tagger", "image_captioner", "segmenter")
        return {**dict.fromkeys(names, self), "audio_captioner": nobody}


@pytest.fixture
def known():
    """`Known`, and a sample for it."""
    waveform = 0.5 * np.sin(np.arange(8000)).astype(np.float32)
    return Known, Sample("any", np.zeros((4, 6, 3), np.uint8), waveform, 8000)
