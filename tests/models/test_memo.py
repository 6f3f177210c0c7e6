import numpy as np
import pytest

from models.memo import remember
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
