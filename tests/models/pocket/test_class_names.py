"""Any wording to ImageNet's classes: the tables go first, the bundled network guesses the rest or knows nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from models.pocket.class_names import ARCHITECTURE, ClassNames, WordNetwork, pieces
from models.pocket.train import words
from utils.language import imagenet

FOLDER = Path(__file__).resolve().parents[3] / "models" / "pocket" / "words"
SIZES = {"buckets": 64, "width": 4, "hidden": 5, "shortest": 3, "longest": 5}
HASHING = {key: SIZES[key] for key in ("buckets", "shortest", "longest")}


@pytest.fixture(scope="module")
def class_names() -> ClassNames:
    return ClassNames.from_pretrained(FOLDER)


def test_the_tables_go_first(class_names):
    texts = ["A photo of dog", "giraffe", "a dog and a cat"]
    weights = class_names.encode(texts)
    assert weights.shape == (3, 1000) and weights.dtype == np.float32
    for text, row in zip(texts, weights, strict=True):
        np.testing.assert_array_equal(row, imagenet.lookup(text))
    assert class_names.kind(texts) == ["exact", "near", "exact"]


# Words that no table has -> the thing that must be among the first five.
@pytest.mark.parametrize(
    ("text", "thing"),
    {
        "narwhal": "orca",
        "catboat": "boat",
        "sousaphonist": "trombone",
        "labradoodle": "dog",
        "wallaroo": "wallaby",
        "capybara": "beaver",
        "pangolin": "armadillo",
        "barracuda": "fish",
        "saxaphone": "saxophone",
        "crocodille": "crocodile",
        "snowmobiler": "snowmobile",
        "halibut": "fish",
        "kestrel": "eagle",
        "clavier": "piano",
        "samisen": "banjo",
        "wolfhounds": "dog",
        "anaconda": "snake",
        "skink": "lizard",
        "wildebeest": "antelope",
        "semitrailer": "truck",
        "sloop": "sailboat",
        "triplane": "airplane",
        "satsuma": "orange",
        "chanterelle": "mushroom",
    }.items(),
)
def test_a_word_that_no_table_has_comes_near_its_like(class_names, text, thing):
    assert imagenet.lookup(text) is None, "a table knows it by now: put another word here"
    weights = class_names.encode([text])[0]
    assert thing in imagenet.nearest_words(weights, 5)
    assert weights.max() == 1 and weights.min() == 0
    assert class_names.kind([text]) == ["guessed"]


@pytest.mark.parametrize(
    "text",
    [
        "Tuesday",
        "yesterday",
        "mathematics",
        "inflation",
        "although",
        "philosophy",
        "qzxvkw",
        "asdfgh",
        "xxxx",
        "1234",
        "",
    ],
)
def test_what_nothing_is_known_of(class_names, text):
    assert class_names.kind([text]) == [None]
    assert not class_names.encode([text]).any()


def test_few_random_letters_pass_for_words(class_names):
    rng = np.random.default_rng(7)
    texts = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(4, 11))) for _ in range(300)]
    texts = [text for text in texts if imagenet.lookup(text) is None]
    assert sum(kind is not None for kind in class_names.kind(texts)) < 0.05 * len(texts)


def test_the_same_text_has_the_same_row_in_any_batch(class_names):
    texts = ["catboat", "dog", "narwhal", "Tuesday", "giraffe", "gherkin"]
    together = class_names.encode(texts)
    alone = np.concatenate([class_names.encode([text]) for text in reversed(texts)])[::-1]
    np.testing.assert_array_equal(together, alone)
    assert class_names.encode([]).shape == (0, 1000) and class_names.kind([]) == []


def test_the_file_is_small():
    assert (FOLDER / "model.safetensors").stat().st_size <= 3_500_000
    with safe_open(FOLDER / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118


def test_the_hash_is_fixed():
    """Trained weights mean nothing under another hash."""
    assert pieces("A photo of a dog", **HASHING) == pieces("dog", **HASHING) == [15, 24, 12, 61, 4, 42, 30, 24]
    assert pieces("", **HASHING) == pieces("the", **HASHING) == []


def test_the_last_word_counts_once_more():
    assert sorted(pieces("boat house", **HASHING)[1:]) == sorted(pieces("house boat", **HASHING)[1:])
    assert pieces("boat house", **HASHING)[0] == pieces("house", **HASHING)[0] != pieces("boat", **HASHING)[0]


def test_a_guess_leaves_out_the_faint_and_below_the_threshold_everything(tmp_path):
    network = WordNetwork(**SIZES)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    bias = network.layers[2].bias
    with torch.no_grad():
        bias[:-1] = -20
        bias[[3, 5, 8]] = torch.log(torch.tensor([1.0, 0.5, 0.05]))
        bias[-1] = np.log(1.55)  # as much as all classes together: half sure
    rows = {}
    for threshold in (0.49, 0.51):
        folder = tmp_path / str(threshold)
        folder.mkdir()
        save_file(network.state_dict(), folder / "model.safetensors")
        config = {"architecture": ARCHITECTURE, "sizes": SIZES, "threshold": threshold}
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        rows[threshold] = ClassNames.from_pretrained(folder).encode(["qwxz"])[0]
    assert np.flatnonzero(rows[0.49]).tolist() == [3, 5]
    np.testing.assert_allclose(rows[0.49][[3, 5]], [1, 0.5], rtol=1e-4)
    assert not rows[0.51].any()


def test_the_same_seed_trains_the_same_network(monkeypatch):
    monkeypatch.setattr(words, "STEPS", 3)
    monkeypatch.setattr(words, "BATCH", 8)
    network, again = (
        words._fit(words.Lessons(["dog", "cat"], np.eye(1001)[[207, 281]], np.ones(2) / 2), 0) for _ in "ab"
    )
    torch.testing.assert_close(network.state_dict(), again.state_dict(), rtol=0, atol=0)
    assert network.read(["dog"])[0].shape == (1, 1000)


NOUNS = {
    "okapi": "antelope",
    "trawler": "boat",
    "budgerigar": "parrot",
    "dirndl": "gown",
    "euphonium": "trombone",
}


@pytest.fixture(scope="module")
def meanings():
    """Name -> what is found for the first synset of it, among the classes' own synsets and a tenth of the others."""
    classes = {int(key[1:]) for key in (words.WORDNET / "imagenet_synsets.txt").read_text("utf-8").split()}
    some = [
        synset
        for i, synset in enumerate(words.synsets())
        if i % 10 == 0 or synset.number in classes or not NOUNS.keys().isdisjoint(synset.names)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "synsets", lambda: some)
        found = words.meanings.__wrapped__()
    backwards = zip(reversed(some), reversed(found), strict=True)
    return {name: weights for synset, weights in backwards for name in synset.names}


@pytest.mark.parametrize(("name", "thing"), NOUNS.items())
def test_what_wordnet_says_of_its_other_nouns(meanings, name, thing):
    assert thing in imagenet.nearest_words(meanings[name], 5)
