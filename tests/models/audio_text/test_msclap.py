import builtins
import sys

import numpy as np
import pytest
import torch

from models.audio_text.msclap import FILE, SAMPLING_RATE, SECONDS, MsClapEncoder
from models.roles import AudioTextEncoder
from tests.models.long_sounds import mean_embed
from utils.errors import UserError

TEXTS = ["a sound of a dog", "guitar", "the dog is barking loudly over the house"]
LENGTH = SECONDS * SAMPLING_RATE


def test_without_the_package_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    importing = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == "msclap":
            raise ImportError("No module named 'msclap'")
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for name in [name for name in sys.modules if name.split(".")[0] == "msclap"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UserError, match="pip install --no-deps msclap torchlibrosa"):
        MsClapEncoder.from_pretrained(str(tmp_path / FILE))


def test_only_float32(tmp_path):
    with pytest.raises(UserError, match="float32"):
        MsClapEncoder.from_pretrained(str(tmp_path / FILE), dtype="bfloat16")


@pytest.fixture(scope="module")
def package():
    return pytest.importorskip("msclap.models.clap", reason="msclap is optional", exc_type=ImportError)


@pytest.fixture(scope="module")
def original(package, tmp_path_factory):
    """The package's own network, GPT-2 made small, and a folder with its weights and tokenizer as published."""
    from tokenizers import pre_tokenizers
    from transformers import GPT2Config, GPT2Model, GPT2Tokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())  # "!" is the first, as in GPT-2's vocabulary
    vocab = {token: i for i, token in enumerate([*alphabet, "<|endoftext|>"])}
    folder = tmp_path_factory.mktemp("msclap")
    GPT2Tokenizer(vocab=vocab, merges=[]).save_pretrained(folder)
    config = GPT2Config(vocab_size=len(vocab), n_embd=128, n_layer=2, n_head=2, n_positions=96)
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package.AutoModel, "from_pretrained", lambda name: GPT2Model(config))
        network = package.CLAP(
            "HTSAT", sample_rate=SAMPLING_RATE, window_size=1024, hop_size=320, mel_bins=64, fmin=50, fmax=8000,
            classes_num=527, out_emb=768, text_model="gpt2", transformer_embed_dim=128, d_proj=1024,
        ).eval()  # fmt: skip
    tensors = network.state_dict() | {"caption_encoder.base.h.0.attn.bias": torch.ones(1, 1, 96, 96, dtype=torch.bool)}
    torch.save({"model": tensors}, folder / FILE)
    return network, folder


@pytest.fixture(scope="module")
def encoder(original):
    return MsClapEncoder.from_pretrained(str(original[1]), tokenizer=str(original[1]))


@pytest.fixture(scope="module")
def sounds():
    rng = np.random.default_rng(0)
    lengths = {44100: 30000, 16000: 160000, 48000: 0, 8000: 1}
    return [rng.uniform(-0.5, 0.5, length).astype(np.float32) for length in lengths.values()], list(lengths)


def test_shapes_types_and_norms(encoder, sounds):
    assert isinstance(encoder, AudioTextEncoder) and encoder.embed_dim == 1024
    for embeds, count in [(encoder.encode_audio(*sounds), 4), (encoder.encode_text(TEXTS), 3)]:
        assert embeds.shape == (count, 1024) and embeds.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-5)
    assert encoder.encode_audio([], []).shape == encoder.encode_text([]).shape == (0, 1024)
    assert encoder.provenance["sha256"] and encoder.provenance["revision"] is None


