import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.audio_text.pe_av import PeAvEncoder
from models.remembering import Memory
from models.roles import AudioTextEncoder
from tests.models.long_sounds import mean_by_energy, mean_embed
from utils.errors import UserError

HUB_ID = "facebook/pe-av-small"


@pytest.fixture(scope="module")
def folder(tiny):
    return tiny(HUB_ID)


@pytest.fixture(scope="module")
def pe_av(folder):
    return PeAvEncoder.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def short(tones):
    """1 s, another rate, a single sample, nothing at all."""
    return [[given[i] for i in (0, 3, 4, 5)] for given in tones]


@pytest.fixture(scope="module")
def words(pe_av):
    """Some that are one token each, as most are to the published tokenizer."""
    return sorted(token[1:] for token in pe_av.tokenizer.get_vocab() if token[0] == "Ġ" and len(token) > 5)[:4]


@pytest.fixture(scope="module")
def library(folder):
    """The whole audio-visual network; its text encoder stops where the published heads were trained to read it."""
    from transformers import PeAudioVideoModel

    network, report = PeAudioVideoModel.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    network.audio_model.text_model.config.tie_last_hidden_states = False
    return network.eval()


def altered(folder, target, rename=lambda name: name, drop=(), **config):
    """A copy of a checkpoint with other names of tensors, or without some, or with other keys in its config."""
    import json

    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    kept = {rename(name): tensor for name, tensor in tensors.items() if name not in drop}
    save_file(kept, target / "model.safetensors", metadata={"format": "pt"})
    written = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(written | config))
    return str(target)


def test_shapes_types_and_norms(pe_av, short, words):
    assert isinstance(pe_av, AudioTextEncoder) and pe_av.embed_dim == 32
    for embeds in (pe_av.encode_audio(*short), pe_av.encode_text(words)):
        assert embeds.shape == (4, 32) and embeds.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-5)
        similarity = embeds @ embeds.T
        assert (similarity - np.eye(4)).max() < 0.99
    assert pe_av.encode_audio([], []).shape == pe_av.encode_text([]).shape == (0, 32)


