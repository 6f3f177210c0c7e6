"""Tiny randomly initialised checkpoints of the published architectures, saved the way published ones are.

Each `save_*` writes config, weights, tokenizer and preprocessor into a folder, so that the loaders under test take the
very path they take for downloaded weights. Nothing here knows anything: the weights are noise.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import yaml

CORPUS = [
    "a photo of a guitar", "a photo of a dog", "a sound of a cat", "a sound of a train", "the dog is barking loudly",
    "a guitar is being played", "an aeroplane flies over the house", "a man and a woman with a violin",
]  # fmt: skip
LABELS = ["dog", "guitar", "train", "violin", "cat"]
LICENSE = "none: random numbers"


def save_config(folder: Path) -> Path:
    """Saves a network for every role, and a config that names them, with no threshold that lets a method ask nothing.

    Args:
        folder: gets FOLDER/ROLE for each of `NETWORKS`, and FOLDER/random.yaml.

    Returns:
        The config's path.
    """
    roles = {
        role: {"family": family, "weights": str(save(folder / role)), "license": LICENSE}
        for role, (family, save) in NETWORKS.items()
    }
    settings = {
        "classify": {"min_probability": 0.0},
        "cross_modal": {"min_similarity": -1.0},
        "text_inversion": {"min_similarity": -1.0, "vocabulary": LABELS},
    }
    path = folder / "random.yaml"
    content = {"summary": "small networks that know nothing", "roles": roles, "methods": settings}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def save_clap(folder: Path, truncation: str = "rand_trunc", fusion: bool = False, max_length_s: int = 2) -> Path:
    """Saves a CLAP of 32-wide towers hearing 2 s windows at 16 kHz."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizer

    # Roberta's order of special tokens: position ids count from pad_token_id + 1.
    vocab, merges = byte_level_bpe(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], RobertaTokenizer())
    tokenizer = RobertaTokenizer(vocab=vocab, merges=merges, model_max_length=62)
    extractor = ClapFeatureExtractor(
        feature_size=64, sampling_rate=16000, hop_length=160, max_length_s=max_length_s, fft_window_size=512,
        frequency_min=50, frequency_max=8000, truncation=truncation, padding="repeatpad",
    )  # fmt: skip
    config = ClapConfig(
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=64, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        ),
        audio_config=dict(
            spec_size=128, num_mel_bins=64, hidden_size=64, patch_embeds_hidden_size=16, depths=[1, 1, 1],
            num_attention_heads=[2, 2, 2], window_size=4, enable_fusion=fusion,
            fusion_type="aff_2d" if fusion else None, num_hidden_layers=3,
        ),
        projection_dim=24,
    )  # fmt: skip
    torch.manual_seed(0)
    return _save(folder, ClapModel(config), ClapProcessor(extractor, tokenizer))


