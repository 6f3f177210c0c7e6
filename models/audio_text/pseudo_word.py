"""A sentence with a free word in it: a vector takes the place of one token's embedding, in any text encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Read = Callable[[torch.Tensor], torch.Tensor]  # token ids (B, T) -> (B, D) L2-normalised


def pseudo_word_encoder(
    template: str, tokenizer: Any, table: torch.nn.Embedding, read: Read, ending: str = ""
) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
    """Opens a text encoder for a free word: it reads token ids as ever, and is given the word for one of them.

    Args:
        template: sentence with exactly one "{}" where the pseudo-word stands, e.g. "a sound of {}".
        tokenizer: the encoder's own.
        table: the encoder's token table, where `read` looks its ids up first.
        read: the text encoder, without gradients switched off.
        ending: text that closes every sentence of this encoder.

    Returns:
        encode: differentiable map (B, W) word embeddings -> (B, D) L2-normalised text_embeds, on the device of what it
            is given; it computes in the dtype of the table, without autocast.
        word_embeddings: (V, W) float32 on the CPU, the token table.

    Raises:
        ValueError: not exactly one "{}".
    """
    if template.count("{}") != 1:
        raise ValueError(f'expected a template with exactly one "{{}}", found {template!r}')

    def tokens(text: str, **how: Any) -> list[int]:
        return tokenizer(text, **how)["input_ids"]

    # What the tokenizer puts around a sentence, seen on one that is a single ordinary word.
    (word, *_), framed = tokens("a", add_special_tokens=False), tokens("a")
    before, after = template.split("{}")
    # A byte-level token carries the space before its word: so it goes with the pseudo-word, and is kept after it.
    left = [*framed[: framed.index(word)], *tokens(before.rstrip(" "), add_special_tokens=False)]
    right = [*tokens(after + ending, add_special_tokens=False), *framed[framed.index(word) + 1 :]]
    sentence = torch.tensor([[*left, word, *right]], device=table.weight.device)  # (1, T)

    def encode(word_embeds: torch.Tensor) -> torch.Tensor:
        words = word_embeds.to(table.weight.device, table.weight.dtype)[:, None]  # (B, 1, W)

        def put(module: torch.nn.Module, inputs: Any, looked_up: torch.Tensor) -> torch.Tensor:
            return torch.cat([looked_up[:, : len(left)], words, looked_up[:, len(left) + 1 :]], dim=1)

        hook = table.register_forward_hook(put)
        try:
            return read(sentence.expand(len(words), -1)).to(word_embeds.device)
        finally:
            hook.remove()

    return encode, table.weight.detach().float().cpu().clone()
