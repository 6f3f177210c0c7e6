"""Grounded SAM, as a segmenter: a text to boxes, boxes to masks, masks to a soft map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from PIL import Image

from models.network import MAX_BATCH, Composite, Pretrained
from models.segmenter.detector import Detections, TextDetector
from models.segmenter.score_maps import Calibration, TextOnly, of_words, strongest, within_aspect
from utils.cli import POSITIVE, THRESHOLD, at_least
from utils.types import Query


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """What a mask network makes of one image before any box is known.

    Attributes:
        inputs: what its forward pass takes in place of pixels: "image_embeddings" and, for HQ-SAM,
            "intermediate_embeddings"; each (1, D, h, w), or a tuple of them where the decoder reads several.
        sizes: "original_sizes" and, for the first SAMs, "reshaped_input_sizes"; (1, 2) each, with which the processor
            undoes its resizing and padding.
    """

    inputs: Mapping[str, torch.Tensor | tuple[torch.Tensor, ...]]
    sizes: Mapping[str, torch.Tensor]


class MaskGenerator(Pretrained):
    """Any network that transformers' `AutoModelForMaskGeneration` loads: SAM, SAM 2.1, EdgeTAM, HQ-SAM.

    Reference: Ravi et al., "SAM 2: Segment anything in images and videos", ICLR 2025.
    """

    family = "mask_generation"
    network_class = "AutoModelForMaskGeneration"
    processor_class = "AutoProcessor"

    def mask_logits(self, image: np.ndarray, corners: torch.Tensor, multimask: bool) -> Iterator[torch.Tensor]:
        """Outlines what each box holds; the image is encoded once.

        Args:
            image: (H, W, 3) uint8 RGB.
            corners: (B, 4) float32, x0 y0 x1 y1 in pixels of the image, B at least 1.
            multimask: whether three masks are made for a box and the one with the best predicted IoU is taken. A box
                leaves little open, and the single mask is what it was trained for; SAM 2 takes the best of three by
                itself where that mask is unstable.

        Yields:
            (H, W) float32 logits for each box, positive inside.
        """
        [encoded] = self.remembered.encode_images([image])
        for logits in self._decode(encoded, self._boxes(image, encoded, corners), multimask):
            yield self._in_pixels(logits, encoded)

    def encode_images(self, images: Sequence[np.ndarray]) -> list[ImageEmbeddings]:
        """See `models.roles.Segmenter`."""
        encoded = []
        for image in images:
            prepared = self.processor(images=Image.fromarray(np.ascontiguousarray(image)), return_tensors="pt")
            with self.inference():
                embeds = self.network.get_image_embeddings(prepared["pixel_values"].to(self.device, self.dtype))
            if isinstance(embeds, tuple):  # HQ-SAM has the encoder's inner layers too, of which it reads the first
                inputs = {"image_embeddings": embeds[0], "intermediate_embeddings": tuple(embeds[1][:1])}
            else:
                inputs = {"image_embeddings": tuple(embeds) if isinstance(embeds, list) else embeds}
            sizes = {name: prepared[name] for name in ("original_sizes", "reshaped_input_sizes") if name in prepared}
            encoded.append(ImageEmbeddings(inputs, sizes))
        return encoded

    def _boxes(self, image: np.ndarray, encoded: ImageEmbeddings, corners: torch.Tensor) -> torch.Tensor:
        """(1, B, 4) float32 in the network's own pixels, as the checkpoint's own processor places them."""
        if "reshaped_input_sizes" in encoded.sizes:  # a processor of the first SAMs takes no size in place of the image
            given = {"images": Image.fromarray(np.ascontiguousarray(image))}
        else:
            given = {"original_sizes": encoded.sizes["original_sizes"]}
        return self.processor(**given, input_boxes=[corners.cpu().tolist()], return_tensors="pt")["input_boxes"].float()

    def _decode(self, encoded: ImageEmbeddings, boxes: torch.Tensor, multimask: bool) -> torch.Tensor:
        """(B, h, w) float32, in the network's own pixels."""
        masks = []
        with self.inference():
            for some in boxes.to(self.device).split(MAX_BATCH, dim=1):
                outputs = self.network(**encoded.inputs, input_boxes=some, multimask_output=multimask)
                best = outputs.iou_scores[0].argmax(dim=-1)  # (b,)
                masks.append(outputs.pred_masks[0][torch.arange(len(best)), best].float())
        return torch.cat(masks)

    def _in_pixels(self, logits: torch.Tensor, encoded: ImageEmbeddings) -> torch.Tensor:
        """(h, w) -> (H, W), as the checkpoint's own processor undoes its resizing and padding."""
        sizes = encoded.sizes.values()
        return self.processor.post_process_masks([logits[None, None]], *sizes, binarize=False)[0][0, 0]


class GroundedSamSegmenter(TextOnly, Composite):
    """A zero-shot detector's boxes, outlined by Segment Anything.

    The map is the maximum over all boxes of all queries. Of a query for which no box is accepted the best one is
    outlined all the same and stays below 0.5 (`Calibration`): no mask, but an order of the pixels. The mask network
    encodes an image once for all of them, and a detector as much of it as its architecture lets it
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

    Reference: Ren et al., "Grounded SAM: Assembling open-world models for diverse visual tasks", arXiv 2401.14159.
    """

    family = "grounded_sam"
    accepts_sentences = False
    parts: ClassVar[Mapping[str, type[Pretrained]]] = {"detector": TextDetector, "masks": MaskGenerator}

    def __init__(
        self,
        networks: Mapping[str, Any],
        provenance: dict[str, Any],
        *,
        box_threshold: Annotated[float, THRESHOLD] = 0.3,
        max_boxes: Annotated[int, at_least(1)] = 16,
        multimask: bool = False,
        rescale: bool = True,
        mask_temperature: Annotated[float, POSITIVE] = 4.0,
    ) -> None:
        super().__init__(networks, provenance)
        self.calibration = Calibration(box_threshold, rescale, mask_temperature)
        self.max_boxes = max_boxes
        self.multimask = multimask

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`; a query that has an embedding is refused with a UserError."""
        texts = [self.texts(some) for some in queries]
        return [self._segment(image, asked) for image, asked in zip(images, texts, strict=True)]

    @of_words
    def presence(self, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.Segmenter`; the score of the detector's best box, without the mask network."""
        found = (self._detect(within_aspect(image), texts) for image in images)
        return np.array([[boxes.scores[0].item() for boxes in of_texts] for of_texts in found])

    def _segment(self, image: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        height, width = image.shape[:2]
        seen = within_aspect(image)
        found = self._detect(seen, texts)
        scores = [score for boxes in found for score in boxes.scores.tolist()]
        if not scores:
            return np.zeros((height, width), dtype=np.float32)
        corners = torch.cat([boxes.corners for boxes in found])
        masks = self.networks["masks"].mask_logits(seen, corners, self.multimask)
        values = (self.calibration(logits, score) for logits, score in zip(masks, scores, strict=True))
        return strongest((value[:height, :width] for value in values), (height, width))

    def _detect(self, image: np.ndarray, texts: Sequence[str]) -> list[Detections]:
        return self.networks["detector"].detect(image, texts, self.calibration.threshold, self.max_boxes)
