"""Segment Anything and its kin: boxes to masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from models.network import MAX_BATCH, Pretrained


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a network makes of one image before any box is known.

    Attributes:
        inputs: what its forward pass takes in place of pixels: "image_embeddings" and, for HQ-SAM,
            "intermediate_embeddings"; each (1, D, h, w), or a tuple of them where the decoder reads several.
        frame: "original_sizes" and, for the first SAMs, "reshaped_input_sizes"; (1, 2) each, with which the processor
            undoes its resizing and padding.
    """

    inputs: Mapping[str, torch.Tensor | tuple[torch.Tensor, ...]]
    frame: Mapping[str, torch.Tensor]


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
        [encoded] = self.encode_images([image])
        for logits in self._decode(encoded, self._boxes(image, encoded, corners), multimask):
            yield self._in_frame(logits, encoded)

    def encode_images(self, images: Sequence[np.ndarray]) -> list[Encoded]:
        """What the network makes of the pixels alone, once an image (see models/remembering.py).

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.

        Returns:
            One an image, on the network's device and in the precision it computes in.
        """
        encoded = []
        for image in images:
            prepared = self.processor(images=Image.fromarray(np.ascontiguousarray(image)), return_tensors="pt")
            with self.inference():
                embeds = self.network.get_image_embeddings(prepared["pixel_values"].to(self.device, self.dtype))
            if isinstance(embeds, tuple):  # HQ-SAM has the encoder's inner layers too, of which it reads the first
                inputs = {"image_embeddings": embeds[0], "intermediate_embeddings": tuple(embeds[1][:1])}
            else:
                inputs = {"image_embeddings": tuple(embeds) if isinstance(embeds, list) else embeds}
            frame = {name: prepared[name] for name in ("original_sizes", "reshaped_input_sizes") if name in prepared}
            encoded.append(Encoded(inputs, frame))
        return encoded

    def _boxes(self, image: np.ndarray, encoded: Encoded, corners: torch.Tensor) -> torch.Tensor:
        """(1, B, 4) float32 in the network's own frame, as the checkpoint's own processor places them."""
        if "reshaped_input_sizes" in encoded.frame:  # a processor of the first SAMs takes no size in place of the image
            given = {"images": Image.fromarray(np.ascontiguousarray(image))}
        else:
            given = {"original_sizes": encoded.frame["original_sizes"]}
        return self.processor(**given, input_boxes=[corners.cpu().tolist()], return_tensors="pt")["input_boxes"].float()

    def _decode(self, encoded: Encoded, boxes: torch.Tensor, multimask: bool) -> torch.Tensor:
        """(B, h, w) float32, in the network's own frame."""
        masks = []
        with self.inference():
            for some in boxes.to(self.device).split(MAX_BATCH, dim=1):
                outputs = self.network(**encoded.inputs, input_boxes=some, multimask_output=multimask)
                best = outputs.iou_scores[0].argmax(dim=-1)  # (b,)
                masks.append(outputs.pred_masks[0][torch.arange(len(best)), best].float())
        return torch.cat(masks)

    def _in_frame(self, logits: torch.Tensor, encoded: Encoded) -> torch.Tensor:
        """(h, w) -> (H, W), as the checkpoint's own processor undoes its resizing and padding."""
        frame = encoded.frame.values()
        return self.processor.post_process_masks([logits[None, None]], *frame, binarize=False)[0][0, 0]
