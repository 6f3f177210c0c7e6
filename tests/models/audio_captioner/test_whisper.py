import json
import shutil

import numpy as np
import pytest
import torch

from models.audio_captioner.whisper import WhisperCaptioner
from models.audio_input import join_sentences
from models.roles import AudioCaptioner
from tests.checkpoints.whisper import TEXT_TOKENS, special_tokens
from tests.models.captioners import assert_repeatable, without_a_tensor
from utils.errors import UserError


@pytest.fixture(scope="module")
def captioner(folders):
    return WhisperCaptioner.from_pretrained(str(folders["audio_captioner"]), max_new_tokens=6)


def test_one_caption_a_sound_the_same_alone_in_a_batch_and_twice(captioner, sounds):
    captions = captioner.caption(*sounds)
    assert isinstance(captioner, AudioCaptioner) and len(captions) == 6
    assert all(isinstance(caption, str) and caption == caption.strip() for caption in captions)
    assert len(set(captions)) > 1
    assert captioner.caption(*sounds) == captions
    assert [captioner.caption([w], [r])[0] for w, r in zip(*sounds, strict=True)] == captions
    assert captioner.caption([], []) == []


def test_it_hears_every_window_in_which_something_sounds(captioner, sounds):
    waveform = sounds[0][1]  # 75,000 samples, windows of 32,000
    parts = [waveform[:32000], waveform[32000:64000], waveform[64000:]]
    said = captioner.caption(parts, [16000] * 3)
    assert captioner.caption([waveform], [16000]) == [join_sentences(said)]
    silence = np.zeros(100000, np.float32)
    late = np.concatenate([silence, waveform[:32000], silence])  # at 6.25 s, a whole number of moments
    assert captioner.caption([late], [16000]) == said[:1]
    assert captioner.unheard(waveform, 16000) == []


def test_of_many_windows_the_loudest_are_heard(folders, sounds):
    captioner = WhisperCaptioner.from_pretrained(str(folders["audio_captioner"]), max_new_tokens=5, max_windows=2)
    parts = [gain * sounds[0][1][:32000] for gain in (0.5, 1, 0.4, 0.9)]
    said = captioner.caption(parts, [16000] * 4)
    assert captioner.caption([np.concatenate(parts)], [16000]) == [join_sentences([said[1], said[3]])]
    assert captioner.unheard(np.concatenate(parts), 16000) == [(0, 2), (4, 6)]


def test_no_sound_is_silence(captioner):
    empty, silent = captioner.caption([np.zeros(0, np.float32), np.zeros(32000, np.float32)], [44100, 16000])
    assert empty == silent


