"""The words of the small networks: the sentences they are trained with, and tokenizers learnt from those sentences."""

from __future__ import annotations

import json

import numpy as np
from tokenizers import Tokenizer, normalizers, pre_tokenizers, trainers
from tokenizers import models as token_models

from datasets.stamp_catalog import KINDS, SOUNDING, Kind

# How a segmenter may be asked for a thing; the second half only for things that sound.
QUERIES = ("A photo of {noun}", "A photo of {phrase}", "{noun}", "{phrase}")
SOUND_QUERIES = ("{caption}", "the sound of {phrase}", "a sound of {noun}")
# How a sound may be described.
DESCRIPTIONS = ("{noun}", "{phrase}", "a sound of {noun}", "the sound of {phrase}", "A photo of {noun}", "{caption}")


def wording(template: str, kind: Kind) -> str:
    """Fills a template of this module with a kind's words."""
    caption = kind.sound_caption if kind.sounds else kind.phrase
    return template.format(noun=kind.noun, phrase=kind.phrase, caption=caption)


def any_query(rng: np.random.Generator, kind: Kind) -> str:
    """A random way to ask for a kind: half of them "A photo of NOUN", what the methods say by default."""
    if rng.random() < 0.4:
        return wording(QUERIES[0], kind)
    templates = QUERIES + (SOUND_QUERIES if kind.sounds else ())
    return wording(templates[rng.integers(len(templates))], kind)


def any_description(rng: np.random.Generator, kind: Kind) -> str:
    """A random description of the sound of a kind."""
    return wording(DESCRIPTIONS[rng.integers(len(DESCRIPTIONS))], kind)


def image_caption(kinds: list[Kind]) -> str:
    """What an image captioner should say of things in reading order: "a dog, an owl and a violin"."""
    phrases = [kind.phrase for kind in kinds]
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def sentences() -> list[str]:
    """Every sentence that the tokenizers have to know, in a fixed order."""
    found = [image_caption(list(KINDS[i : i + 3])) for i in range(0, len(KINDS), 3)]
    for kind in KINDS:
        found += [wording(template, kind) for template in (*QUERIES, *DESCRIPTIONS)]
    for kind in SOUNDING:
        found += [wording(template, kind) for template in SOUND_QUERIES]
    return found


def byte_level_bpe(
    special_tokens: list[str], blank, suffix: str = "", corpus: list[str] | None = None
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Learns a byte-level BPE in which each word of the corpus is one token, at the start of a sentence and inside it.

    Args:
        special_tokens: they take the first ids, in this order.
        blank: an empty tokenizer of the class to be built, whose way of splitting text into words is kept.
        suffix: what ends a word, "</w>" for CLIP.
        corpus: sentences; those of `sentences` by default.

    Returns:
        vocab and merges as the tokenizer classes take them.
    """
    tokenizer = Tokenizer(token_models.BPE(end_of_word_suffix=suffix))
    tokenizer.normalizer = blank.backend_tokenizer.normalizer or normalizers.Sequence([])
    tokenizer.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        show_progress=False,
        special_tokens=special_tokens + [f"{char}{suffix}" for char in sorted(alphabet) if suffix],
        initial_alphabet=sorted(alphabet),
        end_of_word_suffix=suffix,
    )
    corpus = sentences() if corpus is None else corpus
    words = sorted({word for sentence in corpus for word in sentence.replace(",", "").split()})
    tokenizer.train_from_iterator(corpus + [f"{word} {word}" for word in words], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def word_list() -> list[str]:
    """Every word and punctuation mark of the image captions, sorted: a WordPiece vocabulary without pieces."""
    text = " ".join(image_caption([kind, kind]) for kind in KINDS) + " ,"
    return sorted({word for word in text.replace(",", " , ").split()})
