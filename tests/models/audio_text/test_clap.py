import numpy as np
import pytest
import torch

from models.audio_text.clap import ClapEncoder
from models.roles import AudioTextEncoder
from tests.checkpoints.tiny_config import save_network
from tests.models.long_sounds import mean_embed
from utils.errors import UserError

TEXTS = ["a sound of a dog", "guitar", "the dog is barking loudly over the house and the house and the house"]


@pytest.fixture(scope="module")
def clap(loaded):
    return loaded["audio_text"]


def test_shapes_types_and_norms(clap, sounds):
    assert isinstance(clap, AudioTextEncoder) and clap.embed_dim == 24
    for embeds, count in [(clap.encode_audio(*sounds), 6), (clap.encode_text(TEXTS), 3)]:
        assert embeds.shape == (count, 24) and embeds.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-5)
    assert clap.encode_audio([], []).shape == clap.encode_text([]).shape == (0, 24)


def test_alone_or_in_a_batch_and_twice_it_is_the_same(clap, sounds):
    together = clap.encode_audio(*sounds)
    alone = [clap.encode_audio([waveform], [rate])[0] for waveform, rate in zip(*sounds, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(clap.encode_audio(*sounds), together)
    texts = clap.encode_text(TEXTS)
    np.testing.assert_allclose(texts, [clap.encode_text([text])[0] for text in TEXTS], atol=1e-5)


def test_the_library_itself_gives_the_same(clap, sounds):
    from transformers import ClapModel, ClapProcessor

    network = ClapModel.from_pretrained(clap.provenance["id"], dtype=torch.float32).eval()
    processor = ClapProcessor.from_pretrained(clap.provenance["id"])
    audio = processor.feature_extractor(sounds[0][0], sampling_rate=16000, return_tensors="pt")
    tokens = processor.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        audio_embeds = network.get_audio_features(**audio).pooler_output
        text_embeds = network.get_text_features(**tokens).pooler_output
    np.testing.assert_allclose(clap.encode_audio(sounds[0][:1], [16000]), audio_embeds, atol=1e-5)
    np.testing.assert_allclose(clap.encode_text(TEXTS), text_embeds, atol=1e-5)


def test_a_long_sound_is_the_mean_of_its_windows_by_what_is_heard_in_each(clap, sounds):
    waveform = sounds[0][1][:74400]  # windows of 32,000, and a whole number of moments
    windows = [waveform[:32000], waveform[32000:64000], waveform[64000:]]
    mean = mean_embed(clap, windows, 16000)
    np.testing.assert_allclose(clap.encode_audio([waveform], [16000])[0], mean, atol=1e-4)
    silence = np.zeros(10 * 16000, np.float32)
    alone = clap.encode_audio([waveform], [16000])[0]
    late = np.concatenate([silence, waveform, silence])
    np.testing.assert_allclose(clap.encode_audio([late], [16000])[0], alone, atol=1e-5)


def test_no_sound_is_silence(clap):
    empty, silent = clap.encode_audio([np.zeros(0, np.float32), np.zeros(16000, np.float32)], [44100, 16000])
    np.testing.assert_allclose(empty, silent, atol=1e-5)


def test_fusion_models_are_not_random_either(tmp_path, sounds):
    fused = ClapEncoder.from_pretrained(str(save_network("audio_text", tmp_path, "laion/clap-htsat-fused")))
    together = fused.encode_audio(*sounds)
    np.testing.assert_array_equal(fused.encode_audio(*sounds), together)
    np.testing.assert_allclose(fused.encode_audio([sounds[0][1]], [16000])[0], together[1], atol=1e-5)


@pytest.fixture(scope="module", params=["laion/clap-htsat-unfused", "laion/clap-htsat-fused"])
def published(request, tiny):
    """Small networks behind the published preprocessing: 10 s at 48 kHz."""
    return ClapEncoder.from_pretrained(tiny(request.param))


def test_one_second_ten_and_thirty_have_one_embedding_each(published, tones):
    together = published.encode_audio(*tones)
    assert together.shape == (6, 24) and published.window_length == 480000
    alone = [published.encode_audio([waveform], [rate])[0] for waveform, rate in zip(*tones, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(published.encode_audio(*tones), together)
    windows = mean_embed(published, np.split(tones[0][2], 3), 48000)
    np.testing.assert_allclose(together[2], windows, atol=1e-4)


def test_the_published_preprocessing_is_the_librarys(published, tones):
    from transformers import ClapModel, ClapProcessor

    folder = published.provenance["id"]
    network, processor = ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)
    sounds = [waveform for waveform, rate in zip(*tones, strict=True) if rate == 48000 and len(waveform) <= 480000]
    audio = processor.feature_extractor(sounds, sampling_rate=48000, return_tensors="pt")
    audio["is_longer"][:] = False  # of a batch without long sounds it calls one long, at random
    with torch.no_grad():
        audio_embeds = network.get_audio_features(**audio).pooler_output
    assert audio["input_features"].shape == (
        3,
        4 if processor.feature_extractor.truncation == "fusion" else 1,
        1001,
        64,
    )
    np.testing.assert_allclose(published.encode_audio(sounds, [48000] * 3), audio_embeds, atol=1e-5)


def test_half_precision_stays_near(published, clap, tones):
    folder = published.provenance["id"]
    half = ClapEncoder.from_pretrained(folder, dtype="bfloat16")
    found, expected = half.encode_audio(tones[0][:2], tones[1][:2]), published.encode_audio(tones[0][:2], tones[1][:2])
    assert found.dtype == np.float32 and (found * expected).sum(axis=1).min() > 0.97
    encode, table = half.pseudo_word_encoder("a sound of {}")
    words = table[:2].clone().requires_grad_()
    encode(words)[:, 0].sum().backward()
    assert words.grad.dtype == torch.float32 and words.grad.abs().sum() > 0


def test_texts_longer_than_the_network_are_cut(clap):
    np.testing.assert_allclose(clap.encode_text(["dog " * 200]), clap.encode_text(["dog " * 100]), atol=1e-5)


@pytest.mark.parametrize("template", ["a sound of {}", "a sound of a {} over the house", "the sound of a {}, loudly."])
def test_a_true_word_in_place_of_the_pseudo_word_gives_its_sentence(clap, template):
    encode, table = clap.pseudo_word_encoder(template)
    (token,) = clap.processor.tokenizer(" dog", add_special_tokens=False)["input_ids"]
    assert table.shape == (len(clap.processor.tokenizer), 32) and table.dtype == torch.float32
    np.testing.assert_allclose(encode(table[[token]]).detach(), clap.encode_text([template.format("dog")]), atol=1e-5)


def test_the_pseudo_word_can_be_optimised(clap):
    encode, table = clap.pseudo_word_encoder("a sound of {}")
    target = torch.from_numpy(clap.encode_text(["a sound of a violin"]))
    words = table[:3].clone().requires_grad_()
    before = (encode(words) @ target.T).mean()
    before.backward()
    assert words.grad.shape == (3, 32) and words.grad.abs().amax(dim=1).min() > 0
    moved = (words + words.grad / words.grad.norm() * 0.01).detach()
    assert (encode(moved) @ target.T).mean() > before
    assert not any(parameter.requires_grad for parameter in clap.network.parameters())


@pytest.mark.parametrize("template", ["a sound", "{} and {}"])
def test_a_template_needs_one_place(clap, template):
    with pytest.raises(ValueError, match="exactly one"):
        clap.pseudo_word_encoder(template)


def test_a_missing_tensor_is_refused(folders, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders["audio_text"], tmp_path / "clap")
    tensors = load_file(folder / "model.safetensors")
    del tensors["text_projection.linear2.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 of its tensors.*text_projection\.linear2\.bias"):
        ClapEncoder.from_pretrained(str(folder))
