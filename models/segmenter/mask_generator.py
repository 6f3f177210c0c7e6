"""Segment Anything and its kin: boxes to masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from models.pretrained import MAX_BATCH, Pretrained


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
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(image))
        inputs = self.processor(images=picture, input_boxes=[corners.cpu().tolist()], return_tensors="pt")
        for logits in self._decode(inputs, multimask):
            yield self._in_frame(logits, inputs)

    def _decode(self, inputs: Any, multimask: bool) -> torch.Tensor:
        """(B, h, w) float32, in the network's own frame."""
        masks = []
        with self.inference():
            embeds = self.network.get_image_embeddings(inputs["pixel_values"].to(self.device, self.dtype))
            parts = embeds if isinstance(embeds, tuple) else (embeds,)  # HQ-SAM has the encoder's inner layers too
            encoded = dict(zip(("image_embeddings", "intermediate_embeddings"), parts, strict=False))
            for boxes in inputs["input_boxes"].float().to(self.device).split(MAX_BATCH, dim=1):
                outputs = self.network(**encoded, input_boxes=boxes, multimask_output=multimask)
                best = outputs.iou_scores[0].argmax(dim=-1)  # (b,)
                masks.append(outputs.pred_masks[0][torch.arange(len(best)), best].float())
        return torch.cat(masks)

    def _in_frame(self, logits: torch.Tensor, inputs: Any) -> torch.Tensor:
        """(h, w) -> (H, W), as the checkpoint's own processor undoes its resizing and padding."""
        frame = [inputs[name] for name in ("original_sizes", "reshaped_input_sizes") if name in inputs]
        return self.processor.post_process_masks([logits[None, None]], *frame, binarize=False)[0][0, 0]
