import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import methods
from models.remembering import Memory, Rememberable, Remembering, said_of, size_of
from models.roles import AudioCaptioner, AudioTagger, AudioTextEncoder
from utils.errors import NotFinite
from utils.types import Query

FOLDER = Path(methods.__file__).resolve().parents[1] / "models"


class Encoder:
    """Embeds a text as (length, call number) and a sound as (sum, rate); counts what reaches it."""

    embed_dim = 2
    provenance = None

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
        return len, np.zeros((1, 2), np.float32)

    def tag(self, waveforms, sampling_rates, top_k=5):
        self.asked.append(len(waveforms))
        return [[("dog", 0.5), ("cat", 0.25)][:top_k] for _ in waveforms]

    def caption(self, images):
        self.asked.append(len(images))
        return [f"{image.shape}" for image in images]


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def model(memory):
    return memory.wrap(Encoder(), {})


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
    model = Memory(max_items=2).wrap(Encoder(), {})
    for texts in (["a"], ["bb"], ["a"], ["ccc"], ["a"], ["bb"]):
        model.encode_text(texts)
    assert model.asked == [["a"], ["bb"], ["ccc"], ["bb"]]


def test_one_request_larger_than_the_memory_is_still_answered():
    model, texts = Memory(max_items=2).wrap(Encoder(), {}), ["a" * n for n in range(1, 6)]
    np.testing.assert_array_equal(model.encode_text(texts)[:, 0], [1, 2, 3, 4, 5])


def test_empty_and_uneven_lists_are_left_to_the_model(model):
    assert model.encode_text([]).shape == (0, 2)
    with pytest.raises(ValueError, match="zip"):
        model.encode_audio([np.ones(3)], [16000, 8000])
    with pytest.raises(ValueError, match="zip"):
        model.encode_audio([np.ones(3)], [])


def test_it_does_and_has_what_the_model_does_and_has(model):
    assert isinstance(model, Remembering) and isinstance(model.model, Encoder)
    for contract in (AudioTextEncoder, AudioTagger, AudioCaptioner):
        assert all(hasattr(model, name) for name in contract.__dict__ if not name.startswith("_"))
    assert model.embed_dim == 2
    encode, table = model.pseudo_word_encoder("a {}")
    assert encode("abc") == 3 and table.shape == (1, 2)
    assert not hasattr(model, "segment") and not hasattr(model, "nouns")
    assert vars(model.model) == {"asked": []}  # which is left as it is
    assert copy.copy(model).embed_dim == 2 and pickle.loads(pickle.dumps(Encoder())).embed_dim == 2


class Segmenter(Rememberable):
    """Makes an array of 8 kB of each image; its part reads sentences."""

    def __init__(self, part=None):
        self.networks = {"scorer": part}
        self.asked = []

    def encode_images(self, images):
        self.asked.append(len(images))
        return [(np.full(1000, image.sum() / 16, np.float64),) for image in images]

    def segment(self, images, queries):
        return [encoded[0] for encoded in self.remembered.encode_images(images)]


