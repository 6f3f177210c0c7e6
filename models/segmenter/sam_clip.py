"""Segment Anything's regions scored with CLIP, as a segmenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize

from models.network import MAX_BATCH, Composite, Pretrained
from models.segmenter.crops import BACKGROUNDS, cut, mute_background, squares_around
from models.segmenter.open_clip import ClipScorer
from models.segmenter.score_maps import Calibration, of_words, query_embeds, strongest, within_aspect
from models.segmenter.segment_anything import Regions, SegmentAnything
from utils.cli import NOT_NEGATIVE, POSITIVE, SHARE, TEXT, THRESHOLD, at_least, one_of, several
from utils.errors import UserError
from utils.types import Query

# What anything could be called, in the words our queries use.
NEGATIVES = ("a photo of an object", "a photo of things", "a photo of stuff", "a photo of texture")


@dataclass(frozen=True, eq=False)
class EmbeddedRegions:
    """What could be asked for in one image.

    Attributes:
        regions: P of them, also none; of the image within its aspect (`models/segmenter/score_maps.py`).
        embeds: (P, D) float32, the weighted mean of the L2-normalised embeddings of a region's two pictures; so its
            product with a sentence's embedding is the weighted mean of their cosines.
    """

    regions: Regions
    embeds: torch.Tensor


class SamClipSegmenter(Composite):
    """SAM says where something is, CLIP says how well each something fits the query.

    Each region p that SAM finds is shown to CLIP twice: as a square crop with some context, and the same with its
    background muted. The weighted mean of both embeddings, v_p, is compared with the query's t and with sentences n_k
    that fit anything:

        score(p, t) = min_k softmax(L v_p.t, L v_p.n_k)[0] = sigmoid(L (v_p.t - max_k v_p.n_k))

    where L is the temperature CLIP was trained with. So a score above 0.5 means that CLIP prefers the query to every
    indifferent sentence, and a region that is something else goes to 0, whatever else is in the image. The map is the
    maximum over regions of what `Calibration` makes of score and soft mask: at 0.5, a region that CLIP prefers ends
    where its mask does, and the others stay below. A query's embedding lies in CLIP's text space; its length is
    ignored.

    References: Kerr et al., "LERF: Language Embedded Radiance Fields", ICCV 2023 (the relevancy score and its canonical
    phrases "object", "things", "stuff", "texture"; here they stand in a sentence, as the queries do). Yu, Seo and Son,
    "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023 (regions scored by crop and
    by mask). `models/segmenter/crops.py` for the background.
    """

    family = "sam_clip"
    accepts_sentences = True
    parts: Mapping[str, type[Pretrained]] = {"masks": SegmentAnything, "scorer": ClipScorer}
    accepts_embeddings = True

    def __init__(
        self,
        networks: Mapping[str, Any],
        provenance: dict[str, Any],
        *,
        points_per_side: Annotated[int, at_least(1)] = 16,
        pred_iou_thresh: Annotated[float, SHARE] = 0.88,
        stability_score_thresh: Annotated[float, SHARE] = 0.95,
        box_nms_thresh: Annotated[float, SHARE] = 0.7,
        min_area: Annotated[float, SHARE] = 0.001,
        max_proposals: Annotated[int, at_least(1)] = 64,
        crop_weight: Annotated[float, NOT_NEGATIVE] = 0.5,
        mask_weight: Annotated[float, NOT_NEGATIVE] = 0.5,
        crop_context: Annotated[float, NOT_NEGATIVE] = 0.2,
        background: Annotated[str, one_of(*BACKGROUNDS)] = "blur",
        score_threshold: Annotated[float, THRESHOLD] = 0.5,
        rescale: bool = True,
        mask_temperature: Annotated[float, POSITIVE] = 4.0,
        negatives: Annotated[Sequence[str] | None, several(TEXT)] = None,
    ) -> None:
        """Joins the loaded parts.

        Args:
            networks, provenance: "masks" and "scorer", and where they came from.
            points_per_side: of SAM's grid; its authors take 32, for four times the time.
            pred_iou_thresh, stability_score_thresh, box_nms_thresh: as SAM's authors have it.
            min_area: regions smaller than this part of the image are left out: CLIP could not tell what they are.
            max_proposals: the best so many regions of an image are scored; bounds the time.
            crop_weight, mask_weight: of the crop and of the crop with a muted background; 0 saves that pass.
            crop_context: margin around a region, as a fraction of its longer side.
            background: how it is muted, "blur" or "mean".
            score_threshold: a region is accepted when it scores higher; 0.5 is CLIP's own preference.
            rescale, mask_temperature: how score and logit become one value, see `Calibration`.
            negatives: the indifferent sentences; None for the four above.

        Raises UserError where both weights are 0.
        """
        super().__init__(networks, provenance)
        self.generation = {
            "points_per_side": points_per_side,
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "box_nms_thresh": box_nms_thresh,
            "min_area": min_area,
            "max_regions": max_proposals,
        }
        self.crop_weight, self.mask_weight = crop_weight, mask_weight
        self.crop_context, self.background = crop_context, background
        self.calibration = Calibration(score_threshold, rescale, mask_temperature)
        self.negatives = tuple(NEGATIVES if negatives is None else negatives)
        if not crop_weight + mask_weight:
            raise UserError("expected crop_weight or mask_weight above 0, found 0 for both; set one of them higher")

    @property
    def text_embed_dim(self) -> int:
        return self.networks["scorer"].embed_dim

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`."""
        embeds, negatives = self._embeds([query for some in queries for query in some])
        parts = iter(embeds.split([len(some) for some in queries]))
        return [self._score_map(image, next(parts), negatives) for image, _ in zip(images, queries, strict=True)]

    @of_words
    def presence(self, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.Segmenter`; the best score of the image and its corners as CLIP sees them, without SAM."""
        embeds, negatives = self._embeds([Query(text) for text in texts])
        seen = torch.from_numpy(np.stack(self.networks["scorer"].encode_images(images))).to(embeds)
        return np.stack([self.scores(views, embeds, negatives).amax(dim=0).cpu() for views in seen])

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """(N, text_embed_dim) float32, rows L2-normalised."""
        return self.networks["scorer"].encode_text(texts)

    def encode_images(self, images: Sequence[np.ndarray]) -> list[EmbeddedRegions]:
        """See `models.roles.Segmenter`."""
        encoded = []
        for image in map(within_aspect, images):
            regions = self.networks["masks"].generate(image, **self.generation)
            encoded.append(EmbeddedRegions(regions, self._embed(image, regions)))
        return encoded

    def propose_regions(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`: what Segment Anything finds, CLIP unasked."""
        return [self._regions(image) for image in images]

    def scores(self, regions: torch.Tensor, embeds: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """How well each region fits each query: (P, Q) float32 in [0, 1].

        Args:
            regions, embeds, negatives: (P, D), (Q, D) and (K, D) float32, the latter two L2-normalised.
        """
        margins = regions @ embeds.T - (regions @ negatives.T).amax(dim=1, keepdim=True)
        return (self.networks["scorer"].logit_scale * margins).sigmoid()

    def _embeds(self, queries: Sequence[Query]) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries, and the indifferent sentences: (Q, D) and (K, D) float32, rows L2-normalised."""
        texts = [query.text for query in queries if query.embedding is None]
        from_text = self.remembered.encode_text([*texts, *self.negatives])
        rows = query_embeds([*queries, *map(Query, self.negatives)], from_text, self.text_embed_dim)
        embeds = normalize(torch.from_numpy(rows).to(self.networks["scorer"].device), dim=-1)
        return embeds[: len(queries)], embeds[len(queries) :]

    def _embed(self, image: np.ndarray, regions: Regions) -> torch.Tensor:
        """Regions of an image -> (P, D) float32, see `EmbeddedRegions`."""
        scorer = self.networks["scorer"]
        picture, squares = Image.fromarray(image), squares_around(regions.boxes, self.crop_context)
        embeds = [torch.zeros(0, scorer.embed_dim, device=scorer.device)]
        for start in range(0, len(regions), MAX_BATCH):
            some = slice(start, start + MAX_BATCH)
            crops = scorer.prepare([cut(picture, square, scorer.mean_colour) for square in squares[some].tolist()])
            mean = 0
            if self.crop_weight:
                mean = mean + self.crop_weight * scorer.encode_pixels(crops)
            if self.mask_weight:
                masks = regions.masks_within(squares[some], some, crops.shape[-1])
                muted = mute_background(crops, masks, self.background)
                mean = mean + self.mask_weight * scorer.encode_pixels(muted)
            embeds.append(mean / (self.crop_weight + self.mask_weight))
        return torch.cat(embeds)

    def _regions(self, image: np.ndarray) -> np.ndarray:
        """(R, H, W) float32 in [0, 1]."""
        (height, width), masks = image.shape[:2], self.networks["masks"]
        regions = self.remembered.encode_images([image])[0].regions
        maps = (self.calibration(masks.mask_logits(regions, index), 1.0) for index in range(len(regions)))
        found = [one[:height, :width].cpu().numpy() for one in maps if (one[:height, :width] > 0.5).any()]
        return np.asarray(found, np.float32).reshape(len(found), height, width)

    def _score_map(self, image: np.ndarray, embeds: torch.Tensor, negatives: torch.Tensor) -> np.ndarray:
        height, width = image.shape[:2]
        if not len(embeds):
            return np.zeros((height, width), dtype=np.float32)
        masks = self.networks["masks"]
        [found] = self.remembered.encode_images([image])
        scores = self.scores(found.embeds, embeds, negatives).amax(dim=1)
        values = (
            self.calibration(masks.mask_logits(found.regions, index), score)
            for index, score in enumerate(scores.tolist())
        )
        return strongest((value[:height, :width] for value in values), (height, width))
