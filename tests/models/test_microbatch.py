"""Large encoders on a processor see one item at a time, and answer as they do for the batch."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models import microbatch as in_parts
from models.config import families, family_class
from models.microbatch import one_by_one, split_large
from utils.types import Query


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.sizes = torch.nn.Linear(3, 4), []

    def forward(self, pixel_values, mask=None, *, scale=1.0):
        self.sizes.append(len(pixel_values))
        hidden = self.linear(pixel_values) * scale * (1 if mask is None else mask)
        return BaseModelOutputWithPooling(last_hidden_state=hidden, hidden_states=(pixel_values, hidden))


def test_it_answers_as_for_the_whole_batch():
    encoder, pixels, mask = Encoder(), torch.randn(5, 2, 3), torch.rand(5, 1, 1)
    whole = encoder(pixels, mask=mask, scale=2.0)
    signature = inspect.signature(encoder.forward)
    encoder.forward = one_by_one(encoder.forward)
    encoder.sizes.clear()
    parts = encoder(pixels, mask=mask, scale=2.0)
    assert encoder.sizes == [1] * 5 and inspect.signature(encoder.forward) == signature
    assert isinstance(parts, BaseModelOutputWithPooling) and parts.pooler_output is None
    torch.testing.assert_close(parts.last_hidden_state, whole.last_hidden_state)
    torch.testing.assert_close(parts.hidden_states, whole.hidden_states)
    assert encoder(pixels[:0]).last_hidden_state.shape == (0, 2, 4)


@pytest.mark.parametrize(("device", "large", "sizes"), [("cpu", 10, [1, 1]), ("cuda", 10, [2]), ("cpu", 10**6, [2])])
def test_only_large_ones_on_a_processor(monkeypatch, device, large, sizes):
    monkeypatch.setattr(in_parts, "LARGE", large)
    network = torch.nn.ModuleDict({"encoder": Encoder()})
    split_large(network, ["encoder"], device)
    network["encoder"](torch.randn(2, 3))
    assert network["encoder"].sizes == sizes


@pytest.mark.parametrize("role", ["image_captioner", "audio_captioner", "segmenter"])
def test_networks_say_the_same(loaded, folders, monkeypatch, role, sounds, images):
    monkeypatch.setattr(in_parts, "LARGE", 0)
    family = family_class(role, next(iter(families(role))))
    assert family.encoders
    parts = family.from_pretrained(str(folders[role]))
    assert all("forward" in vars(parts.network.get_submodule(name)) for name in family.encoders)
    if role == "segmenter":
        queries = [(Query("dog"),)] * len(images)
        for one, whole in zip(parts.segment(images, queries), loaded[role].segment(images, queries), strict=True):
            np.testing.assert_allclose(one, whole, atol=1e-5)
    else:
        asked = (images,) if role == "image_captioner" else sounds
        assert parts.caption(*asked) == loaded[role].caption(*asked)
