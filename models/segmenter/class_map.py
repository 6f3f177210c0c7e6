"""An image classifier that is asked for its names, place by place, and a small decoder that draws their outlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import interpolate

from models.network import MAX_BATCH, Composite, Pretrained
from models.pocket.class_names import ClassNames
from models.pocket.image_classifier import SMALLEST, ImageClassifier, Seen, check_names
from models.segmenter.outline_decoder import OutlineNetwork, share_of_query
from models.segmenter.score_maps import NEAR_MISS, query_embeds, within_aspect
from utils.cli import SHARE, at_least, several
from utils.errors import UserError
from utils.language import imagenet
from utils.types import Query

ALIKE_FROM, ALIKE_TO = 0.2, 0.45  # likeness of two names from which one belongs to the other a little, and wholly
PROPOSED = 9  # things that regions are proposed of


class ClassMapSegmenter(Composite):
    """Any convolutional ImageNet-1k classifier of timm, with a decoder trained for its features.

    A text of any wording becomes a set of the classifier's 1,000 names (`models.pocket.class_names`); an embedding is
    such a set with weights. To a set belong, less and less, the names that the classifier takes for those asked for: a
    white duck is a goose to it. Maps are averaged over the scales that the image is looked at in.

    Args (settings):
        scales: pixels of the image's longer side, one map each.
        min_presence: in [0, 1]; where the names asked for have less than this share of every place, the map stays below
            0.5 everywhere.
    """

    family = "class_map"
    parts: ClassVar[Mapping[str, type[Pretrained]]] = {
        "classifier": ImageClassifier,
        "outlines": OutlineNetwork,
        "words": ClassNames,
    }
    accepts_embeddings = True
    accepts_sentences = True

    def __init__(
        self,
        networks: Mapping[str, Any],
        provenance: dict[str, Any],
        *,
        scales: Annotated[Sequence[int], several(at_least(SMALLEST))] = (320, 448),
        min_presence: Annotated[float, SHARE] = 0.003,
    ) -> None:
        super().__init__(networks, provenance)
        self.classifier, self.outlines, self.words = (networks[name] for name in ("classifier", "outlines", "words"))
        check_names(self.classifier)
        self.scales, self.min_presence = scales, min_presence
        if self.classifier.channels != self.outlines.network.channels:
            raise UserError(
                f"expected outlines trained for this classifier's features of {self.classifier.channels} channels, "
                f"found some for {self.outlines.network.channels}; train them with `python -m models.pocket.train`"
            )

    @property
    def text_embed_dim(self) -> int:
        return self.classifier.num_names

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Which of the names a text means, and less and less those that the classifier takes for them.

        Returns:
            (N, text_embed_dim) float32 in [0, 1]; the largest of a row is 1, or all are 0 where nothing is known.
        """
        names = self.words.encode(texts)
        likeness = np.zeros_like(names)
        for row, named in zip(likeness, names > 0, strict=True):
            row[:] = self.classifier.likeness[named].max(0, initial=0)
        alike = ((likeness - ALIKE_FROM) / (ALIKE_TO - ALIKE_FROM)).clip(0, 1)
        return np.maximum(names, alike).astype(np.float32)

    def known_names(self, query: Query, k: int) -> list[str]:
        """What a query is taken for, look-alikes behind: at most `k` things; none where it means nothing here."""
        names = self.encode_text([query.text])[0] if query.embedding is None else query.embedding
        return imagenet.nearest_words(names, k)

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`; a query that names nothing known asks for nothing."""
        score_maps = []
        for image, own in zip(images, queries, strict=True):
            from_text = self.remembered.encode_text([query.text for query in own if query.embedding is None])
            names = query_embeds(own, from_text, self.text_embed_dim).clip(min=0)
            names = names[names.max(1, initial=0) > 1e-6]  # the others ask for nothing
            names = names / names.max(1, initial=1e-6, keepdims=True)
            (height, width), size = image.shape[:2], within_aspect(image).shape[:2]
            seen = self._seen(image) if len(names) else []
            score_map = torch.zeros(size)
            for some in torch.from_numpy(names).split(MAX_BATCH) if seen else ():
                score_map = torch.maximum(score_map, self._strongest(seen, some, size))
            score_maps.append(score_map[:height, :width].clamp(0, 1).numpy())
        return score_maps

    def presence(self, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.Segmenter`; the decoder is not asked.

        Returns:
            (len(images), len(texts)) float32 in [0, 1]: the largest share that the names have of any place.
        """
        asked = torch.from_numpy(self.words.encode(texts))
        rows = [_presence(self._seen(image), asked).numpy() for image in images]
        return np.asarray(rows, np.float32).reshape(len(images), len(texts))

    def propose_regions(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`: the outlines of the things likeliest in view, and their connected parts."""
        return [self._regions(image) for image in images]

    def _regions(self, image: np.ndarray) -> np.ndarray:
        """(R, H, W) float32 in [0, 1]."""
        from models.segmenter.proposals import distinct, parts_of  # which most methods never enter

        (height, width), size, seen = image.shape[:2], within_aspect(image).shape[:2], self._seen(image)
        names, asked = self._things
        shares = [(names.to(one.logits) @ one.logits.softmax(0).flatten(1)).amax(1) for one in seen]
        likeliest = torch.stack(shares).amax(0).argsort(descending=True, stable=True)
        chosen: list[int] = []
        for thing in likeliest.tolist():
            if all((asked[thing] * names[other]).max() < 1 for other in chosen):  # else it is taken for the other
                chosen.append(thing)
            if len(chosen) == PROPOSED:
                break
        maps = (self._strongest(seen, asked[[thing]], size)[:height, :width] for thing in chosen)
        found = distinct(part for one in maps for part in parts_of(one.clamp(0, 1).numpy()))
        return np.asarray(found, np.float32).reshape(len(found), height, width)

    @cached_property
    def _things(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All things that the names are: (T, N) float32 each, their own names, and look-alikes besides."""
        things = list(dict.fromkeys(imagenet.things()))
        own = np.array([[thing == name for name in imagenet.things()] for thing in things], np.float32)
        return torch.from_numpy(own), torch.from_numpy(self.encode_text(things))

    def _seen(self, image: np.ndarray) -> list[Seen]:
        image = within_aspect(image)
        return [self.classifier.encode_images([image], scale)[0] for scale in self.scales]

    def _strongest(self, seen: Sequence[Seen], names: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """The maximum over some queries' maps: (H, W) float32 in [0, 1], on the host."""
        slope, offset = self.outlines.calibration
        total = torch.zeros(len(names), *size)
        for one in seen:
            features = [feature.to(self.outlines.dtype).expand(len(names), -1, -1, -1) for feature in one.features]
            logits = one.logits.expand(len(names), -1, -1, -1)
            with self.outlines.inference():
                drawn = self.outlines.network(features, logits, names.to(logits.device))
            drawn = interpolate(drawn.float()[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
            total += (slope * drawn + offset).sigmoid().cpu()
        presence = _presence(seen, (names > 0.5).float())
        least = torch.tensor(max(self.min_presence, 1e-9))
        trust = torch.where(presence >= least, 1.0, NEAR_MISS * presence / least)
        return (trust[:, None, None] * total / len(seen)).amax(0)


def _presence(seen: Sequence[Seen], names: torch.Tensor) -> torch.Tensor:
    """The largest share of any place that names (Q, N) have, at any scale: (Q,) float32 in [0, 1], on the host."""
    found = torch.zeros(len(names))
    for one in seen if len(names) else ():
        shares = share_of_query(one.logits.expand(len(names), -1, -1, -1), names.to(one.logits.device))
        found = torch.maximum(found, shares.amax((1, 2)).cpu())
    return found.clamp(0, 1)