@pytest.mark.parametrize("wrapped", [True, False])
def test_what_a_segmenter_makes_of_an_image_is_kept_whoever_asks(memory, wrapped):
    segmenter = memory.wrap(Segmenter(), {}) if wrapped else Segmenter()
    images = [np.ones((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)]
    for _ in range(2):
        maps = segmenter.segment(images, [])
        assert [values[0] for values in maps] == [0.75, 0]
    assert segmenter.asked == ([2] if wrapped else [2, 2])


def test_a_network_encodes_an_image_once_whatever_is_asked_about_it(memory, loaded):
    segmenter = memory.wrap(copy.copy(loaded["segmenter"]), {})
    image, passes = np.zeros((24, 40, 3), np.uint8), []
    handle = segmenter.network.clip.vision_model.register_forward_hook(lambda *_: passes.append(1))
    for query in ("dog", "cat"):
        segmenter.segment([image], [[Query(query)]])
    handle.remove()
    assert passes == [1]


def test_every_network_asks_for_what_it_makes_of_images_where_it_is_remembered():
    sources = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")}
    assert sum("self.remembered.encode_images(" in text for text in sources.values()) >= 5
    assert [name for name, text in sources.items() if "self.encode_images(" in text] == []


def test_all_that_is_wrapped_is_forgotten_at_once(memory, model):
    segmenter = memory.wrap(Segmenter(model), {})
    for _ in range(2):
        segmenter.networks["scorer"].encode_text(["dog"])
        segmenter.segment([np.ones((2, 2, 3), np.uint8)], [])
    assert model.asked == [["dog"]] and segmenter.asked == [1]
    memory.forget()
    segmenter.networks["scorer"].encode_text(["dog"])
    segmenter.segment([np.ones((2, 2, 3), np.uint8)], [])
    assert model.asked == [["dog"], ["dog"]] and segmenter.asked == [1, 1]


def test_the_memory_is_bounded_in_bytes_too():
    segmenter = Memory(max_bytes=20000).wrap(Segmenter(), {})  # two of them
    images = [np.full((1, 1, 3), value, np.uint8) for value in range(3)]
    for image in (*images, *images[1:], images[0]):
        segmenter.encode_images([image])
    assert segmenter.asked == [1] * 4


def test_sizes_are_counted_wherever_the_arrays_lie():
    array = np.zeros(10, np.float32)
    assert size_of({"a": [array, (torch.zeros(5),)], "b": Query("dog", embedding=array), "c": "text"}) == 40 + 20 + 40


class KeptInADict:
    """A cache, and how much was read from it and written to it."""

    def __init__(self):
        self.answers, self.log = {}, []

    def read(self, identity, stage, questions):
        self.log.append(("read", len({*questions})))
        known = self.answers.get((identity, stage), {})
        return {question: known[question] for question in questions if question in known}

    def write(self, identity, stage, answers):
        self.log.append(("write", len(answers)))
        self.answers.setdefault((identity, stage), {}).update(answers)


def test_a_cache_is_asked_for_what_is_not_remembered_and_given_what_is_new():
    cache = KeptInADict()
    first, second = (Memory(cache).wrap(Encoder(), {}) for _ in range(2))
    first.encode_text(["dog", "cat", "dog"])
    first.encode_text(["dog"])
    second.encode_text(["cat", "cow"])
    assert second.asked == [["cow"]]
    assert cache.log == [("read", 2), ("write", 2), ("read", 2), ("write", 1)]


def test_what_a_segmenter_makes_of_images_is_not_kept_on_disk():
    cache = KeptInADict()
    Memory(cache).wrap(Segmenter(), {}).encode_images([np.zeros((1, 1, 3), np.uint8)])
    assert cache.log == []


class Broken:
    """Answers every stage with one number of each kind."""

    provenance = {"family": "clap", "id": "a/b", "dtype": "float16"}  # noqa: RUF012

    def __init__(self, value, dtype=np.float32):
        self.value, self.asked = value, 0
        self.numbers = np.array([[0.5, value]], dtype)

    def encode_audio(self, waveforms, sampling_rates):
        self.asked += 1
        return self.numbers

    def encode_text(self, texts):
        return self.numbers

    def presence(self, images, texts):
        return self.numbers

    def tag(self, waveforms, sampling_rates, top_k=5):
        return [[("dog", 0.5), ("cat", self.value)]]

    def segment(self, images, queries):
        return [np.zeros((0, 3), np.float32), self.numbers]

    def pseudo_word_encoder(self, template):
        return lambda words: words * self.value, torch.tensor([[0.5, 1.0]])


SOUND = ([np.ones(4, np.float32)], [16000])
ASKED = {
    "encode_audio": SOUND,
    "encode_text": (["dog"],),
    "tag": SOUND,
    "presence": ([np.zeros((1, 1, 3), np.uint8)], ["dog", "cat"]),
    "segment": ([np.zeros((1, 2, 3), np.uint8)] * 2, [[Query("dog")]] * 2),
}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", ASKED)
def test_what_is_not_finite_is_refused_at_every_stage_and_not_remembered(stage, value):
    cache = KeptInADict()
    model = Memory(cache).wrap(Broken(value), {}, "cuda:1")
    said = rf"from {stage} of clap a/b \(float16 on cuda:1\), found some that are infinite or not-.*dtype=bfloat16"
    for _ in range(2):
        with pytest.raises(NotFinite, match=said):
            getattr(model, stage)(*ASKED[stage])
    assert not any(what == "write" for what, _ in cache.log)


def test_a_pseudo_words_steps_are_looked_at_too():
    words = torch.ones(2, 3, requires_grad=True)
    encode, table = Memory().wrap(Broken(1.0), {}).pseudo_word_encoder("a {}")
    encode(words).sum().backward()
    assert encode(words.bfloat16()).dtype == torch.bfloat16  # which numpy has not
    assert words.grad.sum() == 6 and table.shape == (1, 2)
    encode, _ = Memory().wrap(Broken(np.nan), {}).pseudo_word_encoder("a {}")
    with pytest.raises(NotFinite, match="from the pseudo-word of clap a/b"):
        encode(words)


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        (None, "a network (cpu)"),
        ({"family": "clap", "id": "a/b", "dtype": "float32", "autocast": "bfloat16"}, "clap a/b (bfloat16 on cpu)"),
        (
            {"family": "two", "parts": {n: {"family": n, "id": "x/y", "dtype": "float32"} for n in "ab"}},
            "two a x/y (float32) b x/y (float32) (cpu)",
        ),
    ],
)
def test_a_network_is_named_by_family_weights_precision_and_place(provenance, said):
    assert said_of(provenance, "cpu") == said


