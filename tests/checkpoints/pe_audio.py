"""Perception Encoder Audio-Visual: the whole checkpoint, of which the audio-text encoder uses a part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.checkpoints.vocabularies import byte_level_bpe

SPECIALS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]  # ModernBERT's, the last of its 50,285 tokens
# Width, MLP, layers and heads of the audio encoder: config.json of facebook/pe-a-frame-*, which share it. What joins
# sound and video has 6 layers of the same width (the library's default); the video's own 4 are inferred from the
# published counts of all parameters, 847 M for -small and 1.03 B for -base, which come out as 845 M and 1.03 B. Its
# pictures go through PE-Core L/14.
PUBLISHED: dict[str, dict[str, int]] = {
    "facebook/pe-av-small": dict(hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=6),
    "facebook/pe-av-base": dict(hidden_size=1024, intermediate_size=2752, num_hidden_layers=16, num_attention_heads=8),
    "facebook/pe-av-large": dict(
        hidden_size=1792, intermediate_size=4800, num_hidden_layers=28, num_attention_heads=14
    ),
}
TINY_VISION = dict(
    architecture="vit_tiny_patch16_224",
    num_classes=16,
    global_pool="avg",
    model_args=dict(depth=1, embed_dim=16, num_heads=2, img_size=32),
)


def build(hub_id: str, tiny: bool):
    """See `tests.checkpoints.published.write`."""
    import torch
    from transformers import PeAudioFeatureExtractor, PeAudioVideoModel, PeVideoVideoProcessor

    tokenizer = _tokenizer(500 if tiny else 50285)
    with torch.device("meta"):  # the parts it shares would otherwise be made, and held, two and three times
        network = PeAudioVideoModel(_config(hub_id, tokenizer, tiny))
    extractor = PeAudioFeatureExtractor(return_attention_mask=True)
    side = 32 if tiny else 336
    mean = [0.5, 0.5, 0.5]  # PE-Core's
    pictures = PeVideoVideoProcessor(
        size=dict(height=side, width=side),
        do_resize=True,
        do_rescale=True,
        do_normalize=True,
        image_mean=mean,
        image_std=mean,
    )

    def save(folder: Path) -> None:
        from safetensors.torch import save_file

        network.config.architectures = ["PeAudioVideoModel"]
        network.config.dtype = torch.float32
        network.config.save_pretrained(folder)
        save_file(_weights(network), folder / "model.safetensors", metadata={"format": "pt"})
        for part in (extractor, pictures, tokenizer):
            part.save_pretrained(folder)

    return save


def _config(hub_id: str, tokenizer: Any, tiny: bool) -> Any:
    from transformers import PeAudioVideoConfig

    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in [("pad", "[PAD]"), ("cls", "[CLS]"), ("bos", "[CLS]"), ("sep", "[SEP]"), ("eos", "[SEP]")]
    }
    text, audio, dac, vision = {"model_type": "modernbert", **ids}, PUBLISHED[hub_id], {}, {}
    if tiny:
        audio = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, head_dim=16)
        text |= dict(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=3)
        text |= dict(num_attention_heads=2)
        dac, vision = dict(encoder_hidden_size=2, codebook_dim=4), TINY_VISION
    video, both = (audio | {"num_hidden_layers": min(layers, audio["num_hidden_layers"])} for layers in (4, 6))
    return PeAudioVideoConfig(
        text_config=text,
        audio_video_config=dict(
            audio_config=dict(model_type="pe_audio_encoder", dac_config=dict(model_type="dac", **dac), **audio),
            video_config=dict(model_type="pe_video_encoder", vision_config=vision, **video),
            **both,
        ),
    )


def _weights(network: Any) -> dict[str, Any]:
    """Random tensors, by name, for every one that is not shared under another name."""
    import torch

    network.tie_weights()
    named = {id(tensor): name for name, tensor in reversed(network.state_dict(keep_vars=True).items())}
    tensors = network.state_dict(keep_vars=True)
    weights = {}
    for name in named.values():
        shape, vector = tensors[name].shape, tensors[name].dim() == 1
        # Norms and Snake's frequencies about one, biases about zero; all else so that a layer keeps its input's scale.
        centre = 1.0 if name.endswith("alpha") or (vector and name.endswith("weight")) else 0.0
        fan_in = 100 if vector or name.endswith("alpha") else max(shape[1:].numel(), 1)
        weights[name] = torch.randn(shape) * fan_in**-0.5 + centre
    return weights


def _tokenizer(size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab, merges = byte_level_bpe(SPECIALS, size, last=True)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [(token, vocab[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=8192, **named)