def save_audio_classifier(folder: Path, labels: list[str] = LABELS, problem_type: str | None = None) -> Path:
    """Saves an AST hearing 1 s (100 frames) at 16 kHz."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    config = ASTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_length=100,
        num_mel_bins=32, id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
        problem_type=problem_type,
    )  # fmt: skip
    extractor = ASTFeatureExtractor(num_mel_bins=32, max_length=100, mean=-4.0, std=4.0)
    torch.manual_seed(0)
    return _save(folder, ASTForAudioClassification(config), extractor)


def save_whisper(folder: Path, chunk_length: int = 2) -> Path:
    """Saves a Whisper that hears 2 s at 16 kHz and writes at most 24 tokens."""
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    specials = ["<|endoftext|>", "<|startoftranscript|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>"]
    vocab, merges = byte_level_bpe(specials, WhisperTokenizer())
    tokenizer = WhisperTokenizer(vocab=vocab, merges=merges, model_max_length=24, predict_timestamps=True)
    tokenizer.add_special_tokens({"extra_special_tokens": specials[1:]})
    end, start = tokenizer.convert_tokens_to_ids(specials[:2])
    extractor = WhisperFeatureExtractor(feature_size=40, chunk_length=chunk_length)
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=40, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64,
        max_source_positions=extractor.nb_max_frames // 2, max_target_positions=24, pad_token_id=end, bos_token_id=end,
        eos_token_id=end, decoder_start_token_id=start, suppress_tokens=None, begin_suppress_tokens=None,
        init_std=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    return _save(folder, WhisperForConditionalGeneration(config), WhisperProcessor(extractor, tokenizer))


def save_blip(folder: Path) -> Path:
    """Saves a BLIP that sees 32 x 32 pixels and writes with a lower-case WordPiece."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    words = sorted({word for sentence in CORPUS for word in sentence.split()})
    tokenizer = BertTokenizer(vocab={token: i for i, token in enumerate(specials + words)}, bos_token="[DEC]")
    config = BlipConfig(
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=32, pad_token_id=0, sep_token_id=3, eos_token_id=3, bos_token_id=5,
            initializer_range=0.5,
        ),
        vision_config=dict(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32,
            patch_size=8, initializer_range=0.02,
        ),
        initializer_range=0.5,
    )  # fmt: skip
    processor = BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer)
    torch.manual_seed(0)
    return _save(folder, BlipForConditionalGeneration(config), processor)


def save_clipseg(folder: Path) -> Path:
    """Saves a CLIPSeg that sees 64 x 64 pixels in patches of 8."""
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        CLIPTokenizer,
        ViTImageProcessor,
    )

    specials = ["<|startoftext|>", "<|endoftext|>"]
    vocab, merges = byte_level_bpe(specials, CLIPTokenizer(), suffix="</w>")
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16)
    start, end = tokenizer.convert_tokens_to_ids(specials)
    config = CLIPSegConfig(
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=16, bos_token_id=start, eos_token_id=end, pad_token_id=end,
        ),
        vision_config=dict(
            hidden_size=48, num_hidden_layers=5, num_attention_heads=4, intermediate_size=96, image_size=64,
            patch_size=8,
        ),
        projection_dim=24, extract_layers=[0, 1, 2], reduce_dim=16, decoder_num_attention_heads=4,
        decoder_intermediate_size=64, use_complex_transposed_convolution=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = CLIPSegForImageSegmentation(config)
    with torch.no_grad():  # a small CLIPSeg starts with logits of 200, where a probability tells nothing
        model.decoder.transposed_convolution[-1].weight.mul_(0.02)
    processor = CLIPSegProcessor(ViTImageProcessor(size={"height": 64, "width": 64}), tokenizer)
    return _save(folder, model, processor)


def _save(folder: Path, model, processor) -> Path:
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def byte_level_bpe(special_tokens: list[str], blank, suffix: str = "") -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Learns a byte-level BPE in which each word of CORPUS is one token, at the start of a sentence and inside it.

    Args:
        special_tokens: they take the first ids, in this order.
        blank: an empty tokenizer of the class to be built, whose way of splitting text into words is kept.
        suffix: what ends a word, "</w>" for CLIP.

    Returns:
        vocab and merges as the tokenizer classes take them.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=suffix))
    tokenizer.normalizer = blank.backend_tokenizer.normalizer or normalizers.Sequence([])
    tokenizer.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        show_progress=False,
        special_tokens=special_tokens + [f"{char}{suffix}" for char in alphabet if suffix],
        initial_alphabet=alphabet,
        end_of_word_suffix=suffix,
    )
    words = sorted({word for sentence in CORPUS for word in sentence.split()})
    tokenizer.train_from_iterator(CORPUS + [f"{word} {word}" for word in words], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


NETWORKS = {  # role: family, and what saves one of it
    "audio_text": ("clap", save_clap),
    "audio_tagger": ("audio_classification", save_audio_classifier),
    "audio_captioner": ("whisper", save_whisper),
    "image_captioner": ("blip", save_blip),
    "segmenter": ("clipseg", save_clipseg),
}
