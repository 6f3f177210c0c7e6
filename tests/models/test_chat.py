import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from models.audio_captioner.audio_chat import AudioChat
from models.image_captioner.vision_chat import VisionChat
from utils.errors import UserError


@pytest.fixture(scope="module")
def folders(tiny):
    """Kind -> folder of a tiny random checkpoint."""
    ids = {
        "qwen": "Qwen/Qwen2-Audio-7B-Instruct",
        "flamingo": "nvidia/audio-flamingo-3-hf",
        "vision": "Qwen/Qwen3-VL-4B-Instruct",
        "whisper": "MU-NLPC/whisper-small-audio-captioning",
    }
    return {kind: Path(tiny(hub_id)) for kind, hub_id in ids.items()}


@pytest.mark.parametrize(
    ("family", "kind", "network"),
    [
        (AudioChat, "qwen", "Qwen2AudioForConditionalGeneration"),
        (AudioChat, "flamingo", "AudioFlamingo3ForConditionalGeneration"),
        (VisionChat, "vision", "Qwen3VLForConditionalGeneration"),
    ],
)
def test_the_architecture_finds_its_class(folders, family, kind, network):
    model = family.from_pretrained(folders[kind])
    assert type(model) is family and type(model.network).__name__ == network
    assert model.provenance["family"] == family.family


def test_sampling_and_penalties_are_set_aside_and_nothing_else(folders):
    suggested = json.loads((folders["qwen"] / "generation_config.json").read_text())
    assert suggested["do_sample"] is True and suggested["temperature"] == 0.7
    assert suggested["repetition_penalty"] == 1.1
    settings = AudioChat.from_pretrained(folders["qwen"]).network.generation_config
    assert (settings.do_sample, settings.temperature, settings.top_k, settings.top_p) == (False, None, None, None)
    assert settings.repetition_penalty is None
    assert settings.eos_token_id == suggested["eos_token_id"]


@pytest.mark.parametrize("suggested", [{"repetition_penalty": 1.1}, {"no_repeat_ngram_size": 1}])
@pytest.mark.parametrize(("family", "kind"), [(AudioChat, "qwen"), (AudioChat, "flamingo"), (VisionChat, "vision")])
def test_a_word_of_the_question_may_be_the_answer(folders, sounds, tmp_path, family, kind, suggested):
    """Whatever it is given, the network's logits are 2 for a word of the question, 1.9 for another, and else 0."""
    folder = shutil.copytree(folders[kind], tmp_path / "chat")
    settings = json.loads((folder / "generation_config.json").read_text()) | {"repetition_penalty": 1.0} | suggested
    (folder / "generation_config.json").write_text(json.dumps(settings))
    model = family.from_pretrained(folder, max_new_tokens=3, prompt="x")
    medium = {"type": "audio", "audio": sounds[0][0]}
    if family is VisionChat:
        medium = {"type": "image", "image": Image.new("RGB", (64, 64))}
    asked = model.inputs(medium)
    words = model.processor.tokenizer.convert_tokens_to_ids(["x", "q"])
    assert words[0] in asked["input_ids"] and words[1] not in asked["input_ids"]
    says = dict(zip(words, (2.0, 1.9), strict=True))
    answer_only(model.network, says)
    assert model.ask(medium) == "xxx"
    penalised = model.network.generate(**asked, max_new_tokens=1, **suggested)
    assert penalised[0, -1] == words[1]


def answer_only(network, logits):
    """Makes a network's logits the same at every word: what its layers add is nothing, and its words are all alike."""
    words, head = network.get_input_embeddings().weight, network.get_output_embeddings().weight
    for name, tensor in network.named_parameters():
        if "language_model" in name:
            if "norm" in name:
                tensor.fill_(1)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                tensor.zero_()
    words.fill_(1)
    head.zero_()
    for token, logit in logits.items():
        head[token] = logit / head.shape[1]


def test_what_cannot_hear_is_refused(folders):
    with pytest.raises(UserError, match="as audio_chat: expected a processor with its feature_extractor.*Qwen3VLProc"):
        AudioChat.from_pretrained(folders["vision"])


def test_what_cannot_chat_is_refused(folders, tmp_path):
    with pytest.raises(UserError, match="a whisper checkpoint is none of AutoModelForImageTextToText"):
        VisionChat.from_pretrained(folders["whisper"])
    folder = shutil.copytree(folders["vision"], tmp_path / "silent")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="expected a processor with its chat_template, found a Qwen3VLProcessor"):
        VisionChat.from_pretrained(folder)


def test_what_answers_in_speech_is_refused_before_it_is_loaded(folders, tmp_path):
    from transformers import Qwen2_5OmniConfig

    Qwen2_5OmniConfig().save_pretrained(tmp_path)
    for name in ("model.safetensors", "tokenizer.json", "processor_config.json"):
        shutil.copy(folders["qwen"] / name, tmp_path)
    with pytest.raises(UserError, match="a qwen2_5_omni answers in speech as well, expected one that answers in text"):
        AudioChat.from_pretrained(tmp_path)


def test_thinking_aloud_is_no_answer(folders, sounds, monkeypatch):
    import torch

    model = AudioChat.from_pretrained(folders["qwen"])
    said = model.processor.tokenizer(
        "<think>\nA cat? No.\n</think>\n\nA dog is barking.<|im_end|>", return_tensors="pt"
    )
    question = model.inputs({"type": "audio", "audio": model.windows(sounds[0][0], 16000)[0].samples()})["input_ids"]
    tokens = torch.cat([question, said["input_ids"]], dim=1)
    monkeypatch.setattr(model.network, "generate", lambda **inputs: tokens)
    assert model.caption(sounds[0][:1], [16000]) == ["A dog is barking."]
