import json
import shutil

import numpy as np
import pytest

from models.audio_text.auto import AutoAudioTextEncoder
from models.audio_text.clap import ClapEncoder
from models.roles import AudioTextEncoder
from tests.checkpoints.tiny_config import save_network
from tests.models.long_sounds import mean_embed
from utils.errors import UserError

TEXTS = ["a sound of a dog", "guitar", "the dog is barking loudly over the house"]


@pytest.fixture(scope="module")
def auto(folders):
    return AutoAudioTextEncoder.from_pretrained(str(folders["audio_text"]))


def test_clap_comes_out_as_in_its_own_family(auto, loaded, sounds):
    clap = loaded["audio_text"]
    assert isinstance(auto, AudioTextEncoder) and isinstance(clap, ClapEncoder)
    assert (auto.embed_dim, auto.window_seconds, auto.window_length) == (24, 2, 32000)
    np.testing.assert_allclose(auto.encode_audio(*sounds), clap.encode_audio(*sounds), atol=1e-5)
    np.testing.assert_allclose(auto.encode_text(TEXTS), clap.encode_text(TEXTS), atol=1e-5)
    assert auto.encode_audio([], []).shape == auto.encode_text([]).shape == (0, 24)


def test_alone_or_in_a_batch_and_twice_it_is_the_same(auto, sounds):
    together = auto.encode_audio(*sounds)
    alone = [auto.encode_audio([waveform], [rate])[0] for waveform, rate in zip(*sounds, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(auto.encode_audio(*sounds), together)


def test_the_window_can_be_set(folders, auto, sounds):
    waveform = sounds[0][1][:32000]
    halves = AutoAudioTextEncoder.from_pretrained(str(folders["audio_text"]), window_seconds=1.0)
    expected = mean_embed(auto, [waveform[:16000], waveform[16000:]], 16000)
    np.testing.assert_allclose(halves.encode_audio([waveform], [16000])[0], expected, atol=1e-4)


def test_a_true_word_in_place_of_the_pseudo_word_gives_its_sentence(auto):
    encode, table = auto.pseudo_word_encoder("the sound of a {}, loudly.")
    (token,) = auto.tokenizer(" dog", add_special_tokens=False)["input_ids"]
    expected = auto.encode_text(["the sound of a dog, loudly."])
    np.testing.assert_allclose(encode(table[[token]]).detach(), expected, atol=1e-5)
    words = table[:2].clone().requires_grad_()
    encode(words)[:, 0].sum().backward()
    assert words.grad.abs().amax(dim=1).min() > 0


def test_no_text_inversion_without_a_table_of_tokens(auto, monkeypatch):
    monkeypatch.setattr(type(auto.tokenizer), "__len__", lambda self: 10**6)
    with pytest.raises(UserError, match=r"found 0: this family cannot do text inversion"):
        auto.pseudo_word_encoder("a sound of {}")


def test_half_precision_stays_near(folders, auto, sounds):
    half = AutoAudioTextEncoder.from_pretrained(str(folders["audio_text"]), dtype="bfloat16")
    found, expected = half.encode_audio(*sounds), auto.encode_audio(*sounds)
    assert found.dtype == np.float32 and (found * expected).sum(axis=1).min() > 0.98


def test_other_networks_are_refused(tmp_path):
    with pytest.raises(UserError, match="get_audio_features"):
        AutoAudioTextEncoder.from_pretrained(str(save_network("audio_tagger", tmp_path)))


def test_an_incomplete_one_is_refused(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["audio_text"], tmp_path / "clap")
    tensors = load_file(folder / "model.safetensors")
    del tensors["audio_projection.linear1.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 of its tensors.*audio_projection\.linear1"):
        AutoAudioTextEncoder.from_pretrained(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": "unheard_of"}))
    with pytest.raises(UserError, match="unheard_of"):
        AutoAudioTextEncoder.from_pretrained(str(folder))