def test_alone_or_in_a_batch_and_twice_it_is_the_same(encoder, sounds):
    together = encoder.encode_audio(*sounds)
    alone = [encoder.encode_audio([waveform], [rate])[0] for waveform, rate in zip(*sounds, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_array_equal(encoder.encode_audio(*sounds), together)
    texts = encoder.encode_text(TEXTS)
    np.testing.assert_allclose(texts, [encoder.encode_text([text])[0] for text in TEXTS], atol=1e-5)


def test_the_package_itself_gives_the_same(encoder, original):
    network, _ = original
    short = np.random.default_rng(1).uniform(-0.5, 0.5, 100000).astype(np.float32)
    repeated = torch.from_numpy(short).repeat(4)[:LENGTH]  # the wrapper's own way to 7 s
    tokens = encoder.tokenizer(
        [f"{text} <|endoftext|>" for text in TEXTS], max_length=77, padding="max_length", return_tensors="pt"
    )
    with torch.no_grad():
        audio_embeds = torch.nn.functional.normalize(network.audio_encoder(repeated[None])[0], dim=-1)
        text_embeds = torch.nn.functional.normalize(network.caption_encoder(tokens), dim=-1)
    np.testing.assert_allclose(encoder.encode_audio([short], [SAMPLING_RATE]), audio_embeds, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_text(TEXTS), text_embeds, atol=1e-5)


def test_a_long_sound_is_the_mean_of_its_windows(encoder):
    waveform = np.random.default_rng(2).uniform(-0.5, 0.5, LENGTH + 50000).astype(np.float32)
    expected = mean_embed(encoder, [waveform[:LENGTH], waveform[LENGTH:]], SAMPLING_RATE)
    np.testing.assert_allclose(encoder.encode_audio([waveform], [SAMPLING_RATE])[0], expected, atol=1e-5)


def test_a_cut_text_keeps_its_ending(encoder):
    ids = encoder.tokenize(["dog " * 40])["input_ids"]
    assert ids.shape == (1, 77)
    assert encoder.tokenizer.decode(ids[0]).endswith(" <|endoftext|>")
    np.testing.assert_allclose(encoder.encode_text(["dog " * 40]), encoder.encode_text(["dog " * 90]), atol=1e-6)


def test_the_padding_token_inside_a_text_is_read_as_any_other(encoder, original):
    network, _ = original
    ids = encoder.tokenizer(["stop! <|endoftext|>"], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        last = network.caption_encoder.base(input_ids=ids).last_hidden_state[:, -1]
        expected = torch.nn.functional.normalize(network.caption_encoder.projection(last), dim=-1)
    np.testing.assert_allclose(encoder.encode_text(["stop!", TEXTS[2]])[:1], expected, atol=1e-5)


@pytest.mark.parametrize("template", ["a sound of {}", "a {} over the house", "the sound of a{}, loudly."])
def test_a_true_token_in_place_of_the_pseudo_word_gives_its_sentence(encoder, template):
    encode, table = encoder.pseudo_word_encoder(template)
    (token,) = encoder.tokenizer("x")["input_ids"]
    expected = encoder.encode_text([template.replace(" {}", "x").replace("{}", "x")])  # no space: one byte is one token
    np.testing.assert_allclose(encode(table[[token]]).detach(), expected, atol=1e-5)
    words = table[:3].clone().requires_grad_()
    encode(words)[:, 0].sum().backward()
    assert words.grad.abs().amax(dim=1).min() > 0


def test_incomplete_weights_are_refused(original, tmp_path):
    tensors = torch.load(original[1] / FILE)["model"]
    torch.save({"model": {k: v for k, v in tensors.items() if "linear2" not in k}}, tmp_path / FILE)
    with pytest.raises(UserError, match=r"2 of its tensors are missing.*linear2"):
        MsClapEncoder.from_pretrained(str(tmp_path), tokenizer=str(original[1]))
    torch.save({"model": {"audio_encoder": torch.zeros(1)}}, tmp_path / FILE)
    with pytest.raises(UserError, match="caption_encoder"):
        MsClapEncoder.from_pretrained(str(tmp_path), tokenizer=str(original[1]))


def test_code_in_a_pickle_is_not_run(package, tmp_path):
    class Dangerous:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    torch.save({"model": Dangerous()}, tmp_path / FILE)
    with pytest.raises(UserError, match="cannot load"):
        MsClapEncoder.from_pretrained(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_missing_files_are_named(package, original, tmp_path):
    with pytest.raises(UserError, match=FILE):
        MsClapEncoder.from_pretrained(str(tmp_path))
    with pytest.raises(UserError, match=r"clap\.pth.*is not there"):
        MsClapEncoder.from_pretrained(str(tmp_path / "clap.pth"))
    with pytest.raises(UserError, match="microsoft/msclap"):
        MsClapEncoder.from_pretrained("microsoft/msclap")
    with pytest.raises(UserError, match="openai-community/gpt2"):
        MsClapEncoder.from_pretrained(str(original[1] / FILE))


def test_importing_the_package_leaves_warnings_on(package, encoder):
    import warnings

    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)
