"""On a GPU networks answer as on a processor, half precision is the card's, and a batch that does not fit is halved."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

import inference_demo
from tests.benchmarks.precision import in_float32
from tests.models.test_precision import NETWORKS, answer, load
from utils.runs.engine import Evaluation
from utils.scoring.metrics import iou

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("cuda")


@pytest.mark.parametrize(("role", "family", "hub_ids"), NETWORKS)
def test_every_family_answers_as_on_a_processor(root, role, family, hub_ids):
    expected = answer(role, load(root, role, family, hub_ids))
    with in_float32():
        found = answer(role, load(root, role, family, hub_ids, device="cuda"))
    if isinstance(expected, list):
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(("role", "family", "hub_ids"), NETWORKS[:1])
def test_float32_weights_compute_in_what_the_card_has(root, role, family, hub_ids):
    model, seen = load(root, role, family, hub_ids, device="cuda"), set()
    name = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    assert model.provenance["autocast"] == name
    for module in model.network.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    answer(role, model)
    assert seen == {getattr(torch, name)}


def test_a_batch_that_does_not_fit_is_halved(capsys):
    """Room for three samples and a half."""
    size, total = 64 << 20, torch.cuda.get_device_properties(0).total_memory
    gc.collect()
    torch.cuda.empty_cache()

    def predict(samples):
        held = [torch.empty(size, dtype=torch.uint8, device="cuda") for _ in samples]
        return {"original": {"a": [len(held) * [one] for one in samples]}}

    evaluation = Evaluation({}, {}, lambda: None, {}, 0.5, "224")
    evaluation.predict = predict
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 3.5 * size) / total)
    try:
        answers = evaluation.ask(list("abcde"))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert answers == {"original": {"a": [["a"] * 3, ["b"] * 3, ["c"] * 3, ["d"] * 2, ["e"] * 2]}}
    assert evaluation.limit == 3
    said = "5 samples at a time do not fit into the device's memory; going on with 3\n"
    assert capsys.readouterr().err == said


def test_the_demo_finds_what_it_finds_on_a_processor(tmp_path):
    names = ("cross_modal", "classify", "caption")
    on_cpu, on_gpu = (
        inference_demo.main(["--device", device, "--methods", *names, "--output", str(tmp_path / device)]).answers
        for device in ("cpu", "cuda")
    )
    for name in names:
        assert iou(on_gpu[name].mask, on_cpu[name].mask) > 0.98
