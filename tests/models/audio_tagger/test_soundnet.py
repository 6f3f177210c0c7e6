"""SoundNet as a tagger, on the bundled weights: what length, level and silence do to its answer, and what it hears."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

import numpy as np
import pytest
import soxr
import torch

from models.audio_tagger.soundnet import SoundNetTagger, classes_of
from models.pocket.soundnet_network import FRAME_CHANNELS, FRAMES, HEADS, LEVEL, SAMPLING_RATE, SoundHead, frames
from models.roles import AudioTagger
from tests.checkpoints.pocket import BUNDLED, example
from tests.models.long_sounds import mean_by_energy
from utils.errors import UserError
from utils.language import audioset, imagenet

FOLDER = BUNDLED / "soundnet"


@pytest.fixture(scope="module")
def tagger():
    return SoundNetTagger.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def bark():
    """A dog: (T,) float32 at SAMPLING_RATE, 0.9 s."""
    _, waveform, rate = example("farm_dog")
    assert rate == SAMPLING_RATE
    return waveform


def probabilities(tagger, *waveforms, rate=SAMPLING_RATE):
    """(N, K), in the order of the labels."""
    tags = tagger.tag(waveforms, [rate] * len(waveforms), top_k=1000)
    return np.array([[dict(some)[label] for label in tagger.labels] for some in tags])


def test_what_is_heard_has_one_form_whatever_the_length(tagger, sounds):
    heard = tagger.encode_audio(*sounds)  # short, long, other rates, one sample, nothing at all
    assert isinstance(tagger, AudioTagger)
    assert heard.shape == (6, 1000 + len(tagger.labels)) and heard.dtype == np.float32 and np.isfinite(heard).all()
    np.testing.assert_allclose(heard[:, :1000].mean(1), 0, atol=0.02)
    np.testing.assert_allclose(np.exp(heard[:5, 1000:]).sum(1), 1, atol=1e-4)
    assert tagger.encode_audio([], []).shape == (0, heard.shape[1]) and tagger.tag([], []) == []
    alone = [tagger.encode_audio([sounds[0][i]], [sounds[1][i]])[0] for i in (0, 2)]
    np.testing.assert_array_equal(heard[[0, 2]], alone)


def test_labels_come_best_first_with_probabilities(tagger, bark):
    (five,), (every,) = tagger.tag([bark], [SAMPLING_RATE]), tagger.tag([bark], [SAMPLING_RATE], top_k=1000)
    assert five == every[:5] and len(every) == len(tagger.labels) == len(dict(every))
    values = [probability for _, probability in every]
    assert values == sorted(values, reverse=True) and all(type(value) is float for value in values)
    assert values[-1] >= 0 and sum(values) == pytest.approx(1, abs=1e-5)


def test_bundled_recordings_are_recognised(tagger):
    tags = {}
    for stem in ("farm_dog", "farm_duck", "farm_sheep"):
        _, waveform, rate = example(stem)
        ((tags[stem],),) = tagger.tag([waveform], [rate], top_k=1)
    assert tags["farm_dog"][0] == "dog" and tags["farm_dog"][1] > 0.5
    assert tags["farm_duck"][0] == "duck"
    assert tags["farm_sheep"][0] in ("sheep", "goat")


def test_a_sound_equals_itself_repeated(tagger, bark):
    once, twice, thrice = tagger.encode_audio([bark, np.tile(bark, 2), np.tile(bark, 3)], [SAMPLING_RATE] * 3)
    np.testing.assert_array_equal(once, twice)
    np.testing.assert_array_equal(once, thrice)


def test_the_level_does_not_matter(tagger, bark):
    loud, faint = probabilities(tagger, bark, 0.1 * bark)
    np.testing.assert_allclose(loud, faint, atol=1e-3)
    assert loud.max() > 0.5


def test_another_rate_is_the_same_sound(tagger, bark):
    again = soxr.resample(bark, SAMPLING_RATE, 44100)
    found, expected = probabilities(tagger, again, rate=44100)[0], probabilities(tagger, bark)[0]
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_silence_and_no_sound_are_what_stands_out_nowhere(tagger):
    nothing = [np.zeros(SAMPLING_RATE, np.float32), np.zeros(0, np.float32), np.zeros(60 * SAMPLING_RATE, np.float32)]
    heard = tagger.encode_audio(nothing, [SAMPLING_RATE] * 3)
    for part in tagger.z_scores(heard):
        np.testing.assert_allclose(part, 0, atol=1e-4)
    found = probabilities(tagger, *nothing)
    np.testing.assert_allclose(found @ tagger.groups.T, 1 / len(tagger.groups), atol=1e-4)


@pytest.fixture(scope="module")
def minute():
    """A window each of one noise, of another that is fainter, and of silence."""
    rng = np.random.default_rng(0)
    length = 202 * 1102  # moments of 50 ms in 10.1 s
    first = rng.uniform(-0.5, 0.5, length).astype(np.float32)
    second = np.convolve(rng.uniform(-0.5, 0.5, length), np.ones(20) / 20, "same").astype(np.float32)
    return first, second, np.zeros(length, np.float32)


def test_silence_around_a_sound_is_not_heard(tagger, minute):
    first, _, silence = minute
    alone, followed = tagger.encode_audio([first, np.concatenate([first, silence, silence])], [SAMPLING_RATE] * 2)
    np.testing.assert_allclose(followed, alone, atol=1e-5)
    late = np.concatenate([silence, first, 0.001 * minute[1]])  # more than 40 dB below
    np.testing.assert_allclose(tagger.encode_audio([late], [SAMPLING_RATE])[0], alone, atol=1e-5)


def test_windows_count_by_their_energy(tagger, minute):
    parts = minute[:2]
    one, other, both = tagger.encode_audio([*parts, np.concatenate(parts)], [SAMPLING_RATE] * 3)
    assert np.abs(one - other).max() > 0.5
    assert 0.02 < mean_by_energy(np.eye(2), parts)[1] < 0.2
    np.testing.assert_allclose(both, mean_by_energy(np.stack([one, other]), parts), atol=0.01)


def owl(name):
    """A recording in which an owl hoots, and the same one in what surrounds it, at 16 kHz."""
    _, hoots, rate = example("farm_owl")
    hoots = soxr.resample(hoots, rate, 16000)
    noise = np.random.default_rng(0)

    def quiet(seconds):
        return (0.0005 * noise.standard_normal(round(seconds * 16000))).astype(np.float32)

    silence = np.zeros(40 * 16000, np.float32)
    parts = {
        "alone": [hoots],
        "after 40 s": [quiet(40), hoots],
        "before 40 s": [hoots, quiet(40)],
        "8 times": [hoots] * 8,
        "after 9 s": [quiet(9), hoots],
        "after zeros": [silence, hoots],
        "across 10 s": [quiet(9), hoots, quiet(9)],
        "across 20 s": [quiet(19), hoots, quiet(20)],
        "at the end": [quiet(31.3), hoots[16000:]],
        "beside a hum": [quiet(40) * 30, hoots, quiet(40) * 30],
    }
    return np.concatenate(parts[name])


SURROUNDED = ["after 40 s", "before 40 s", "8 times", "after 9 s", "after zeros", "across 10 s", "across 20 s"]


@pytest.fixture(scope="module")
def alone(tagger):
    """(1, 1000 + K): what is heard of the owl alone."""
    return tagger.encode_audio([owl("alone")], [16000])


@pytest.mark.parametrize("name", SURROUNDED)
def test_an_owl_in_a_long_sound_is_the_owl(tagger, alone, name, monkeypatch):
    both = np.concatenate([alone, tagger.encode_audio([owl(name)], [16000])])
    scores = np.concatenate(tagger.z_scores(both), axis=1)
    monkeypatch.setattr(tagger, "encode_audio", lambda *_: both)  # is not to be heard again for its tags
    near, found = tagger.tag([owl("alone"), owl(name)], [16000] * 2, top_k=1)
    assert found[0][0] == near[0][0]
    assert np.corrcoef(scores)[0, 1] > 0.95


@pytest.mark.parametrize("name", ["at the end", "beside a hum"])
def test_what_is_left_of_it_is_nearer_to_it_than_to_what_surrounds_it(tagger, alone, name):
    whole = owl(name)
    heard = tagger.encode_audio([whole, whole[: 10 * 16000]], [16000] * 2)
    scores = np.concatenate(tagger.z_scores(np.concatenate([alone, heard])), axis=1)
    likeness = np.corrcoef(scores)
    assert likeness[0, 1] > 0.6 and likeness[0, 1] > likeness[1, 2] + 0.3


def test_groups_partition_the_labels(tagger):
    assert tagger.groups.dtype == bool and tagger.groups.shape[1] == len(tagger.labels)
    assert (tagger.groups.sum(0) == 1).all()
    for members, classes in zip(tagger.groups, tagger.group_classes, strict=True):
        for label in np.flatnonzero(members):
            np.testing.assert_array_equal(classes_of([tagger.labels[label]])[0], classes)
    seen = tagger.group_classes[tagger.group_classes.any(1)]
    assert len({row.tobytes() for row in seen}) == len(seen) > 50


def test_what_a_label_looks_like():
    expected = [imagenet.lookup(word) for word in ("dog", "dog", "person")]
    np.testing.assert_array_equal(classes_of(["dog", "Bark", "Speech"]), expected)
    assert audioset.things("Wind") == ()
    for unseen in ("Wind", "xqzt"):
        assert classes_of([unseen]).shape == (1, 1000) and not classes_of([unseen]).any()


def test_z_scores_are_those_of_the_tables(tagger):
    heard = np.random.default_rng(0).normal(size=(3, 1000 + len(tagger.labels))).astype(np.float32)
    objects, groups = tagger.z_scores(heard)
    np.testing.assert_allclose(
        objects[1, 7], (heard[1, 7] - tagger.table("objects_mean")[7]) / tagger.table("objects_deviation")[7], rtol=1e-4
    )
    row = int(tagger.groups.sum(1).argmax())
    assert tagger.groups[row].sum() > 1
    summed = np.log(np.exp(heard[2, 1000:][tagger.groups[row]]).sum())
    expected = (summed - tagger.table("groups_mean")[row]) / tagger.table("groups_deviation")[row]
    np.testing.assert_allclose(groups[2, row], expected, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_near(tagger, bark, dtype):
    found = probabilities(SoundNetTagger.from_pretrained(FOLDER, dtype=dtype), bark)
    np.testing.assert_allclose(found, probabilities(tagger, bark), atol=0.2)
    assert tagger.labels[found[0].argmax()] == "dog"


def test_a_loud_tone_is_finite_where_float32_computes_in_float16(tagger, monkeypatch):
    """As on CUDA, where the energy of a tone would be more than float16 holds."""

    @contextmanager
    def as_on_cuda():
        with torch.inference_mode(), torch.autocast("cpu", torch.float16):
            yield

    tone = np.sin(2 * np.pi * 1000 * np.arange(SAMPLING_RATE) / SAMPLING_RATE).astype(np.float32)
    expected = tagger.encode_audio([tone], [SAMPLING_RATE])
    monkeypatch.setattr(tagger, "inference", as_on_cuda)
    np.testing.assert_allclose(tagger.encode_audio([tone], [SAMPLING_RATE]), expected, atol=0.1)


def test_what_the_heads_read():
    """Frames of 2,048 samples: the mean of a frame's energies, and that a click is in its own frame."""
    waveform = torch.zeros(1, 20 * SAMPLING_RATE)
    waveform[0, 50 * 2048 + 512] = LEVEL
    layers = {"conv3": (64, 4), "conv4": (128, 2), "conv5": (256, 1)}
    features = {name: torch.zeros(1, width, FRAMES * step + 9) for name, (width, step) in layers.items()}
    features["conv4"][0, 5, 2 * 30 : 2 * 31] = torch.tensor([1.0, 3.0])
    found = frames(waveform, features, torch.eye(64, 1025))
    assert found.shape == (1, FRAME_CHANNELS, FRAMES)
    assert found[0, 256 + 5, 30].item() == pytest.approx((np.log(2) + np.log(4)) / 2)
    energies = found[0, 448:512]  # the means of pairs
    assert energies.amax(0).argmax() == 50 and energies[:, 60].max() == pytest.approx(-6)
    torch.manual_seed(0)
    head = SoundHead(HEADS[0], 5).eval()
    spoilt = found.clone()
    spoilt[:, HEADS[0][1] :] = 99  # channels that this head does not read
    assert torch.equal(head(found), head(spoilt)) and head(found).shape == (1, 5)


