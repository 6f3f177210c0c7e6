"""Vision-language models, asked for the things in view that can make a sound."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import ceil, sqrt
from typing import Annotated, Any

import numpy as np
from PIL import Image

from models.chat import ChatModel
from utils.cli import at_least

PROMPT = (
    "List every thing visible in this image that can make a sound: people, animals, musical instruments, vehicles, "
    "machines, tools and other things. Answer with comma-separated nouns in the singular, each once, and nothing else; "
    'answer "none" if there is nothing.'
)
MAX_ASPECT = 200  # Qwen-VL refuses images that are longer
MAX_WORDS = 5  # in a thing's name; anything longer is a sentence
NOTHING = {"", "none", "nothing", "n/a"}
BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d+[.)])\s*")
DETERMINER = re.compile(r"^(?:an?|the|one|two|three|four|five|some|several|many)\s+", re.IGNORECASE)


class VisionChat(ChatModel):
    """Any transformers chat model that sees: the Qwen-VL family and its kin.

    A list, as it is asked for, becomes a caption that names each thing once ("a dog, an acoustic guitar"); any other
    answer is the caption itself, on one line.

    Args (settings):
        prompt: what it is asked.
        max_pixels: larger images are made smaller before the checkpoint's own preprocessing; bounds the memory.
        max_new_tokens: length of an answer at most.

    Reference: Bai et al., "Qwen3-VL technical report", arXiv 2511.21631.
    """

    family = "vision_chat"
    network_classes = ("AutoModelForImageTextToText",)
    sense = "image_processor"
    version = 2

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        prompt: str = PROMPT,
        max_pixels: Annotated[int, at_least(1)] = 1024 * 1024,
        max_new_tokens: Annotated[int, at_least(1)] = 96,
    ) -> None:
        super().__init__(network, processor, provenance, prompt=prompt, max_new_tokens=max_new_tokens)
        self.max_pixels = max_pixels

    def caption(self, images: Sequence[np.ndarray]) -> list[str]:
        """See `models.roles.ImageCaptioner`; "" too where the model says that there is nothing."""
        return [as_one_line(self.ask({"type": "image", "image": bounded(image, self.max_pixels)})) for image in images]


def bounded(image: np.ndarray, max_pixels: int) -> Image.Image:
    """An image no larger than `max_pixels` and no longer than a network accepts.

    Args:
        image: (H, W, 3) uint8 RGB.
        max_pixels: H times W at most; a very long image is made thicker than that.

    Returns:
        PIL image, RGB; resized (bicubic) only where it must be.
    """
    height, width = image.shape[:2]
    scale = min(1.0, sqrt(max_pixels / (height * width)))
    size = max(1, int(width * scale)), max(1, int(height * scale))
    size = max(size[0], ceil(size[1] / MAX_ASPECT)), max(size[1], ceil(size[0] / MAX_ASPECT))
    picture = Image.fromarray(image)
    return picture if size == (width, height) else picture.resize(size, Image.Resampling.BICUBIC)


def as_one_line(answer: str) -> str:
    """The caption in an answer: a list's things, or the words as they stand."""
    names = listed(answer)
    return " ".join(answer.split()) if names is None else as_caption(names)


def as_caption(names: Iterable[str]) -> str:
    """Joins names of things into a caption.

    Args:
        names: such as "dog", "Acoustic guitar" or "the man", in any order, with repetitions.

    Returns:
        Each once, lower case, with the article that lets a noun parser tell a noun from a verb: "a saw, an owl"; "" for
        none.
    """
    bare = (DETERMINER.sub("", " ".join(name.lower().split())) for name in names)
    kept = dict.fromkeys(name for name in bare if name not in NOTHING)
    return ", ".join(f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in kept)


def listed(answer: str) -> list[str] | None:
    """Takes a chat model's list apart.

    Args:
        answer: things separated by commas, semicolons, "and" before the last or new lines, with or without bullets,
            numbers and bold type.

    Returns:
        The names as they stand there; None where the answer is no list but a sentence.
    """
    lines = [line.strip() for line in answer.replace("**", "").splitlines()]
    lines = [BULLET.sub("", line) for line in lines if not line.endswith(":")]  # "Things that can make a sound:"
    items = [item for line in lines for item in re.split(r"[,;]|\band\b", line)]
    names = [BULLET.sub("", item).strip(" \t.:\"'`") for item in items]
    return None if any(len(name.split()) > MAX_WORDS for name in names) else [name for name in names if name]
