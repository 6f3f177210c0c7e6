"""Segment Anything's proposals scored with CLIP, as a segmenter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from models.network import Composite, Pretrained
from models.segmenter.low_res_maps import within_aspect
from models.segmenter.open_clip import ClipScorer
from models.segmenter.region_scores import Views
from models.segmenter.segment_anything import Proposals, SamProposer
from utils.errors import UserError
from utils.types import Query

# What anything could be called, in the words our queries use.
NEGATIVES = ("a photo of an object", "a photo of things", "a photo of stuff", "a photo of texture")


@dataclass(frozen=True, eq=False)
class Regions:
    """What could be asked for in one image.

    Attributes:
        proposals: P of them, also none; of the image within its aspect (`models/segmenter/low_res_maps.py`).
        embeds: (P, D) float32, see `Views.embed`.
    """

    proposals: Proposals
    embeds: torch.Tensor


class SamClipSegmenter(Composite):
    """SAM says where something is, CLIP says how well each something fits the query.

    Each proposal p is shown to CLIP twice: as a square crop with some context, and the same with its background muted.
    The weighted mean of both embeddings, v_p, is compared with the query's t and with sentences n_k that fit anything:

        score(p, t) = min_k softmax(L v_p.t, L v_p.n_k)[0] = sigmoid(L (v_p.t - max_k v_p.n_k))

    where L is the temperature CLIP was trained with. So a score above 0.5 means that CLIP prefers the query to every
    indifferent sentence, and a proposal that is something else goes to 0, whatever else is in the image. The map is the
    maximum over proposals of score times soft mask. A query's embedding lies in CLIP's text space; its length is
    ignored.

    References: Kerr et al., "LERF: Language Embedded Radiance Fields", ICCV 2023 (the relevancy score and its canonical
    phrases "object", "things", "stuff", "texture"; here they stand in a sentence, as the queries do). Yu, Seo and Son,
    "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023 (proposals scored by crop and
    by mask). `models/segmenter/crops.py` for the background.
    """

    family = "sam_clip"
    parts: Mapping[str, type[Pretrained]] = {"masks": SamProposer, "scorer": ClipScorer}
    accepts_embeddings = True

    def __init__(
        self,
        networks: Mapping[str, Any],
        provenance: dict[str, Any],
        *,
        points_per_side: int = 16,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        box_nms_thresh: float = 0.7,
        min_area: float = 0.001,
        max_proposals: int = 64,
        crop_weight: float = 0.5,
        mask_weight: float = 0.5,
        crop_context: float = 0.2,
        background: str = "blur",
        mask_temperature: float = 4.0,
        negatives: Sequence[str] | None = None,
    ) -> None:
        """Joins the loaded parts.

        Args:
            networks: "masks" and "scorer".
            provenance: of the parts.
            points_per_side: of SAM's grid; its authors take 32, for four times the time.
            pred_iou_thresh, stability_score_thresh, box_nms_thresh: which masks are good enough, and how alike two may
                be, as SAM's authors have it.
            min_area: proposals smaller than this share of the image are left out: CLIP could not tell what they are.
            max_proposals: the best so many of an image are scored; bounds the time.
            crop_weight, mask_weight: of the crop and of the crop with a muted background; 0 saves that pass.
            crop_context: margin around a proposal, as a share of its longer side.
            background: how it is muted, "blur" or "mean".
            mask_temperature: a mask's value is sigmoid(logit / temperature), which moves no outline. At 1, SAM's large
                logits would make most of a region exactly 1, and pixels that are equal are taken all or none by a
                metric that wants the strongest n.
            negatives: the indifferent sentences; None for the four above.

        Raises:
            UserError: a setting is out of range.
        """
        super().__init__(networks, provenance)
        self.proposing = {
            "points_per_side": points_per_side,
            "pred_iou_thresh": pred_iou_thresh,
            "stability_score_thresh": stability_score_thresh,
            "box_nms_thresh": box_nms_thresh,
            "min_area": min_area,
            "max_proposals": max_proposals,
        }
        self.views = Views(crop_weight, mask_weight, crop_context, background)
        self.mask_temperature = mask_temperature
        self.negatives = tuple(NEGATIVES if negatives is None else negatives)
        for name in ("points_per_side", "max_proposals"):
            if self.proposing[name] < 1:
                raise UserError(f"expected {name} to be at least 1, found {self.proposing[name]}")
        if not self.mask_temperature > 0:
            raise UserError(f"expected mask_temperature to be positive, found {self.mask_temperature:g}")
        if not self.negatives or not all(isinstance(text, str) for text in self.negatives):
            raise UserError(f"expected negatives to be a list of sentences, found {negatives!r}")

    @property
    def text_embed_dim(self) -> int:
        return self.networks["scorer"].embed_dim

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """Finds in each image what its queries ask for.

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.
            queries: any number per image; one with an embedding is asked by it, else by its text.

        Returns:
            Per image (H, W) float32 in [0, 1]: the maximum over its queries, all zero for no query.
        """
        asked = [query for some in queries for query in some]
        embeds, negatives = self._embeds(asked)
        parts = iter(embeds.split([len(some) for some in queries]))
        return [self._score_map(image, next(parts), negatives) for image, _ in zip(images, queries, strict=True)]

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds sentences.

        Returns:
            (N, text_embed_dim) float32, rows L2-normalised.
        """
        return self.networks["scorer"].encode_text(texts)

    def encode_images(self, images: Sequence[np.ndarray]) -> list[Regions]:
        """What the networks make of the pixels alone, once an image (see models/remembering.py).

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.

        Returns:
            One an image, on the networks' device.
        """
        encoded = []
        for image in map(within_aspect, images):
            proposals = self.networks["masks"].propose(image, **self.proposing)
            encoded.append(Regions(proposals, self.views.embed(self.networks["scorer"], image, proposals)))
        return encoded

    def scores(self, regions: torch.Tensor, embeds: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """How well each region fits each query.

        Args:
            regions: (P, D) float32, their embeddings.
            embeds: (Q, D) float32, L2-normalised.
            negatives: (K, D) float32, L2-normalised.

        Returns:
            (P, Q) float32 in [0, 1].
        """
        margins = regions @ embeds.T - (regions @ negatives.T).amax(dim=1, keepdim=True)
        return (self.networks["scorer"].logit_scale * margins).sigmoid()

    def _score_map(self, image: np.ndarray, embeds: torch.Tensor, negatives: torch.Tensor) -> np.ndarray:
        height, width = image.shape[:2]
        if not len(embeds):
            return np.zeros((height, width), dtype=np.float32)
        masks: SamProposer = self.networks["masks"]
        [regions] = self.encode_images([image])
        score_map = torch.zeros(regions.proposals.image_size, device=embeds.device)
        scores = self.scores(regions.embeds, embeds, negatives).amax(dim=1)
        for index, score in enumerate(scores):  # one full-size map in memory at a time
            mask = (masks.mask_logits(regions.proposals, index) / self.mask_temperature).sigmoid()
            score_map = torch.maximum(score_map, score * mask)
        return score_map[:height, :width].clamp(0, 1).cpu().numpy()

    def _embeds(self, queries: Sequence[Query]) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and indifferent sentences -> (Q, D) and (K, D) float32, L2-normalised."""
        texts = [query.text for query in queries if query.embedding is None]
        from_text = self.encode_text([*texts, *self.negatives])
        given = iter(from_text)
        embeds = [next(given) if query.embedding is None else np.asarray(query.embedding) for query in queries]
        for embed in embeds:
            if embed.shape != (self.text_embed_dim,):
                raise ValueError(f"expected query embeddings of shape ({self.text_embed_dim},), found {embed.shape}")
        device = self.networks["scorer"].device
        stacked = np.stack([*embeds, *from_text[len(texts) :]]).astype(np.float32)
        rows = normalize(torch.from_numpy(stacked).to(device), dim=-1)
        return rows[: len(queries)], rows[len(queries) :]
