"""What audio-text encoders share: a long sound is heard window by window, a sentence may have a free word in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from models.audio_input import average_over_windows, windows_of
from models.network import TEXTS_AT_ONCE, Pretrained, blocks_by_length


class WindowedEncoder(Pretrained, ABC):
    """Sounds and sentences in one space; a family says how it hears a window and reads tokens.

    A sound longer than a window is cut into windows whose embeddings are averaged by what is heard in each
    (`models.audio_input`), so one sound has one embedding, and nothing is cropped at random.

    What a family gives:
        embed_dim: D.
        window_length: samples heard at once.
        token_table: where the text encoder looks its token ids up.
        max_tokens: that it reads.
        hear, read: see there.
        normalized: whether what they return is; False only where a setting of the family says so.
    Where its processor has no feature_extractor or tokenizer, also sampling_rate (Hz) and tokenizer; and `ending`, what
    closes every sentence, beside what the tokenizer adds by itself.
    """

    embed_dim: int
    window_length: int
    max_tokens: int
    token_table: torch.nn.Embedding
    ending = ""
    normalized = True
    version = 2

    @property
    def sampling_rate(self) -> int:
        return self.processor.feature_extractor.sampling_rate

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @abstractmethod
    def hear(self, windows: list[np.ndarray]) -> np.ndarray:
        """Embeds windows.

        Args:
            windows: (L,) float32 each at `sampling_rate`, L from 1 to `window_length`; at least one.

        Returns:
            (len(windows), D) float32, rows L2-normalised if `normalized`.
        """

    @abstractmethod
    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Embeds tokenized sentences, with gradients where they are switched on.

        Args:
            input_ids: (B, T) int64 on the network's device.
            attention_mask: (B, T), 0 where a sentence is padded; None where none is.

        Returns:
            (B, D) float32, rows L2-normalised if `normalized`.
        """

    def encode_audio(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> np.ndarray:
        """See `models.roles.AudioTextEncoder`."""
        sounds = [
            windows_of(waveform, rate, self.sampling_rate, self.window_length)
            for waveform, rate in zip(waveforms, sampling_rates, strict=True)
        ]
        if not sounds:
            return np.zeros((0, self.embed_dim), dtype=np.float32)
        audio_embeds = average_over_windows(sounds, self.hear)
        if not self.normalized:
            return audio_embeds
        return audio_embeds / np.linalg.norm(audio_embeds, axis=1, keepdims=True).clip(1e-12)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.AudioTextEncoder`; what is longer than the encoder reads is cut off."""
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
        """See `models.roles.AudioTextEncoder`: the text encoder reads token ids as ever, and is given the word for one.

        What encodes is on the device of what it is given; it computes in the dtype of the table, without autocast.

        Raises:
            ValueError: not exactly one "{}".
        """
        table = self.token_table
        left, word, right = self._around_a_word(template)
        sentence = torch.tensor([[*left, word, *right]], device=table.weight.device)  # (1, T)

        def encode(word_embeds: torch.Tensor) -> torch.Tensor:
            words = word_embeds.to(table.weight.device, table.weight.dtype)[:, None]  # (B, 1, W)

            def put(module: torch.nn.Module, inputs: Any, looked_up: torch.Tensor) -> torch.Tensor:
                return torch.cat([looked_up[:, : len(left)], words, looked_up[:, len(left) + 1 :]], dim=1)

            hook = table.register_forward_hook(put)
            try:
                return self.read(sentence.expand(len(words), -1)).to(word_embeds.device)
            finally:
                hook.remove()

        return encode, table.weight.detach().float().cpu().clone()

    def _around_a_word(self, template: str) -> tuple[list[int], int, list[int]]:
        """Token ids before the free word, one to stand in its place, and those after it."""
        if template.count("{}") != 1:
            raise ValueError(f'expected a template with exactly one "{{}}", found {template!r}')

        def tokens(text: str, **how: Any) -> list[int]:
            return self.tokenizer(text, **how)["input_ids"]

        # What the tokenizer puts around a sentence, seen on one that is a single ordinary word.
        (word, *_), whole = tokens("a", add_special_tokens=False), tokens("a")
        before, after = template.split("{}")
        # A byte-level token carries the space before its word: so it goes with the pseudo-word, and is kept after it.
        left = [*whole[: whole.index(word)], *tokens(before.rstrip(" "), add_special_tokens=False)]
        right = [*tokens(after + self.ending, add_special_tokens=False), *whole[whole.index(word) + 1 :]]
        return left, word, right
