"""Audio language models on a Qwen2: Qwen2-Audio and Audio Flamingo 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

QWEN2_AUDIO = "Qwen/Qwen2-Audio-7B-Instruct"
AUDIO_FLAMINGO = "nvidia/audio-flamingo-3-hf"
# config.json of the first, the library's conversion script of the second; both hear with a Whisper-large encoder, which
# is the library's default.
PUBLISHED: dict[str, dict[str, Any]] = {
    QWEN2_AUDIO: {
        "intermediate_size": 11008,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "vocab_size": 156032,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
    AUDIO_FLAMINGO: {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 151672,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    },
}
TINY_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}
TINY_SOUND = {
    "d_model": 32,
    "encoder_layers": 1,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "initializer_range": 0.2,
}
TEXT_TOKENS = 151643
CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# The first one's generation_config.json; the second's is like it. The captioner sets both aside, sampling and penalty.
SAMPLING = {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.5, "repetition_penalty": 1.1}
FLAMINGO_TEMPLATE = (  # the sound comes before the words, wherever it was put
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'audio' %}<sound>{% endif %}{% endfor %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    import torch
    from transformers import (
        AudioFlamingo3Config,
        AudioFlamingo3ForConditionalGeneration,
        AudioFlamingo3Processor,
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        Qwen2Tokenizer,
        WhisperFeatureExtractor,
    )

    of_qwen = hub_id == QWEN2_AUDIO
    sounds = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"] if of_qwen else ["<sound>"]
    text_tokens = 400 if tiny else TEXT_TOKENS
    # Audio Flamingo's own token is the 27th after the text: between are those of Qwen2.5.
    between = [] if of_qwen or tiny else [f"<|qwen_{number}|>" for number in range(len(CHAT), 26)]
    specials = [*CHAT, *between, *sounds]
    vocab, merges = byte_level_bpe(specials, text_tokens + len(specials), last=True)
    tokenizer = Qwen2Tokenizer(
        vocab=vocab, merges=merges, eos_token="<|im_end|>", extra_special_tokens=specials, padding_side="left"
    )
    extractor = WhisperFeatureExtractor(feature_size=128, chunk_length=2 if tiny else 30, return_attention_mask=True)
    text = {"model_type": "qwen2", "vocab_size": len(vocab), **(TINY_TEXT if tiny else PUBLISHED[hub_id])}
    model_type = "qwen2_audio_encoder" if of_qwen else "audioflamingo3_encoder"
    sound = {
        "model_type": model_type,
        "max_source_positions": extractor.nb_max_frames // 2,
        **(TINY_SOUND if tiny else {}),
    }
    if of_qwen:
        config = Qwen2AudioConfig(text_config=text, audio_config=sound, audio_token_index=vocab["<|AUDIO|>"])
        processor = Qwen2AudioProcessor(extractor, tokenizer)  # with the library's template, which is the published one
        network_class = Qwen2AudioForConditionalGeneration
    else:
        config = AudioFlamingo3Config(text_config=text, audio_config=sound, audio_token_id=vocab["<sound>"])
        processor = AudioFlamingo3Processor(extractor, tokenizer, chat_template=FLAMINGO_TEMPLATE)
        network_class = AudioFlamingo3ForConditionalGeneration
    network = network_class._from_config(config, dtype=torch.bfloat16)
    network.generation_config._from_model_config = False  # or what follows is thrown away when it is loaded
    ends = [vocab["<|endoftext|>"], vocab["<|im_end|>"]]
    network.generation_config.update(eos_token_id=ends, pad_token_id=vocab["<|endoftext|>"], **SAMPLING)

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save