def test_alone_or_in_a_batch_and_twice_it_is_the_same(folder, tones, words):
    pe_av = PeAvEncoder.from_pretrained(str(folder), window_seconds=1.0)
    tones = [[waveform[: 5 * rate // 2] for waveform, rate in zip(*tones, strict=True)], tones[1]]  # to three windows
    together = pe_av.encode_audio(*tones)
    alone = [pe_av.encode_audio([waveform], [rate])[0] for waveform, rate in zip(*tones, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(pe_av.encode_audio(*tones), together, atol=1e-6)
    texts = [words[0], f"a sound of {words[1]} and {words[2]}", ""]
    embeds = pe_av.encode_text(texts)
    np.testing.assert_allclose(embeds, [pe_av.encode_text([text])[0] for text in texts], atol=1e-5)


def test_the_library_itself_gives_the_same(pe_av, folder, library, tones, words):
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    sounds = [tones[0][0], tones[0][1][:100000]]
    texts = [words[0], f"a sound of {words[1]} and {words[2]}"]
    text = processor.tokenizer(texts, padding=True, return_tensors="pt")
    audio_embeds = []
    for sound in sounds:  # the library's own result for a sound depends on the silence its batch adds to it
        audio = processor.feature_extractor(sound, sampling_rate=48000, return_tensors="pt")
        with torch.no_grad():
            outputs = library.audio_model(**audio, **text)
        audio_embeds.append(torch.nn.functional.normalize(outputs.audio_embeds, dim=-1)[0].numpy())
    text_embeds = torch.nn.functional.normalize(outputs.text_audio_embeds, dim=-1)
    np.testing.assert_allclose(pe_av.encode_audio(sounds, [48000] * 2), audio_embeds, atol=1e-5)
    np.testing.assert_allclose(pe_av.encode_text(texts), text_embeds, atol=1e-5)


def test_what_the_heads_read_is_not_normed_first(pe_av, library, words):
    tokens = pe_av.tokenizer(words, padding=True, return_tensors="pt")
    library.audio_model.text_model.config.tie_last_hidden_states = True
    try:
        with torch.no_grad():
            outputs = library.audio_model(**tokens, input_values=torch.zeros(1, 1, 1920))
    finally:
        library.audio_model.text_model.config.tie_last_hidden_states = False
    normed = torch.nn.functional.normalize(outputs.text_audio_embeds, dim=-1).numpy()
    assert np.abs(pe_av.encode_text(words) - normed).max() > 1e-3


def test_windows_are_prepared_as_the_extractor_does(pe_av, folder, tones):
    from transformers import AutoFeatureExtractor

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    window = tones[0][0][:5000]
    expected = np.pad(window, (0, 3 * 1920 - 5000), mode="reflect")
    (prepared,) = extractor(window, sampling_rate=48000, return_tensors="pt")["input_values"]
    np.testing.assert_allclose(pe_av._samples(window)[0], prepared, atol=1e-5)
    np.testing.assert_allclose(prepared[0], expected, atol=1e-5)


def test_a_long_sound_is_the_mean_of_its_windows(folder, pe_av, tones):
    waveform = tones[0][1][: 48000 * 2 + 9600]
    mean = mean_embed(pe_av, [waveform[:48000], waveform[48000:96000], waveform[96000:]], 48000)
    short = PeAvEncoder.from_pretrained(str(folder), window_seconds=1.0)
    embed = short.encode_audio([waveform], [48000])[0]
    np.testing.assert_allclose(embed, mean, atol=1e-4)
    assert np.abs(embed - pe_av.encode_audio([waveform], [48000])[0]).max() > 1e-3


@pytest.mark.parametrize(
    "template", ["a sound of {}", "{} is heard", "a sound of a {} over the house", "the {}, loud."]
)
def test_a_true_word_in_place_of_the_pseudo_word_gives_its_sentence(pe_av, words, template):
    if template.startswith("{}"):
        words = ["a"]  # the first word has no space before it, and is another token
    encode, table = pe_av.pseudo_word_encoder(template)
    (token,) = pe_av.tokenizer(words[0] if words == ["a"] else f" {words[0]}", add_special_tokens=False)["input_ids"]
    assert table.shape == (500, 32) and table.dtype == torch.float32
    expected = pe_av.encode_text([template.format(words[0])])
    np.testing.assert_allclose(encode(table[[token]]).detach(), expected, atol=1e-5)


def test_the_pseudo_word_can_be_optimised(pe_av, words):
    encode, table = pe_av.pseudo_word_encoder("a sound of {}")
    target = torch.from_numpy(pe_av.encode_text([f"a sound of {words[3]}"]))
    free = table[:3].clone().requires_grad_()
    before = (encode(free) @ target.T).mean()
    before.backward()
    assert free.grad.shape == (3, 32) and free.grad.abs().amax(dim=1).min() > 0
    moved = (free + free.grad / free.grad.norm() * 0.01).detach()
    assert (encode(moved) @ target.T).mean() > before
    assert not any(parameter.requires_grad for parameter in pe_av.network.parameters())
    assert not pe_av.token_table._forward_hooks


@pytest.fixture(scope="module")
def lengths(folder, pe_av, tones, words, tmp_path_factory):
    """A checkpoint whose heads are known: a sound (2, 0, ...), one word (1, 0, ...), one 3 long and 60 degrees off."""
    from safetensors.torch import load_file, save_file

    normed = {}
    hooks = [
        head.layer_norm.register_forward_hook(lambda _, __, output, name=name: normed.update({name: output.double()}))
        for name, head in (("audio", pe_av.network.audio_head), ("text_audio", pe_av.network.text_audio_head))
    ]
    pe_av.encode_audio([tones[0][0]], [48000]), pe_av.encode_text(words[:2])
    for hook in hooks:
        hook.remove()
    wanted = {"audio": torch.zeros(1, 32), "text_audio": torch.zeros(2, 32)}
    wanted["audio"][0, 0], wanted["text_audio"][0, 0] = 2, 1
    wanted["text_audio"][1, :2] = 3 * torch.tensor([0.5, 0.75**0.5])
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("pe_av") / "lengths")
    tensors = load_file(copy / "model.safetensors")
    for name, given in normed.items():
        weight = (torch.linalg.pinv(given) @ wanted[name].double()).T
        tensors[f"audio_model.{name}_head.proj.weight"] = weight.float().contiguous()
    for name, value in (("scale", 0.25), ("bias", -3.0)):
        tensors[f"audio_model.text_audio_logit_{name}"] = torch.tensor([value])
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@pytest.fixture(scope="module")
def published(lengths):
    return PeAvEncoder.from_pretrained(str(lengths), scores="published")


def products_of(encoder, sound, words):
    return encoder.encode_audio([sound], [48000]) @ encoder.encode_text(words).T


def test_cosine_prefers_the_direction_and_the_published_score_the_length(lengths, published, tones, words):
    cosine = PeAvEncoder.from_pretrained(str(lengths))
    assert cosine.normalized and not published.normalized
    np.testing.assert_allclose(products_of(cosine, tones[0][0], words[:2]), [[1, 0.5]], atol=1e-4)
    np.testing.assert_allclose(products_of(published, tones[0][0], words[:2]), [[2, 3]], atol=1e-3)


def test_the_library_scales_and_shifts_the_published_product(lengths, published, tones, words):
    from transformers import PeAudioVideoModel

    network = PeAudioVideoModel.from_pretrained(lengths).eval().audio_model
    network.text_model.config.tie_last_hidden_states = False
    audio = published.processor.feature_extractor(tones[0][0], sampling_rate=48000, return_tensors="pt")
    with torch.no_grad():
        logits = network(**audio, **published.tokenizer(words, padding=True, return_tensors="pt")).logits_audio_text
    products = products_of(published, tones[0][0], words)
    np.testing.assert_allclose(logits, 0.25 * products - 3, atol=1e-4)
    np.testing.assert_allclose(logits[0, :2], [-2.5, -2.25], atol=1e-3)


def test_published_windows_are_averaged_by_energy_with_their_lengths(folder, tones):
    encoder = PeAvEncoder.from_pretrained(str(folder), window_seconds=1.0, scores="published")
    waveform = tones[0][1][: 48000 * 2 + 9600]
    parts = [waveform[:48000], waveform[48000:96000], waveform[96000:]]
    mean = mean_by_energy(encoder.encode_audio(parts, [48000] * 3), parts)
    np.testing.assert_allclose(encoder.encode_audio([waveform], [48000])[0], mean, atol=1e-4)
    assert abs(np.linalg.norm(mean) - 1) > 0.01


def test_lengths_are_no_directions_to_look_for_a_pseudo_word_in(published):
    encoder = Memory().wrap(published, {})
    assert encoder.normalized is False
    with pytest.raises(UserError, match="expected audio_text.scores to be cosine, found published; add --set"):
        encoder.pseudo_word_encoder("a sound of {}")


def test_it_hears_30_s_at_once_and_so_much_that_memory_stays_bounded(folder, pe_av, monkeypatch):
    assert pe_av.window_length == 30 * 48000
    passes = []

    def encode(samples):
        passes.append((len(samples), samples.shape[-1] // 48000))
        return SimpleNamespace(pooler_output=torch.ones(len(samples), 32))

    monkeypatch.setattr(pe_av.network.audio_encoder, "forward", encode)
    for seconds, number in ((30, 3), (10, 5), (60, 2)):
        pe_av.hear([np.ones(seconds * 48000, np.float32)] * number)
    assert passes == [(1, 30)] * 3 + [(4, 10), (1, 10)] + [(1, 60)] * 2


def test_texts_longer_than_the_network_are_cut(pe_av, words):
    assert pe_av.max_tokens == 512
    np.testing.assert_allclose(
        pe_av.encode_text([f"{words[0]} " * 600]), pe_av.encode_text([f"{words[0]} " * 800]), atol=1e-5
    )


def test_the_shared_encoder_may_have_either_name(folder, pe_av, short, tmp_path):
    def rename(name):
        return name.replace("audio_model.audio_encoder", "audio_video_encoder.embedder.audio_encoder")

    encoder = PeAvEncoder.from_pretrained(altered(folder, tmp_path / "other", rename))
    np.testing.assert_allclose(encoder.encode_audio(*short), pe_av.encode_audio(*short), atol=1e-6)


def test_the_audio_branch_alone_is_enough(folder, pe_av, library, short, words, tmp_path):
    alone = shutil.copytree(folder, tmp_path / "alone", ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    library.audio_model.save_pretrained(alone)
    encoder = PeAvEncoder.from_pretrained(str(alone))
    np.testing.assert_allclose(encoder.encode_audio(*short), pe_av.encode_audio(*short), atol=1e-6)
    np.testing.assert_allclose(encoder.encode_text(words), pe_av.encode_text(words), atol=1e-6)


def test_half_precision_stays_near(folder, pe_av, short, words):
    half = PeAvEncoder.from_pretrained(str(folder), dtype="bfloat16")
    for found, expected in [
        (half.encode_audio(*short), pe_av.encode_audio(*short)),
        (half.encode_text(words), pe_av.encode_text(words)),
    ]:
        assert found.dtype == np.float32 and (found * expected).sum(axis=1).min() > 0.98
    encode, table = half.pseudo_word_encoder("a sound of {}")
    free = table[:2].clone().requires_grad_()
    encode(free).sum().backward()
    assert free.grad.dtype == torch.float32 and free.grad.abs().sum() > 0


def test_what_does_not_fit_is_refused(folder, tmp_path):
    name = "audio_model.text_audio_head.proj.weight"
    with pytest.raises(UserError, match=r"1 of its tensors.*text_audio_head\.proj"):
        PeAvEncoder.from_pretrained(altered(folder, tmp_path / "a", drop={name}))
    with pytest.raises(UserError, match="frames of 40 ms"):
        frames = altered(folder, tmp_path / "b", architectures=["PeAudioFrameLevelModel"])
        PeAvEncoder.from_pretrained(frames)
    with pytest.raises(UserError, match="found a clap one"):
        clap = altered(folder, tmp_path / "c", model_type="clap")
        PeAvEncoder.from_pretrained(clap)


def test_nothing_is_printed(folder, tones, capfd):
    PeAvEncoder.from_pretrained(str(folder)).encode_audio(tones[0][:1], tones[1][:1])
    assert capfd.readouterr() == ("", "")
