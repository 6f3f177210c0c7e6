import json
import shutil

import numpy as np
import pytest
import torch

from models.audio_captioner.whisper import WhisperCaptioner
from models.roles import AudioCaptioner


@pytest.fixture(scope="module")
def captioner(loaded):
    return loaded["audio_captioner"]


def test_one_caption_a_sound_the_same_alone_in_a_batch_and_twice(captioner, sounds):
    captions = captioner.caption(*sounds)
    assert isinstance(captioner, AudioCaptioner) and len(captions) == 6
    assert all(isinstance(caption, str) and caption == caption.strip() for caption in captions)
    assert len(set(captions)) > 1
    assert captioner.caption(*sounds) == captions
    assert [captioner.caption([w], [r])[0] for w, r in zip(*sounds, strict=True)] == captions
    assert captioner.caption([], []) == []


def test_it_hears_the_first_window_only(captioner, sounds):
    waveform = sounds[0][1]  # 75,000 samples, a window of 32,000
    assert captioner.caption([waveform], [16000]) == captioner.caption([waveform[:32000]], [16000])


def test_no_sound_is_silence(captioner):
    empty, silent = captioner.caption([np.zeros(0, np.float32), np.zeros(32000, np.float32)], [44100, 16000])
    assert empty == silent


def greedy(captioner, waveform, prompt_ids, steps, suppressed=()):
    """The most likely token that is not suppressed, again and again, by the plain forward pass."""
    features = captioner.processor.feature_extractor(waveform, sampling_rate=16000, return_tensors="pt")
    tokens = list(prompt_ids)
    with torch.no_grad():
        for _ in range(steps):
            logits = captioner.network(**features, decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
            logits[list(suppressed)] = -torch.inf
            tokens.append(int(logits.argmax()))
            if tokens[-1] == captioner.network.config.eos_token_id:
                break
    return captioner.processor.tokenizer.decode(tokens[len(prompt_ids) :], skip_special_tokens=True).strip()


def test_it_is_greedy_from_the_start_token(captioner, sounds):
    start = captioner.network.config.decoder_start_token_id
    assert captioner.prompt_ids == [start]
    assert captioner.caption(sounds[0][:1], [16000])[0] == greedy(captioner, sounds[0][0], [start], 23)


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
    said = sorted(set(plain.processor.tokenizer(free, add_special_tokens=False).input_ids))
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
