from functools import cache

import numpy as np
import pytest
import torch

from models.audio_captioner.audio_chat import PROMPT, AudioChat, first_line
from models.audio_input import join_sentences
from models.roles import AudioCaptioner
from tests.models.captioners import assert_repeatable, without_a_tensor
from utils.errors import UserError

QWEN, FLAMINGO = "Qwen/Qwen2-Audio-7B-Instruct", "nvidia/audio-flamingo-3-hf"
# What the published chat templates make of a sound and a question; "{}" is the question.
QUESTIONS = {
    QWEN: "<|im_start|>user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n{}<|im_end|>\n<|im_start|>assistant\n",
    FLAMINGO: "<|im_start|>user\n<sound>{}<|im_end|>\n<|im_start|>assistant\n",
}
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


@pytest.fixture(scope="module", params=[QWEN, FLAMINGO], ids=["qwen", "flamingo"])
def hub_id(request):
    return request.param


@pytest.fixture(scope="module")
def folder(hub_id, tiny):
    return tiny(hub_id)


@pytest.fixture(scope="module")
def captioner(folder):
    return load(folder)


@cache
def load(folder, **settings):
    """One of these settings, which serves every test that asks for them."""
    return AudioChat.from_pretrained(folder, **({"max_new_tokens": 6} | settings))


@cache
def library(folder, hub_id):
    import transformers

    name = "Qwen2Audio" if hub_id == QWEN else "AudioFlamingo3"
    network_class = getattr(transformers, f"{name}ForConditionalGeneration")
    network = network_class.from_pretrained(folder, dtype=torch.float32).eval()
    return network, getattr(transformers, f"{name}Processor").from_pretrained(folder)


def answered(folder, hub_id, waveform, prompt, steps):
    """The library called directly: its processor on the text of the template, its greedy generation, its decoding."""
    network, processor = library(folder, hub_id)
    text = SYSTEM + QUESTIONS[hub_id].format(prompt)
    inputs = processor(text=[text], audio=[waveform], sampling_rate=16000, return_tensors="pt")
    how = {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": steps}
    tokens = network.generate(**inputs, top_k=None, top_p=None, temperature=None, **how)
    return processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True), inputs


def test_one_caption_a_sound_whatever_stands_beside_it(captioner, sounds):
    assert isinstance(captioner, AudioCaptioner)
    assert_repeatable(captioner, *sounds)


def test_the_library_itself_gives_the_same(captioner, folder, hub_id, sounds):
    expected, _ = answered(folder, hub_id, sounds[0][0], PROMPT, 6)
    assert captioner.caption(sounds[0][:1], [16000]) == [first_line(expected)] != [""]


def test_sound_and_question_are_prepared_as_the_processor_does(captioner, folder, hub_id, sounds):
    from transformers import WhisperFeatureExtractor

    waveform = sounds[0][0]
    _, expected = answered(folder, hub_id, waveform, PROMPT, 1)
    inputs = captioner.inputs({"type": "audio", "audio": captioner.windows(waveform, 16000)[0].samples()})
    assert inputs.keys() == expected.keys()
    assert inputs["input_ids"].tolist() == expected["input_ids"].tolist()
    np.testing.assert_allclose(inputs["input_features"], expected["input_features"], atol=1e-5)
    mel = WhisperFeatureExtractor(feature_size=128, chunk_length=2)(waveform, sampling_rate=16000, return_tensors="np")
    np.testing.assert_allclose(inputs["input_features"], mel["input_features"], atol=1e-5)


def test_the_prompt_is_what_it_is_asked(folder, hub_id, sounds):
    other = load(folder, prompt="Where is this?")
    text = other.processor.tokenizer.decode(other.inputs({"type": "audio", "audio": sounds[0][0]})["input_ids"][0])
    assert text.endswith("Where is this?<|im_end|>\n<|im_start|>assistant\n")
    expected, _ = answered(folder, hub_id, sounds[0][0], "Where is this?", 6)
    assert other.caption(sounds[0][:1], [16000]) == [first_line(expected)]
    assert other.caption(*sounds) != load(folder).caption(*sounds)


def test_the_length_can_be_set(folder, hub_id, sounds):
    expected, _ = answered(folder, hub_id, sounds[0][0], PROMPT, 2)
    assert load(folder, max_new_tokens=2).caption(sounds[0][:1], [16000]) == [first_line(expected)]


def test_it_hears_the_loudest_windows_at_its_own_rate(captioner, folder):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 48000 * 40).astype(np.float32)
    assert [len(window.samples()) for window in captioner.windows(noise, 48000)] == [16000 * 30, 16000 * 10]
    np.testing.assert_array_equal(captioner.windows(noise, 16000)[0].samples(), noise[: 16000 * 30])
    short = load(folder, window_seconds=1.5, max_windows=2)
    parts = [gain * noise[:24000] for gain in (0.5, 0.8, 0.2, 1)]
    said = short.caption(parts, [16000] * 4)
    assert short.caption([np.concatenate(parts)], [16000]) == [join_sentences([said[1], said[3]])]
    assert short.unheard(np.concatenate(parts), 16000) == [(0, 1.5), (3, 4.5)]


def test_a_very_short_sound_is_followed_by_silence(captioner):
    """The library fails on a sound of one audio token, and a sound of none is no sound."""
    click = captioner.windows(np.ones(1, np.float32), 16000)[0].samples()
    assert click.shape == (1600,) and click[0] == 1 and not click[1:].any()
    empty, silent = captioner.caption([np.zeros(0, np.float32), np.zeros(1600, np.float32)], [44100, 16000])
    assert empty == silent


def test_half_precision_answers(folder, sounds):
    captioner = load(folder, dtype="bfloat16")
    assert captioner.dtype == torch.bfloat16
    assert captioner.inputs({"type": "audio", "audio": sounds[0][0]})["input_features"].dtype == torch.bfloat16
    assert_repeatable(captioner, sounds[0][:3], sounds[1][:3])


def test_a_missing_tensor_is_refused(folder, tmp_path):
    broken = without_a_tensor(folder, tmp_path / "broken", "lm_head.weight")
    with pytest.raises(UserError, match="1 of its tensors are missing.*lm_head.weight"):
        load(broken)


def test_nothing_is_printed(folder, sounds, capfd):
    load.__wrapped__(folder).caption(sounds[0][:2], sounds[1][:2])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("A dog is barking.", "A dog is barking."),
        ('\n  "A dog is barking."\nThe dog is large.', "A dog is barking."),
        ("**A dog**", "A dog"),
        ("\n\n", ""),
        ("", ""),
    ],
)
def test_the_first_line_is_the_caption(answer, caption):
    assert first_line(answer) == caption
