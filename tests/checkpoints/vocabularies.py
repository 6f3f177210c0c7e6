"""Tokenizers of a published size for networks that know nothing: the right number of tokens, and words to say.

What a random network writes is read as words all the same, so the vocabularies are made of real ones.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

CORPUS = [
    "a photo of a guitar", "a photo of a dog", "a sound of a cat", "a sound of a train", "the dog is barking loudly",
    "a guitar is being played", "an aeroplane flies over the house", "a man and a woman with a violin",
]  # fmt: skip
WORDS_FILE = ("en", "en-lexicon.txt")  # textblob's lexicon, one "word TAG" a line (Brill's, MIT licence)


@cache
def words(count: int) -> tuple[str, ...]:
    """The first `count` lower-case English words of textblob's lexicon; when they run out, "WORD2" and so on."""
    lines = files("textblob").joinpath(*WORDS_FILE).read_text(encoding="utf-8").splitlines()
    first = (line.split()[0].lower() for line in lines if line and not line.startswith(";;;"))
    real = list(dict.fromkeys(word for word in first if word.isascii() and word.isalpha() and len(word) > 2))
    more = (f"{word}{turn}" for turn in range(2, 2 + count // len(real)) for word in real)
    return tuple((real + [word for word, _ in zip(more, range(max(0, count - len(real))), strict=False)])[:count])


def word_piece(special_tokens: list[str], size: int) -> dict[str, int]:
    """A WordPiece vocabulary of exactly `size` tokens: specials first, then single characters, then whole words.

    Args:
        special_tokens: they take the first ids, in this order.
        size: tokens altogether.

    Returns:
        token -> id, as `BertTokenizer(vocab=...)` takes it.
    """
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [*characters, *(f"##{char}" for char in characters)]
    return _numbered(special_tokens, pieces, list(words(size)), size)


def byte_level_bpe(
    special_tokens: list[str], size: int, suffix: str = "", last: bool = False
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level BPE of exactly `size` tokens: specials, the 256 bytes, then whole words that can be said, not read.

    There are no merges, so text is read byte by byte, longer than the published tokenizers read it; a measurement
    counts tokens in its own way.

    Args:
        special_tokens: in this order.
        size: tokens altogether.
        suffix: what ends a word, "</w>" for CLIP; without one a word starts with the byte of the space.
        last: whether the special tokens take the last ids in place of the first.

    Returns:
        vocab and merges, as the tokenizer classes take them.
    """
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{char}{suffix}" for char in alphabet if suffix)]
    whole = [f"{word}{suffix}" if suffix else f"Ġ{word}" for word in words(size)]
    if last:
        vocab = _numbered([], pieces, whole, size - len(special_tokens))
        return vocab | {token: len(vocab) + i for i, token in enumerate(special_tokens)}, []
    return _numbered(special_tokens, pieces, whole, size), []


def learnt_bpe(special_tokens: list[str], blank, suffix: str = "") -> tuple[dict[str, int], list[tuple[str, str]]]:
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


def _numbered(special_tokens: list[str], pieces: list[str], whole: list[str], size: int) -> dict[str, int]:
    tokens = list(dict.fromkeys([*special_tokens, *pieces, *whole]))[:size]
    if len(tokens) < size:
        raise ValueError(f"expected {size} tokens, could make {len(tokens)}")
    return {token: number for number, token in enumerate(tokens)}
