"""The training of the bundled networks: it resumes exactly, starts sanely, and its parts fit each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from datasets.stamp_catalog import KINDS
from models.tiny.train import image_captioner, segmenter
from models.tiny.train.loop import Optimiser, Schedule, batches, fit
from models.tiny.train.vision import CLASSES, DenseTrunk, dense_loss, normalise, resize_positions
from models.tiny.train.words import any_query, byte_level_bpe, image_caption, word_list, wording


def fit_line(runs, steps, stop=None):
    """Fits y = 2 x + 1 for `steps` steps, or as far as `stop`, and returns the weights."""

    def make(index):
        x = np.random.default_rng(index).normal(size=1).astype(np.float32)
        return x, 2 * x + 1

    def collate(items):
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True))

    def loss(module, data):
        return (module(data[0]).float() - data[1]).pow(2).mean(), {}

    def until(first, last):
        for step, data in enumerate(batches(make, collate, 16, workers=0)(first, last), start=first):
            if step == stop:
                raise KeyboardInterrupt
            yield data

    torch.manual_seed(0)
    module = fit("line", nn.Linear(1, 1), until, loss, Schedule(steps, lr=0.1, warmup=5), runs)
    return module.weight.item(), module.bias.item()


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setattr("models.tiny.train.loop.CHECKPOINT_SECONDS", -1)  # after every step
    straight = fit_line(tmp_path / "straight", 60)
    with pytest.raises(KeyboardInterrupt):
        fit_line(tmp_path / "stopped", 60, stop=33)
    assert fit_line(tmp_path / "stopped", 60) == straight
    assert straight == (pytest.approx(2, abs=0.2), pytest.approx(1, abs=0.2))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    def loss(module, data):
        return module(data).sum() * float("nan"), {}

    with pytest.raises(FloatingPointError, match="finite loss in broken, found nan at step 0"):
        fit("broken", nn.Linear(1, 1), lambda first, last: [torch.ones(1, 1)], loss, Schedule(1), tmp_path)


def test_schedule_warms_up_and_falls_to_a_hundredth():
    schedule = Schedule(steps=200, warmup=10)
    assert schedule.factor(0) == pytest.approx(0.1)
    assert schedule.factor(10) == pytest.approx(1.0)
    assert schedule.factor(105) == pytest.approx(0.505)
    assert schedule.factor(200) == pytest.approx(0.01)


def test_muon_takes_the_hidden_matrices_and_only_them():
    trunk = DenseTrunk(32)
    optimiser = Optimiser(trunk.named_parameters(), Schedule(10, matrix_lr=1e-3))
    muon = sum(len(group["params"]) for group in optimiser.parts[1].param_groups)
    assert muon == 6 * 6  # q, k, v, out, fc1, fc2 of six layers
    assert len(optimiser.parameters) == len(list(trunk.parameters()))


def test_dense_loss_of_an_ideal_answer_is_zero_and_counts_things_apart(monkeypatch):
    labels = torch.full((1, 8, 8), CLASSES - 1)
    labels[0, 2:4, 2:5] = 7
    ideal = nn.functional.one_hot(labels, CLASSES).float() * 50
    value, numbers = dense_loss(lambda pixels: ideal, (torch.zeros(1, 32, 32, 3, dtype=torch.uint8), labels))
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert numbers == {"cells_right": 1.0, "background_right": 1.0}
    blind = torch.zeros_like(ideal)
    blind[..., -1] = 50  # background everywhere
    _, numbers = dense_loss(lambda pixels: blind, (torch.zeros(1, 32, 32, 3, dtype=torch.uint8), labels))
    assert numbers == {"cells_right": 0.0, "background_right": 1.0}


def test_normalising_gives_zero_mean_colour_zero():
    grey = torch.tensor([0.48145466, 0.4578275, 0.40821073]) * 255
    image = grey.round().to(torch.uint8).expand(1, 8, 8, 3)
    assert normalise(image).shape == (1, 3, 8, 8)
    assert normalise(image).abs().max() < 0.01


def test_a_trunk_grows_to_larger_images_and_keeps_its_weights():
    torch.manual_seed(0)
    small = DenseTrunk(32)
    large = resize_positions(small, 64)
    assert large(torch.zeros(1, 3, 64, 64)).shape == (1, 16, 16, CLASSES)
    assert torch.equal(large.head.weight, small.head.weight)
    table = large.vision.embeddings.position_embedding.weight
    assert table.shape == (65, 192)
    assert torch.equal(table[0], small.vision.embeddings.position_embedding.weight[0])


def test_blip_adopts_the_trunk_nearly_exactly():
    torch.manual_seed(0)
    trunk = DenseTrunk(32).eval()
    blip, _ = image_captioner.build(32)
    images = torch.randint(0, 255, (8, 32, 32, 3), dtype=torch.uint8)
    image_captioner.adopt(blip, trunk, images)
    with torch.inference_mode():
        wanted = trunk.norm(trunk.vision(normalise(images), output_hidden_states=True).hidden_states[-1])
        found = blip.eval().vision_model(normalise(images)).last_hidden_state
    assert (found - wanted).norm() / wanted.norm() < 0.03


def test_the_segmenter_starts_with_small_logits():
    torch.manual_seed(0)
    model, processor = segmenter.build(64)
    inputs = processor(text=["A photo of dog"], images=[np.zeros((64, 64, 3), np.uint8)], return_tensors="pt")
    with torch.inference_mode():
        logits = model.eval()(**inputs).logits
    assert logits.shape[-2:] == (64, 64)
    assert logits.abs().max() < 10


def test_every_word_is_one_token_of_the_byte_level_tokenizers():
    from transformers import CLIPTokenizer, RobertaTokenizer

    vocab, merges = byte_level_bpe(["<|startoftext|>", "<|endoftext|>"], CLIPTokenizer(), suffix="</w>")
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges)
    assert all(len(tokenizer.tokenize(word)) == 1 for kind in KINDS for word in kind.noun.split())
    vocab, merges = byte_level_bpe(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], RobertaTokenizer())
    tokenizer = RobertaTokenizer(vocab=vocab, merges=merges)
    assert all(len(tokenizer.tokenize(f"a {kind.noun.split()[0]}")) == 2 for kind in KINDS)


def test_captions_and_queries_read_well():
    dog, owl, kit, scissors = (next(k for k in KINDS if k.noun == n) for n in ("dog", "owl", "drum kit", "scissors"))
    assert image_caption([dog]) == "a dog"
    assert image_caption([owl, dog]) == "an owl and a dog"
    assert image_caption([dog, scissors, kit]) == "a dog, scissors and a drum kit"
    assert wording("{caption}", scissors) == "scissors are snipping"
    assert wording("A photo of {noun}", kit) == "A photo of drum kit"
    assert {"a", "an", "and", ",", "dog", "drum", "kit"} <= set(word_list())
    queries = [any_query(np.random.default_rng(i), dog) for i in range(200)]
    assert 0.35 < np.mean([query == "A photo of dog" for query in queries]) < 0.65
