"""Processors that convolve in bfloat16 rightly and wrongly, whichever this one is: both are played by a test double."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from models import precision as half_precision
from models.audio_text.pe_av import PeAvEncoder
from models.precision import CASES, Float32Convolutions, convolves_rightly, needs_float32_convolutions
from models.random_weights import write


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
def folder(tmp_path_factory):
    return write("facebook/pe-av-small", tmp_path_factory.mktemp("half") / "pe_av", tiny=True)


@pytest.fixture
def inject(monkeypatch):
    """Sets the check's answer; returns the list of dtypes it is asked about."""

    def set_answer(right):
        asked = []
        monkeypatch.setattr(half_precision, "convolves_rightly", lambda dtype: asked.append(dtype) or right)
        half_precision._say.cache_clear()
        return asked

    yield set_answer
    half_precision._say.cache_clear()


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
    monkeypatch.setattr(half_precision, "CASES", CASES[wrong : wrong + 1])
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
