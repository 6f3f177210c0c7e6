from typing import ClassVar

import numpy as np
import pytest

from models.remembering import forget, remember, size_of
from models.roles import AudioCaptioner, AudioTagger, AudioTextEncoder


class Encoder:
    """Embeds a text as (length, call number) and a sound as (sum, rate); counts what reaches it."""

    embed_dim = 2

    def __init__(self):
        self.asked = []

    def encode_audio(self, waveforms, sampling_rates):
        self.asked.append(len(waveforms))
        return np.array([[w.sum(), r] for w, r in zip(waveforms, sampling_rates, strict=True)], np.float32).reshape(
            -1, 2
        )

    def encode_text(self, texts):
        self.asked.append(list(texts))
        return np.array([[len(text), len(self.asked)] for text in texts], np.float32).reshape(-1, 2)

    def pseudo_word_encoder(self, template):
        return template

    def tag(self, waveforms, sampling_rates, top_k=5):
        self.asked.append(len(waveforms))
        return [[("dog", 0.5), ("cat", 0.25)][:top_k] for _ in waveforms]

    def caption(self, images):
        self.asked.append(len(images))
        return [f"{image.shape}" for image in images]


@pytest.fixture
def model():
    return remember(Encoder())


def test_each_text_reaches_the_model_once(model):
    first = model.encode_text(["dog", "horse", "dog"])
    second = model.encode_text(["horse", "cow", "dog"])
    assert model.asked == [["dog", "horse"], ["cow"]]
    np.testing.assert_array_equal(first, [[3, 1], [5, 1], [3, 1]])
    np.testing.assert_array_equal(second, [[5, 1], [3, 2], [3, 1]])


def test_sounds_are_known_by_content_and_rate(model):
    sound = np.ones(4, np.float32)
    model.encode_audio([sound], [16000])
    model.encode_audio([sound.copy()], sampling_rates=[16000])
    assert model.asked == [1]
    np.testing.assert_array_equal(model.encode_audio([sound, sound], [16000, 8000]), [[4, 16000], [4, 8000]])
    assert model.asked == [1, 1]


def test_images_of_the_same_bytes_but_another_shape_differ(model):
    pixels = np.zeros(24, np.uint8)
    captions = model.caption([pixels.reshape(2, 4, 3), pixels.reshape(4, 2, 3)])
    assert captions == ["(2, 4, 3)", "(4, 2, 3)"]


def test_an_option_is_part_of_the_question(model):
    sound = np.ones(4, np.float32)
    assert len(model.tag([sound], [16000], top_k=1)[0]) == 1
    assert len(model.tag([sound], [16000], 2)[0]) == 2
    assert len(model.tag([sound], [16000])[0]) == 2
    assert len(model.tag([sound], [16000], top_k=5)[0]) == 2
    assert model.asked == [1, 1, 1]


def test_a_caller_cannot_change_what_is_remembered(model):
    sound = np.ones(4, np.float32)
    model.tag([sound], [16000])[0].clear()
    model.encode_text(["dog"])[:] = 0
    assert model.tag([sound], [16000]) == [[("dog", 0.5), ("cat", 0.25)]]
    assert model.encode_text(["dog"])[0, 0] == 3


def test_the_memory_is_bounded_and_keeps_what_was_used_last():
    model = remember(Encoder(), max_items=2)
    for texts in (["a"], ["bb"], ["a"], ["ccc"], ["a"], ["bb"]):
        model.encode_text(texts)
    assert model.asked == [["a"], ["bb"], ["ccc"], ["bb"]]


def test_one_request_larger_than_the_memory_is_still_answered():
    texts = ["a" * n for n in range(1, 6)]
    np.testing.assert_array_equal(remember(Encoder(), max_items=2).encode_text(texts)[:, 0], [1, 2, 3, 4, 5])


def test_empty_and_uneven_lists_are_left_to_the_model(model):
    assert model.encode_text([]).shape == (0, 2)
    with pytest.raises(ValueError, match="zip"):
        model.encode_audio([np.ones(3)], [16000, 8000])
    with pytest.raises(ValueError, match="zip"):
        model.encode_audio([np.ones(3)], [])


