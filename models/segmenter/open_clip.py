"""CLIP by open_clip, as a scorer: pictures and sentences in one space; and OpenAI's CLIP without OpenAI's package."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from models.network import MAX_BATCH, Pretrained
from models.segmenter.crops import cut, squares_around
from models.segmenter.score_maps import within_aspect
from models.weights import PAIR, TOKENIZER_FILES, weights_among

CONFIG = "open_clip_config.json"
# x0 y0 x1 y1 as shares of an image: the whole, and its overlapping corners, in which small things are seen.
VIEWS = ((0, 0, 1, 1), (0, 0, 0.6, 0.6), (0.4, 0, 1, 0.6), (0, 0.4, 0.6, 1), (0.4, 0.4, 1, 1))
PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "pure_bf16", torch.float16: "pure_fp16"}


@dataclass(frozen=True)
class Preparation:
    """How a checkpoint wants its input."""

    tokenizer: Callable[[list[str]], torch.Tensor]  # sentences -> (N, tokens) int64
    transform: Callable[[Image.Image], torch.Tensor]  # -> (3, s, s) float32
    mean: tuple[float, float, float]  # red, green, blue in [0, 1]: the colour that `transform` makes zero
    embed_dim: int


class ClipScorer(Pretrained):
    """Any network of open_clip whose text tower is its own: LAION's and DataComp's CLIPs, SigLIP.

    The vocabulary of CLIP comes with the package; SigLIP's must lie in the folder. Nothing is fetched.
    """

    family = "open_clip"

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        import open_clip
        from open_clip.factory import load_checkpoint

        names = [path.name for path in folder.iterdir()]
        if CONFIG not in names:
            raise ValueError(f"expected a checkpoint of open_clip, found no {CONFIG}")
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]
        text = config["text_cfg"]
        if text.get("hf_model_name"):
            raise ValueError(f"its text tower is {text['hf_model_name']}, which open_clip would fetch from the hub")
        if text.get("hf_tokenizer_name") and not {*TOKENIZER_FILES, *PAIR} & set(names):
            raise ValueError(f"its tokenizer is not in the folder (expected one of {', '.join(TOKENIZER_FILES)})")
        where = f"local-dir:{folder}"
        with _quiet():
            # open_clip would prefer a pickled file to some safetensors: the weights are chosen here.
            network = open_clip.create_model(
                where, load_weights=False, pretrained_text=False, precision=PRECISIONS[dtype]
            )
            weights = weights_among(names)
            if len(weights) != 1:
                raise ValueError(f"expected one file of safetensors, found {', '.join(weights) or 'none'}")
            load_checkpoint(network, str(folder / weights[0]), strict=True)
            tokenizer = open_clip.get_tokenizer(where)
        preprocess = open_clip.transform.PreprocessCfg(**network.visual.preprocess_cfg)
        transform = open_clip.transform.image_transform_v2(preprocess, is_train=False)
        return network, Preparation(tokenizer, transform, tuple(preprocess.mean), config["embed_dim"])

    @property
    def embed_dim(self) -> int:
        return self.processor.embed_dim

    @property
    def logit_scale(self) -> float:
        """What the network was trained to multiply its cosines by."""
        return float(self.network.logit_scale.exp())

    @property
    def mean_colour(self) -> tuple[int, int, int]:
        """The colour that says nothing, 0 to 255."""
        red, green, blue = (round(255 * value) for value in self.processor.mean)
        return red, green, blue

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds sentences: (N, embed_dim) float32, rows L2-normalised."""
        embeds = [np.zeros((0, self.embed_dim), dtype=np.float32)]
        for start in range(0, len(texts), MAX_BATCH):
            tokens = self.processor.tokenizer(list(texts[start : start + MAX_BATCH])).to(self.device)
            with self.inference():
                features = self.network.encode_text(tokens)
            embeds.append(normalize(features.float(), dim=-1).cpu().numpy())
        return np.concatenate(embeds)

    def encode_images(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Embeds an image's `VIEWS`, in squares: (5, embed_dim) float32 each, rows L2-normalised."""
        encoded = []
        for image in map(within_aspect, images):
            height, width = image.shape[:2]
            squares = squares_around(torch.tensor(VIEWS) * torch.tensor([width, height, width, height]), context=0)
            pictures = [cut(Image.fromarray(image), square, self.mean_colour) for square in squares.tolist()]
            encoded.append(self.encode_pixels(self.prepare(pictures)).cpu().numpy())
        return encoded

    def prepare(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Pictures as the checkpoint's own transform prepares them: (N, 3, s, s) float32, on the device."""
        return torch.stack([self.processor.transform(picture) for picture in pictures]).to(self.device)

    def encode_pixels(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Embeds prepared pictures: (N, 3, s, s) -> (N, embed_dim) float32, rows L2-normalised."""
        with self.inference():
            features = self.network.encode_image(pixel_values.to(self.dtype))
        return normalize(features.float(), dim=-1)


def empty_openai_clip(name: str) -> Any:
    """What OpenAI's `clip.load(name)` builds, e.g. of "ViT-B/16", before it has weights; without their package.

    Returns:
        open_clip's network with OpenAI's calling conventions and names of tensors.

    Raises:
        ValueError: open_clip knows no such architecture.
    """
    import open_clip

    config = open_clip.get_model_config(f"{name.replace('/', '-')}-quickgelu")
    if config is None:
        raise ValueError(f"there is no CLIP called {name}")
    return as_openai(open_clip.model.CLIP(**config))


def as_openai(network: Any) -> Any:
    """Makes the blocks take (tokens, batch, width), and the text's find their mask in an attribute, in place."""
    for block in network.transformer.resblocks:
        block.attn_mask = network.attn_mask
        block.forward = _masked(block)
    for block in [*network.transformer.resblocks, *network.visual.transformer.resblocks]:
        block.attn.batch_first = False
    network.cuda = lambda device=None: network  # code written for a GPU moves it there without asking for one
    return network


def _masked(block: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    forward = block.forward
    return lambda tokens: forward(tokens, attn_mask=block.attn_mask.to(tokens))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps open_clip's log of every step out of a script's output, and its hands off the root logger."""
    root, before = logging.getLogger(), logging.root.manager.disable
    handler = logging.NullHandler()
    root.addHandler(handler)
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
