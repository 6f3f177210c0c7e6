"""What audio-text encoders share: a long sound is heard window by window, a sentence may have a free word in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from models.audio_input import average, cut, resample
from models.audio_text.pseudo_word import pseudo_word_encoder
from models.network import TEXTS_AT_ONCE, Pretrained, blocks_by_length


class WindowedEncoder(Pretrained, ABC):
    """Sounds and sentences in one space; a family says how it hears a window and reads tokens.

    A sound longer than a window is cut into consecutive windows whose embeddings are averaged, so one sound has one
    embedding, and nothing is cropped at random.

    What a family gives:
        embed_dim: D.
        sampling_rate: Hz.
        window_length: samples heard at once.
        tokenizer, max_tokens, token_table: of its text encoder; the table is where token ids are looked up.
        ending: what closes every sentence, beside what the tokenizer adds by itself.
        hear, read: see there.
    """

    embed_dim: int
    sampling_rate: int
    window_length: int
    tokenizer: Any
    max_tokens: int
    token_table: torch.nn.Embedding
    ending = ""

    @abstractmethod
    def hear(self, windows: list[np.ndarray]) -> np.ndarray:
        """Embeds windows.

        Args:
            windows: (L,) float32 each at `sampling_rate`, L from 1 to `window_length`; at least one.

        Returns:
            (len(windows), D) float32, rows L2-normalised.
        """

    @abstractmethod
    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Embeds tokenized sentences, with gradients where they are switched on.

        Args:
            input_ids: (B, T) int64 on the network's device.
            attention_mask: (B, T), 0 where a sentence is padded; None where none is.

        Returns:
            (B, D) float32, rows L2-normalised.
        """

    def encode_audio(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> np.ndarray:
        """Embeds sounds.

        Args:
            waveforms: (T,) float32 mono each, of any length.
            sampling_rates: Hz each.

        Returns:
            audio_embeds: (N, embed_dim) float32, rows L2-normalised.
        """
        sounds = [
            cut(resample(waveform, rate, self.sampling_rate), self.window_length)
            for waveform, rate in zip(waveforms, sampling_rates, strict=True)
        ]
        if not sounds:
            return np.zeros((0, self.embed_dim), dtype=np.float32)
        embeds = self.hear([window for sound in sounds for window in sound])
        audio_embeds = average(embeds, [len(sound) for sound in sounds])
        return audio_embeds / np.linalg.norm(audio_embeds, axis=1, keepdims=True).clip(1e-12)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds sentences; what is longer than the encoder reads is cut off.

        Returns:
            text_embeds: (N, embed_dim) float32, rows L2-normalised.
        """
        if not len(texts):
            return np.zeros((0, self.embed_dim), dtype=np.float32)
        blocks = blocks_by_length(self.tokenize(list(texts))["attention_mask"].sum(1), TEXTS_AT_ONCE)
        embeds = []
        for block in blocks:
            tokens = self.tokenize([texts[index] for index in block]).to(self.device)
            with self.inference():
                embeds.append(self.read(tokens["input_ids"], tokens["attention_mask"]).cpu().numpy())
        return np.concatenate(embeds)[np.argsort(np.concatenate(blocks))]

    def tokenize(self, texts: list[str]) -> Any:
        """Returns "input_ids" and "attention_mask", (B, T) each, padded at the end."""
        return self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")

    def pseudo_word_encoder(self, template: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        """Opens the text encoder for a free word; see `models.audio_text.pseudo_word`."""
        return pseudo_word_encoder(template, self.tokenizer, self.token_table, self.read, self.ending)