def greedy(captioner, waveform, prompt_ids, steps, suppressed=()):
    """The most likely token that is not suppressed, again and again, by the plain forward pass."""
    features = captioner.processor.feature_extractor(waveform, sampling_rate=16000, return_tensors="pt")
    tokens = list(prompt_ids)
    with torch.no_grad():
        for step in range(steps):
            logits = captioner.network(**features, decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
            first = captioner.network.generation_config.begin_suppress_tokens if step == 0 else ()
            logits[[*suppressed, *first]] = -torch.inf
            tokens.append(int(logits.argmax()))
            if tokens[-1] == captioner.network.config.eos_token_id:
                break
    return captioner.processor.tokenizer.decode(tokens[len(prompt_ids) :], skip_special_tokens=True).strip()


def test_it_is_greedy_from_the_start_token(loaded, sounds):
    captioner = loaded["audio_captioner"]
    start = captioner.network.config.decoder_start_token_id
    assert captioner.prompt_ids == [start]
    assert captioner.caption(sounds[0][:1], [16000])[0] == greedy(captioner, sounds[0][0], [start], 63)


def test_a_prompt_is_continued_and_not_repeated(folders, sounds):
    captioner = WhisperCaptioner.from_pretrained(str(folders["audio_captioner"]), prompt="a sound of", max_new_tokens=5)
    tokenizer = captioner.processor.tokenizer
    assert tokenizer.decode(captioner.prompt_ids) == "<|startoftranscript|>a sound of"
    assert captioner.caption(sounds[0][:1], [16000])[0] == greedy(captioner, sounds[0][0], captioner.prompt_ids, 5)


def test_a_task_joins_the_start_tokens(folders):
    captioner = WhisperCaptioner.from_pretrained(str(folders["audio_captioner"]), task="transcribe")
    tokens = captioner.processor.tokenizer.convert_ids_to_tokens(captioner.prompt_ids)
    assert tokens == ["<|startoftranscript|>", "<|transcribe|>"]


def test_what_published_whispers_carry_along_does_not_disturb(folders, sounds, tmp_path, capfd):
    folder = shutil.copytree(folders["audio_captioner"], tmp_path / "whisper")
    settings = json.loads((folder / "generation_config.json").read_text())
    del settings["_from_model_config"]
    settings |= {"max_length": 448, "is_multilingual": True, "no_timestamps_token_id": 4, "lang_to_id": {"<|en|>": 2}}
    plain = WhisperCaptioner.from_pretrained(folder, max_new_tokens=6)
    free = greedy(plain, sounds[0][0], plain.prompt_ids, 6)
    said = plain.processor.tokenizer.convert_tokens_to_ids([f"Ġ{word}" for word in sorted(set(free.split()))])
    settings |= {
        "task_to_id": {"transcribe": 3},
        "forced_decoder_ids": [[1, None], [2, 3]],
        "suppress_tokens": said,
    }
    (folder / "generation_config.json").write_text(json.dumps(settings))
    captioner = WhisperCaptioner.from_pretrained(folder, max_new_tokens=6)
    expected = greedy(captioner, sounds[0][0], captioner.prompt_ids, 6, suppressed=said)
    assert captioner.caption(sounds[0][:1], [16000])[0] == expected != free
    assert capfd.readouterr() == ("", "")


PUBLISHED = "MU-NLPC/whisper-small-audio-captioning"
STYLE = {"language": "en", "task": "transcribe", "prompt": "clotho > caption: "}


@pytest.fixture(scope="module")
def published(tiny):
    """A tiny one with the tokens and settings of the published captioner."""
    return tiny(PUBLISHED)


def load(folder, **settings):
    return WhisperCaptioner.from_pretrained(folder, **(STYLE | settings))


def test_the_published_captioner_starts_as_it_was_trained(published):
    """Its authors force the task tokens of Whisper, then the style, whose last blank is a token of its own."""
    captioner = load(published)
    tokens = captioner.processor.tokenizer.convert_ids_to_tokens(captioner.prompt_ids)
    assert tokens[:4] == ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    assert "".join(tokens[4:]) == "clothoĠ>Ġcaption:Ġ" and tokens[-1] == "Ġ"


def test_the_published_special_tokens_have_their_numbers():
    specials, timestamps = special_tokens()
    numbers = {token: TEXT_TOKENS + i for i, token in enumerate([*specials, *timestamps])}
    assert numbers["<|endoftext|>"] == 50257 and numbers["<|startoftranscript|>"] == 50258
    assert (numbers["<|en|>"], numbers["<|transcribe|>"], numbers["<|notimestamps|>"]) == (50259, 50359, 50363)
    assert numbers["<|30.00|>"] == 51864


def test_a_style_is_continued_as_the_authors_do(published, sounds):
    """Their `generate` is the plain one from the forced tokens, with the checkpoint's suppressed first tokens."""
    captioner = load(published, max_new_tokens=6)
    features = captioner.processor.feature_extractor(sounds[0][0], sampling_rate=16000, return_tensors="pt")
    tokens = list(captioner.prompt_ids)
    forbidden = captioner.network.generation_config.begin_suppress_tokens
    assert len(forbidden) == 2
    with torch.no_grad():
        for step in range(6):
            logits = captioner.network(**features, decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
            if step == 0:
                logits[forbidden] = -torch.inf
            tokens.append(int(logits.argmax()))
    said = captioner.processor.tokenizer.decode(tokens[len(captioner.prompt_ids) :], skip_special_tokens=True)
    assert captioner.caption(sounds[0][:1], [16000]) == [said.strip()]


def test_half_precision_answers(published, sounds):
    captioner = load(published, dtype="bfloat16", max_new_tokens=6)
    assert captioner.dtype == torch.bfloat16
    assert_repeatable(captioner, *sounds)


def test_a_missing_tensor_is_refused(published, tmp_path):
    with pytest.raises(UserError, match="1 of its tensors are missing.*conv1.weight"):
        load(without_a_tensor(published, tmp_path / "broken", "encoder.conv1.weight"))
