"""The contracts a pretrained network fulfils, one Protocol per role.

Every role takes lists of host arrays of any sizes and returns lists or arrays on the host, in the same order; a
result never depends on what else was in the list. Models own their resampling, resizing, normalising, windowing,
device and dtype. Numbers that are not finite are no answer: `models.remembering.Remembering` refuses them.

Conventions:
    images: list of (H, W, 3) uint8 RGB, sizes may differ.
    waveforms: list of (T,) float32 mono in [-1, 1], with one sampling rate in Hz each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from utils.types import Query


@runtime_checkable
class AudioTextEncoder(Protocol):
    """Sounds and sentences in one space (CLAP and its kin).

    Rows are L2-normalised unless a setting of the family says otherwise; then a product of two is a score of any size,
    and `pseudo_word_encoder` raises UserError.

    `bank()`, which `load_models` adds, returns the `models.sound_bank.SoundBank` of the config, or raises UserError.

    Optional: `match_regions(waveforms, sampling_rates, images, regions)` compares each sound with the regions of its
    image, as `Segmenter.propose_regions` gives them, without words: list of (R,) float32, in natural logarithms of
    odds, which compare with those of other regions for the same sound.
    """

    embed_dim: int

    def encode_audio(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> np.ndarray:
        """Returns audio_embeds: (N, embed_dim) float32, rows L2-normalised."""

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Returns text_embeds: (N, embed_dim) float32, rows L2-normalised."""

    def pseudo_word_encoder(self, template: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        """A sentence with a free word in it, for text inversion.

        Args:
            template: with exactly one "{}" where the pseudo-word stands, e.g. "a sound of {}".

        Returns:
            encode: differentiable map (B, W) word embeddings -> (B, embed_dim) L2-normalised text_embeds.
            word_embeddings: (V, W) float32, the token table the pseudo-word lives in (for initialisation and scale).
        """


@runtime_checkable
class AudioTagger(Protocol):
    """Sounds to labelled probabilities (AST, AudioSet's 527 labels)."""

    def tag(
        self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int], top_k: int = 5
    ) -> list[list[tuple[str, float]]]:
        """Returns per sound the `top_k` (label, probability in [0, 1]), best first."""


@runtime_checkable
class AudioCaptioner(Protocol):
    """Sounds to one sentence each; to several in one text where a captioner hears a long sound window by window.

    Optional: `unheard(waveform, sampling_rate)` returns the seconds [(start, stop), ...] in which something sounds that
    the caption does not take into account.
    """

    def caption(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> list[str]:
        """Returns one caption per sound, stripped; "" where the model says nothing."""


@runtime_checkable
class ImageCaptioner(Protocol):
    """Images to one sentence each.

    Optional: `nouns(caption)` returns the things named in a caption of its own, list[str], where it knows them better
    than a parser of English would.
    """

    def caption(self, images: Sequence[np.ndarray]) -> list[str]:
        """Returns one caption per image, stripped; "" where the model says nothing."""


@runtime_checkable
class Segmenter(Protocol):
    """Queries to soft maps in the image's own pixel frame.

    Optional: `encode_images(images)` returns a list with what the network makes of each image's pixels alone, which
    `segment` asks for through `self.remembered` and leaves as it is. A segmenter that has it, itself or in its parts,
    encodes an image once however many methods ask about it (`models/remembering.py`).

    Optional: `propose_regions(images)` returns what could be things, asked for nothing: per image (R, H, W) float32 in
    [0, 1], above 0.5 inside each of R regions, which may overlap; none of them is empty, R may be 0.

    Optional: `known_names(query, k)` returns at most k things that a query is taken for, list[str], the nearest first.

    Attributes:
        accepts_sentences: whether a whole sentence, "A dog is barking at a man.", is understood as one query; a network
            that was taught phrases is to be asked for the things in it instead.
        accepts_embeddings: whether `Query.embedding` is understood.
        text_embed_dim: width of such an embedding; 0 where they are not understood.
    """

    accepts_sentences: bool
    accepts_embeddings: bool
    text_embed_dim: int

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """Returns per image (H, W) float32 in [0, 1]: the maximum over its queries, all zero for no query.

        Each image is encoded once however many queries it has.
        """

    def presence(self, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """Returns (len(images), len(texts)) float32 in [0, 1], how surely each thing is in view.

        Without a full segmentation where the network allows it; 0 for a text that means nothing to the network. Values
        of two families do not compare.
        """

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Returns (N, text_embed_dim) float32, as the decoder expects them, where embeddings are accepted."""