def test_it_stays_what_it_was(model):
    assert isinstance(model, Encoder) and isinstance(model, AudioTextEncoder)
    assert isinstance(model, AudioTagger) and isinstance(model, AudioCaptioner)
    assert model.embed_dim == 2
    assert model.pseudo_word_encoder("a {}") == "a {}"
    assert "segment" not in vars(model)


class Segmenter:
    """Makes an array of 8 kB of each image; its part reads sentences."""

    def __init__(self):
        self.networks = {"scorer": Encoder()}
        self.asked = []

    def encode_images(self, images):
        self.asked.append(len(images))
        return [(np.full(1000, image.sum(), np.float64),) for image in images]

    def segment(self, images, queries):
        return [encoded[0] for encoded in self.encode_images(images)]


def test_what_a_segmenter_makes_of_an_image_is_kept_whoever_asks():
    segmenter, images = remember(Segmenter()), [np.ones((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)]
    for _ in range(2):
        maps = segmenter.segment(images, [])
        assert [values[0] for values in maps] == [12, 0]
    assert segmenter.asked == [2]


def test_parts_remember_too():
    segmenter = remember(Segmenter())
    for _ in range(2):
        segmenter.networks["scorer"].encode_text(["dog"])
    assert segmenter.networks["scorer"].asked == [["dog"]]
    forget(segmenter)
    segmenter.networks["scorer"].encode_text(["dog"])
    assert segmenter.networks["scorer"].asked == [["dog"], ["dog"]]


def test_the_memory_is_bounded_in_bytes_too():
    segmenter = remember(Segmenter(), max_bytes=20000)  # two of them
    images = [np.full((1, 1, 3), value, np.uint8) for value in range(3)]
    for image in (*images, *images[1:], images[0]):
        segmenter.encode_images([image])
    assert segmenter.asked == [1] * 4


def test_what_is_forgotten_is_asked_again(model):
    model.encode_text(["dog"])
    forget(model, object(), Encoder())  # and what has no memory is left alone
    model.encode_text(["dog"])
    assert model.asked == [["dog"], ["dog"]]


def test_sizes_are_counted_wherever_the_arrays_lie():
    import torch

    from utils.types import Query

    array = np.zeros(10, np.float32)
    assert size_of({"a": [array, (torch.zeros(5),)], "b": Query("dog", embedding=array), "c": "text"}) == 40 + 20 + 40


class KeptInADict:
    """A store, and what was read from it and written to it."""

    def __init__(self):
        self.answers, self.log = {}, []

    def read(self, stage, keys):
        keys = list(keys)
        self.log.append(("read", len(keys)))
        return {key: self.answers[key] for key in keys if key in self.answers}

    def write(self, stage, answers):
        self.log.append(("write", len(answers)))
        self.answers |= answers


def test_a_store_is_asked_for_what_is_not_remembered_and_given_what_is_new():
    store = KeptInADict()
    first, second = remember(Encoder(), store=store), remember(Encoder(), store=store)
    first.encode_text(["dog", "cat", "dog"])
    first.encode_text(["dog"])
    second.encode_text(["cat", "cow"])
    assert second.asked == [["cow"]]
    assert store.log == [("read", 2), ("write", 2), ("read", 2), ("write", 1)]


def test_what_a_segmenter_makes_of_images_is_not_stored():
    store = KeptInADict()
    remember(Segmenter(), store=store).encode_images([np.zeros((1, 1, 3), np.uint8)])
    assert store.log == []


class Strategy(Encoder):
    remembered: ClassVar = {"search": ("audio_text",)}

    def search(self, texts):
        self.asked.append(list(texts))
        return [{"length": len(text)} for text in texts]


def test_a_strategy_names_what_is_to_be_remembered():
    strategy = remember(Strategy())
    assert strategy.search(["dog", "dog"]) == strategy.search(["dog", "dog"]) == [{"length": 3}] * 2
    assert strategy.asked == [["dog"]]
    forget(strategy)
    strategy.search(["dog"])
    assert strategy.asked == [["dog"], ["dog"]]
    strategy.remembered = {"serach": ()}
    with pytest.raises(AttributeError, match="serach"):
        remember(strategy)
