"""On a CPU: large encoders see one item at a time; convolutions below float32 are checked, right or wrong."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models import cpu
from models.audio_text.pe_av import PeAvEncoder
from models.config import families, family_class
from models.cpu import (
    CASES,
    Float32Convolutions,
    convolves_rightly,
    needs_float32_convolutions,
    one_by_one,
    split_large,
)
from utils.types import Query


class Processor(TorchDispatchMode):
    """Answers convolutions in bfloat16: with float32's result, rounded, or with something else of its shape."""

    def __init__(self, right):
        super().__init__()
        self.right = right

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        if not str(func).startswith("aten.conv") or tensors[0].dtype != torch.bfloat16:
            return func(*args, **(kwargs or {}))
        assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
        wide = [value.float() if isinstance(value, torch.Tensor) else value for value in args]
        exact = func(*wide, **(kwargs or {})).bfloat16()
        return exact if self.right else -exact.flip(-1)


@pytest.fixture(scope="module")
def folder(tiny):
    return tiny("facebook/pe-av-small")


@pytest.fixture
def inject(monkeypatch):
    """Sets the check's answer; returns the list of dtypes it is asked about."""

    def set_answer(right):
        asked = []
        monkeypatch.setattr(cpu, "convolves_rightly", lambda dtype: asked.append(dtype) or right)
        cpu._say.cache_clear()
        return asked

    yield set_answer
    cpu._say.cache_clear()


def load(folder, **keys):
    return PeAvEncoder.from_pretrained(folder, **keys)


def hear(encoder):
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 20000).astype(np.float32)
    return encoder.encode_audio([waveform], [16000])[0]


@pytest.mark.parametrize("right", [True, False])
def test_the_check_tells_right_from_wrong(right):
    with Processor(right):
        assert convolves_rightly.__wrapped__(torch.bfloat16) is right
        with torch.autocast("cpu", torch.bfloat16):  # which would round the float32 side as well
            assert convolves_rightly.__wrapped__(torch.bfloat16) is right


@pytest.mark.parametrize("wrong", range(len(CASES)))
def test_one_wrong_convolution_is_enough(monkeypatch, wrong):
    monkeypatch.setattr(cpu, "CASES", CASES[wrong : wrong + 1])
    with Processor(right=False):
        assert not convolves_rightly.__wrapped__(torch.bfloat16)


def test_the_check_is_made_once():
    assert convolves_rightly(torch.bfloat16) is convolves_rightly(torch.bfloat16)
    assert convolves_rightly.cache_info().hits


@pytest.mark.parametrize(("name", "shape", "weight_shape", "settings"), CASES)
def test_convolutions_in_float32_come_back_as_they_would(name, shape, weight_shape, settings):
    image, weight = torch.randn(shape), torch.randn(weight_shape)
    convolve = getattr(functional, name)
    low = image.bfloat16(), weight.bfloat16()
    exact = convolve(*(tensor.float() for tensor in low), **settings)
    with Processor(right=False), Float32Convolutions():
        kept = convolve(*low, **settings)
        same = convolve(image, weight, **settings)
        with torch.autocast("cpu", torch.bfloat16):
            cast = convolve(input=image, weight=weight, **settings)
    assert (kept.dtype, same.dtype, cast.dtype) == (torch.bfloat16, torch.float32, torch.bfloat16)
    assert torch.equal(kept, exact.bfloat16()) and torch.equal(same, convolve(image, weight, **settings))
    assert torch.equal(cast, same.bfloat16())


def test_where_they_are_wrong_a_network_in_bfloat16_convolves_in_float32(folder, inject, capsys):
    exact, asked = hear(load(folder)), inject(False)
    with Processor(right=False):
        first, second = (load(folder, dtype="bfloat16") for _ in range(2))
        assert hear(first) @ exact > 0.98 and (hear(first) == hear(second)).all()
    assert asked == [torch.bfloat16] * 2
    assert first.dtype == torch.bfloat16 and first.provenance["convolutions"] == "float32"
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("expected this processor to convolve in bfloat16 as in float32, found wrong results")


def test_where_they_are_right_nothing_is_changed_or_said(folder, inject, capsys):
    exact = hear(load(folder))
    inject(True)
    encoder = load(folder, dtype="bfloat16")
    with Processor(right=True):
        assert hear(encoder) @ exact > 0.98
    with Processor(right=False):
        assert hear(encoder) @ exact < 0.9
    assert "convolutions" not in encoder.provenance and capsys.readouterr().err == ""


def test_float32_and_other_devices_are_not_looked_into(folder, inject):
    asked = inject(False)
    assert "convolutions" not in load(folder).provenance
    assert not needs_float32_convolutions(torch.float16, "cuda:0") and asked == []


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
    monkeypatch.setattr(cpu, "LARGE", large)
    network = torch.nn.ModuleDict({"encoder": Encoder()})
    split_large(network, ["encoder"], device)
    network["encoder"](torch.randn(2, 3))
    assert network["encoder"].sizes == sizes


@pytest.mark.parametrize("role", ["image_captioner", "audio_captioner", "segmenter"])
def test_networks_say_the_same(loaded, folders, monkeypatch, role, sounds, images):
    monkeypatch.setattr(cpu, "LARGE", 0)
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