class Other(Encoder):
    pass


class Newer(Encoder):
    version = 2


class Revised(Encoder):
    provenance = {"revision": "2"}  # noqa: RUF012


class Parts(Encoder):
    def __init__(self, part):
        self.networks = {"part": part}


@pytest.mark.parametrize(
    "other",
    [
        (Encoder(), {"weights": "y"}, "cpu"),
        (Encoder(), {"weights": "x", "max_new_tokens": 3}, "cpu"),
        (Encoder(), {"weights": "x"}, "cuda:1"),
        (Other(), {"weights": "x"}, "cpu"),
        (Newer(), {"weights": "x"}, "cpu"),
        (Revised(), {"weights": "x"}, "cpu"),
    ],
)
def test_whatever_decides_an_answer_is_in_the_identity(memory, other):
    identity = memory.wrap(Encoder(), {"weights": "x"}, "cpu").identity
    assert memory.wrap(*other).identity != identity
    assert memory.wrap(Encoder(), {"weights": "x"}, "cpu").identity == identity
    assert memory.wrap(Parts(Newer()), {}).identity != memory.wrap(Parts(Encoder()), {}).identity


@pytest.fixture
def search(memory, fakes):
    """text_inversion, its audio-text model wrapped or not, and the number of items its search is asked for."""

    def search(wrapped=True, memory=memory, **values):
        models, asked = fakes.make_models(), []
        if wrapped:
            models["audio_text"] = memory.wrap(models["audio_text"], {})
        values = {**fakes.METHOD_SETTINGS["text_inversion"], **values}
        method = methods.create("text_inversion", models, values, memory=memory)
        invert = method.invert

        def invert_and_count(audio_embeds):
            asked.append(len(audio_embeds))
            return invert(audio_embeds)

        invert_and_count.__qualname__ = "TextInversion.invert"
        method.invert = invert_and_count
        return method, asked

    return search


def test_a_methods_own_costly_step_is_shared_too(fakes, search, memory):
    samples = [fakes.make_sample(thing) for thing in ("dog", "violin", "dog")]
    method, asked = search()
    first = method.predict(samples)
    assert asked == [2]
    second = method.predict(samples[:1])
    assert asked == [2] and second[0].trail["losses"] == first[0].trail["losses"]
    memory.forget()
    method.predict(samples[:1])
    assert asked == [2, 1]


def test_a_methods_step_depends_on_its_settings_its_version_and_its_networks(fakes, search):
    cache, samples = KeptInADict(), [fakes.make_sample("dog")]

    def count(version=1, **values):
        method, asked = search(memory=Memory(cache), **values)
        method.version = version
        method.predict(samples)
        return sum(asked)

    assert [count(), count(), count(min_similarity=-0.5)] == [1, 0, 0]
    assert [count(steps=149), count(template="the {}"), count(version=2)] == [1, 1, 1]
    assert count(wrapped=False) == 1  # nobody knows what decides its answers
