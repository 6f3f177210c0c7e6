"""OpenAI's CLIP without its weights and without its package: open_clip's network with its calling conventions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def empty(name: str) -> Any:
    """What `clip.load(name)` builds, before it has weights.

    Args:
        name: as OpenAI has it, e.g. "ViT-B/16".

    Returns:
        The network, its tensors named as OpenAI's are.

    Raises:
        ValueError: open_clip knows no such architecture.
    """
    import open_clip

    config = open_clip.get_model_config(f"{name.replace('/', '-')}-quickgelu")
    if config is None:
        raise ValueError(f"there is no CLIP called {name}")
    return as_openai(open_clip.model.CLIP(**config))


def as_openai(network: Any) -> Any:
    """Makes the blocks take (tokens, batch, width), and the text's find their mask in an attribute, in place."""
    for block in network.transformer.resblocks:
        block.attn_mask = network.attn_mask
        block.forward = _masked(block)
    for block in [*network.transformer.resblocks, *network.visual.transformer.resblocks]:
        block.attn.batch_first = False
    network.cuda = lambda device=None: network  # code written for a GPU moves it there without asking for one
    return network


def _masked(block: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    forward = block.forward
    return lambda tokens: forward(tokens, attn_mask=block.attn_mask.to(tokens))
