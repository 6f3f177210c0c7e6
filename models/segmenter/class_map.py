"""An image classifier that is asked for its names, place by place, and a small decoder that draws their outlines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import interpolate

from models.class_names import ClassNames
from models.image_classifier import ImageClassifier, Seen
from models.pretrained import Composite, Pretrained
from models.segmenter.frame import within_aspect
from models.segmenter.outline_decoder import OutlineDecoder, share_of_query
from utils import imagenet
from utils.errors import UserError
from utils.types import Query

__all__ = ["ClassMapSegmenter", "OutlineNetwork"]


class OutlineNetwork(Pretrained):
    """The decoder of a classifier, as `python -m models.pocket.train` writes it.

    Attributes:
        calibration: (slope, offset) that take its logits to those of a probability, fitted on held-out cut-outs.
    """

    family = "outlines"

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`; the processor is the folder's config."""
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("architecture") != "outline_decoder":
            raise ValueError(f"expected an outline_decoder, found {config.get('architecture')}")
        network = OutlineDecoder(config["channels"], config["widths"])
        network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
        return network.to(dtype), config

    @property
    def calibration(self) -> tuple[float, float]:
        return self.processor["slope"], self.processor["offset"]


class ClassMapSegmenter(Composite):
    """Any convolutional ImageNet-1k classifier of timm, with a decoder trained for its features.

    A text of any wording becomes a set of the classifier's 1,000 names (`models.class_names`); an embedding is such a
    set with weights. Maps are averaged over the scales that the image is looked at in.

    Args (settings):
        scales: pixels of the image's longer side, one map each.
    """

    family = "class_map"
    parts: ClassVar[Mapping[str, type[Pretrained]]] = {
        "classifier": ImageClassifier,
        "outlines": OutlineNetwork,
        "words": ClassNames,
    }
    accepts_embeddings = True

    def __init__(
        self,
        networks: Mapping[str, Any],
        provenance: dict[str, Any],
        *,
        scales: Sequence[int] = (256, 384),
    ) -> None:
        super().__init__(networks, provenance)
        if not scales or min(scales) < 64:
            raise UserError(f"expected scales to be one or more of 64 pixels and above, found {list(scales)}")
        self.scales = tuple(scales)
        self.classifier, self.outlines, self.words = (networks[name] for name in ("classifier", "outlines", "words"))
        if self.classifier.channels != self.outlines.network.channels:
            raise UserError(
                f"expected outlines trained for this classifier's features of {self.classifier.channels} channels, "
                f"found some for {self.outlines.network.channels}; train them with `python -m models.pocket.train`"
            )

    @property
    def text_embed_dim(self) -> int:
        return self.classifier.num_names

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Which of the names a text means.

        Returns:
            (N, text_embed_dim) float32 in [0, 1]; the largest of a row is 1, or all are 0 where nothing is known.
        """
        return self.words.encode(texts)

    def known_names(self, text: str, k: int) -> list[str]:
        """What a text is taken for: at most `k` things, the nearest first; none where it means nothing here."""
        return imagenet.nearest_words(self.encode_text([text])[0], k)

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """Finds in each image what its queries ask for.

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.
            queries: any number per image; one with an embedding is asked by it, else by its text.

        Returns:
            Per image (H, W) float32 in [0, 1]: the maximum over its queries, all zero where none is known.
        """
        return [self._segment(image, self._names_asked(own)) for image, own in zip(images, queries, strict=True)]

    def presence(self, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.Segmenter`; the decoder is not asked.

        Returns:
            (len(images), len(texts)) float32 in [0, 1]: the largest share that the names have of any place.
        """
        asked = torch.from_numpy(self.encode_text(texts))
        found = np.zeros((len(images), len(texts)), np.float32)
        for row, image in enumerate(images):
            for seen in self._seen(image):
                shares = share_of_query(seen.logits.expand(len(texts), -1, -1, -1), asked.to(seen.logits.device))
                found[row] = np.maximum(found[row], shares.amax((1, 2)).cpu().numpy())
        return found.clip(0, 1)

    def _names_asked(self, queries: Sequence[Query]) -> torch.Tensor:
        """(Q, N) float32 in [0, 1], those that ask for nothing left out."""
        texts = iter(self.encode_text([query.text for query in queries if query.embedding is None]))
        rows = [next(texts) if query.embedding is None else np.asarray(query.embedding) for query in queries]
        for row in rows:
            if row.shape != (self.text_embed_dim,):
                raise ValueError(f"expected query embeddings of shape ({self.text_embed_dim},), found {row.shape}")
        names = np.asarray(rows, np.float32).reshape(len(rows), self.text_embed_dim).clip(min=0)
        names = names[names.max(1, initial=0) > 1e-6]
        return torch.from_numpy(names / names.max(1, initial=1e-6, keepdims=True))

    def _seen(self, image: np.ndarray) -> list[Seen]:
        framed = within_aspect(image)
        return [self.classifier.encode_images([framed], scale)[0] for scale in self.scales]

    def _segment(self, image: np.ndarray, names: torch.Tensor) -> np.ndarray:
        height, width = image.shape[:2]
        if not len(names):
            return np.zeros((height, width), np.float32)
        framed = within_aspect(image).shape[:2]
        slope, offset = self.outlines.calibration
        total = torch.zeros(len(names), *framed)
        for seen in self._seen(image):
            features = [feature.expand(len(names), -1, -1, -1) for feature in seen.features]
            logits = seen.logits.expand(len(names), -1, -1, -1)
            with self.outlines.inference():
                drawn = self.outlines.network(features, logits, names.to(logits.device))
            drawn = interpolate(drawn.float()[:, None], size=framed, mode="bilinear", align_corners=False)[:, 0]
            total += (slope * drawn + offset).sigmoid().cpu()
        return (total / len(self.scales)).amax(0)[:height, :width].clamp(0, 1).numpy()
