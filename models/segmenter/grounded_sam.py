"""Grounded SAM, as a segmenter: a text to boxes, boxes to masks, masks to a soft map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from models.network import Composite, Pretrained
from models.segmenter.detector import TextDetector
from models.segmenter.instances import Calibration, strongest
from models.segmenter.low_res_maps import within_aspect
from models.segmenter.mask_generator import MaskGenerator
from models.segmenter.text_only import TextOnly
from utils.errors import UserError
from utils.types import Query


class GroundedSamSegmenter(TextOnly, Composite):
    """A zero-shot detector's boxes, outlined by Segment Anything.

    The map is the maximum over all boxes of all queries; a query for which no box is accepted adds nothing. The mask
    network encodes an image once for all of them, and a detector as much of it as its architecture lets it
    (`models/segmenter/detector.py`).

    Args:
        networks: "detector" (LLMDet, Grounding DINO, OWLv2) and "masks" (SAM 2.1, SAM).
        provenance: see `Composite`.
        box_threshold: a box is accepted when it scores higher. 0.3 is what Grounded SAM's own examples take; OWL's
            scores are lower (0.1).
        max_boxes: accepted for one query, the best first.
        multimask: see `MaskGenerator.mask_logits`.
        rescale, mask_temperature: how score and logit become one value, see `Calibration`. false and 1.0 give the
            plain product of detection score and sigmoid.

    Raises:
        UserError: a setting is out of its range.

    Reference: Ren et al., "Grounded SAM: Assembling open-world models for diverse visual tasks", arXiv 2401.14159.
    """

    family = "grounded_sam"
    parts: ClassVar[Mapping[str, type[Pretrained]]] = {"detector": TextDetector, "masks": MaskGenerator}

    def __init__(
        self,
        networks: Mapping[str, Any],
        provenance: dict[str, Any],
        *,
        box_threshold: float = 0.3,
        max_boxes: int = 16,
        multimask: bool = False,
        rescale: bool = True,
        mask_temperature: float = 4.0,
    ) -> None:
        super().__init__(networks, provenance)
        if max_boxes < 1:
            raise UserError(f"expected max_boxes to be at least 1, found {max_boxes}; the default is 16")
        self.calibration = Calibration(box_threshold, rescale, mask_temperature)
        self.max_boxes = max_boxes
        self.multimask = multimask

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """Finds in each image what its queries ask for.

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.
            queries: any number per image, by text.

        Returns:
            Per image (H, W) float32 in [0, 1]: the maximum over its queries, all zero for no query.

        Raises:
            UserError: a query has an embedding.
        """
        texts = [self.texts(some) for some in queries]
        return [self._segment(image, asked) for image, asked in zip(images, texts, strict=True)]

    def _segment(self, image: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        height, width = image.shape[:2]
        seen = within_aspect(image)
        found = self.networks["detector"].detect(seen, texts, self.calibration.threshold, self.max_boxes)
        scores = [score for boxes in found for score in boxes.scores.tolist()]
        if not scores:
            return np.zeros((height, width), dtype=np.float32)
        corners = torch.cat([boxes.corners for boxes in found])
        masks = self.networks["masks"].mask_logits(seen, corners, self.multimask)
        values = (self.calibration(logits, score) for logits, score in zip(masks, scores, strict=True))
        return strongest((value[:height, :width] for value in values), (height, width))