def changed(copy, **changes):
    """The bundled folder with another config; None takes a key away."""
    copy.mkdir()
    os.link(FOLDER / "model.safetensors", copy / "model.safetensors")
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8")) | changes
    (copy / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return copy


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "ast"}, "expected soundnet8, found ast; name the family"),
        ({"architecture": None}, "expected soundnet8, found None; name the family"),
        ({"labels": None}, "as soundnet: 'labels'; name"),
        ({"labels": ["dog", "cat"]}, "as soundnet: .*size mismatch"),
        ({"groups": [[0], [1]]}, "as soundnet: .*size mismatch"),
        ({"heads": [[0, 448]]}, "as soundnet: .*[Uu]nexpected key"),
        ({"rank": 5}, "as soundnet: .*size mismatch"),
    ],
)
def test_a_config_that_does_not_fit_is_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence) as raised:
        SoundNetTagger.from_pretrained(changed(tmp_path / "copy", **changes))
    assert "\n" not in str(raised.value)


def test_the_backbone_alone_is_no_tagger(tmp_path):
    copy = changed(tmp_path / "copy", labels=None, groups=None, heads=None, rank=None)
    with pytest.raises(UserError, match="cannot load .* as soundnet: 'labels'"):
        SoundNetTagger.from_pretrained(copy)
