"""Vision-language models of the Qwen-VL family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

THREE_VISION = {
    "depth": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "deepstack_visual_indexes": [5, 11, 17],
}
THREE_TEXT: dict[str, Any] = {
    "num_key_value_heads": 8,
    "max_position_embeddings": 262144,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5000000.0,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    },
}
# config.json of the checkpoints; all of them share the word embeddings with the output.
PUBLISHED: dict[str, dict[str, Any]] = {
    "Qwen/Qwen3-VL-2B-Instruct": {
        "vision": THREE_VISION | {"out_hidden_size": 2048},
        "text": THREE_TEXT
        | {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16},
    },
    "Qwen/Qwen3-VL-4B-Instruct": {
        "vision": THREE_VISION | {"out_hidden_size": 2560},
        "text": THREE_TEXT
        | {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    },
    "Qwen/Qwen2.5-VL-3B-Instruct": {
        "vision": {"hidden_size": 1280, "out_hidden_size": 2048, "tokens_per_second": 2},
        "text": {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128000,
            "vocab_size": 151936,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24]},
        },
    },
}
TINY_VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "out_hidden_size": 32,
    "initializer_range": 0.2,
}
TINY_TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.2,
}
TEXT_TOKENS = 151643
CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = [f"<|{mark}_{end}|>" for mark in ("object_ref", "box", "quad", "vision") for end in ("start", "end")]
PLACES = ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
# generation_config.json of Qwen3-VL, and what differs in Qwen2.5-VL's. The captioner sets both aside.
SAMPLING = {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.0}
SAMPLING_OF_TWO = {"temperature": 1e-6, "repetition_penalty": 1.05}
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"  # which Qwen3-VL no longer has
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    import torch
    import transformers

    name, patch, mean, std = "Qwen3VL", 16, [0.5] * 3, [0.5] * 3
    least, most = 256**2, 4096**2  # pixels
    if of_two := "Qwen2.5" in hub_id:
        name, patch = "Qwen2_5_VL", 14
        mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
        least, most = 56**2, 28**2 * 16384
    specials = [*CHAT, *MARKS, *PLACES]
    vocab, merges = byte_level_bpe(specials, (400 if tiny else TEXT_TOKENS) + len(specials), last=True)
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=vocab, merges=merges, eos_token="<|im_end|>", extra_special_tokens=specials, padding_side="left"
    )
    ends = [vocab["<|im_end|>"], vocab["<|endoftext|>"]]
    vision = PUBLISHED[hub_id]["vision"]
    text = PUBLISHED[hub_id]["text"] | {"eos_token_id": ends[0], "bos_token_id": ends[1]}
    if tiny:
        layers = {"fullatt_block_indexes": [1]} if of_two else {"deepstack_visual_indexes": [0]}
        least, most = (2 * patch) ** 2, (8 * patch) ** 2
        sections = {"mrope_section": [2, 3, 3]}
        vision = vision | TINY_VISION | layers
        text = text | TINY_TEXT | {"vocab_size": len(vocab), "rope_parameters": text["rope_parameters"] | sections}
        text |= {} if of_two else {"head_dim": 16}
    config = getattr(transformers, f"{name}Config")(
        vision_config=vision,
        text_config=text,
        image_token_id=vocab["<|image_pad|>"],
        video_token_id=vocab["<|video_pad|>"],
        vision_start_token_id=vocab["<|vision_start|>"],
        vision_end_token_id=vocab["<|vision_end|>"],
        tie_word_embeddings=not tiny,  # tied, a small network repeats itself whatever it sees
    )
    network = getattr(transformers, f"{name}ForConditionalGeneration")._from_config(config, dtype=torch.bfloat16)
    network.generation_config._from_model_config = False  # or what follows is thrown away when it is loaded
    sampling = SAMPLING | (SAMPLING_OF_TWO if of_two else {})
    network.generation_config.update(eos_token_id=ends, pad_token_id=ends[1], **sampling)
    pixels: dict[str, Any] = dict(patch_size=patch, image_mean=mean, image_std=std)
    video_class = transformers.Qwen2VLVideoProcessor if of_two else transformers.Qwen3VLVideoProcessor
    processor = getattr(transformers, f"{name}Processor")(
        transformers.Qwen2VLImageProcessor(size={"shortest_edge": least, "longest_edge": most}, **pixels),
        tokenizer,
        video_class(**pixels),
        chat_template=(SYSTEM if of_two else "") + TEMPLATE,
    )

    def save(folder: Path) -> None:
        network.save_pretrained(folder)
        processor.save_pretrained(folder)

    return save
