"""Segment Anything, as a maker of proposals: the regions a grid of points finds in an image, best first.

The `segment_anything` package does the work; its weights come from the hub in transformers' layout, where they are
safetensors, and are renamed (`models/segmenter/sam_weights.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.network import Pretrained
from models.segmenter.crops import cut_masks
from models.segmenter.sam_weights import as_segment_anything
from utils.errors import UserError

POINTS_PER_BATCH = 8  # each costs three masks at the network's full size: 12 MB; on a processor more is slower
STABILITY_OFFSET = 1.0  # how much lower and higher a mask is cut to see whether it is stable, as the authors have it


@dataclass(frozen=True, eq=False)
class Proposals:
    """Regions of one image, best first.

    Attributes:
        image_size: (H, W) of the image.
        input_size: (h, w) of the image as the network saw it, in the upper left of its padded square.
        side: of that square.
        low_res_logits: (P, s, s) float32, over the whole square, positive inside a region.
        boxes: (P, 4) float32, x0 y0 x1 y1 in the image's pixels, the last ones exclusive.
        qualities: (P,) float32, the network's own estimate of each region's IoU with something real, descending.
    """

    image_size: tuple[int, int]
    input_size: tuple[int, int]
    side: int
    low_res_logits: torch.Tensor
    boxes: torch.Tensor
    qualities: torch.Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    def masks_within(self, squares: torch.Tensor, some: slice, size: int) -> torch.Tensor:
        """Some regions' masks, each in a square of the image.

        Args:
            squares: (p, 3) int, see `models/segmenter/crops.py`.
            some: which p regions.
            size: side of the result.

        Returns:
            (p, 1, size, size) float32 in [0, 1].
        """
        low_res = self.low_res_logits.shape[-1] / self.side
        height, width = (math.ceil(length * low_res) for length in self.input_size)  # the rest is padding
        across, down = (low_res * self.input_size[axis] / self.image_size[axis] for axis in (1, 0))
        masks = self.low_res_logits[some, :height, :width].sigmoid()
        return cut_masks(masks, squares, (across, down), size)


class SamProposer(Pretrained):
    """Segment Anything, asked at a grid of points as its SamAutomaticMaskGenerator does, keeping the soft masks.

    What it does differently: proposals are filtered in a frame no larger than the low-resolution masks, so memory does
    not grow with the image; and masks stay logits. `dtype` is the image encoder's; the small rest stays in float32.

    Reference: Kirillov et al., "Segment Anything", ICCV 2023, appendix B.
    """

    family = "segment_anything"
    network_class = "SamModel"
    processor_class = "SamImageProcessor"

    @classmethod
    def from_pretrained(cls, weights: str | Path, *args: Any, **kwargs: Any) -> SamProposer:
        """See `Pretrained.from_pretrained`; Meta's own .pth files are refused, with the hub id of the same weights."""
        if Path(weights).suffix in (".pth", ".pt"):
            raise UserError(
                f"cannot load {weights} as {cls.family}: only safetensors are opened and this is a pickle; the same "
                "weights are facebook/sam-vit-base (vit_b), -large (vit_l) and -huge (vit_h) on the hub"
            )
        return super().from_pretrained(weights, *args, **kwargs)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        network, _ = super().load(folder, torch.float32, trust_remote_code)
        sam = as_segment_anything(network)
        sam.image_encoder.to(dtype)
        return sam, None

    def propose(
        self,
        image: np.ndarray,
        points_per_side: int = 16,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        box_nms_thresh: float = 0.7,
        min_area: float = 0.001,
        max_proposals: int = 64,
    ) -> Proposals:
        """Finds the regions of an image.

        Args:
            image: (H, W, 3) uint8 RGB, of an aspect that leaves a pixel when the longer side is the network's.
            points_per_side: the grid has its square of points, three masks each.
            pred_iou_thresh: what the network thinks of a mask must be above it.
            stability_score_thresh: least IoU of a mask cut a little lower and a little higher.
            box_nms_thresh: of two whose boxes have a greater IoU, the worse goes.
            min_area: least share of the image.
            max_proposals: the best so many are kept.

        Returns:
            Any number of regions, also none.
        """
        from segment_anything import SamPredictor
        from segment_anything.utils.amg import build_point_grid
        from torchvision.ops import nms

        predictor = SamPredictor(self.network)
        self._set_image(predictor, image)
        points = torch.from_numpy(build_point_grid(points_per_side)).to(self.device, torch.float32)
        points = points * torch.tensor(predictor.input_size[::-1], device=self.device)
        found = [
            self._ask(predictor, some, pred_iou_thresh, stability_score_thresh)
            for some in points.split(POINTS_PER_BATCH)
        ]
        low_res_logits, boxes, qualities, areas = (torch.cat(parts) for parts in zip(*found, strict=True))
        keep = nms(boxes, qualities, box_nms_thresh)
        keep = keep[areas[keep] >= min_area][:max_proposals]
        scale = [image.shape[axis] / predictor.original_size[axis] for axis in (1, 0, 1, 0)]
        boxes = boxes[keep] * torch.tensor(scale, dtype=torch.float32, device=boxes.device)
        side = self.network.image_encoder.img_size
        return Proposals(image.shape[:2], predictor.input_size, side, low_res_logits[keep], boxes, qualities[keep])

    def mask_logits(self, proposals: Proposals, index: int) -> torch.Tensor:
        """One region in the image's own frame, as the package upscales it: (H, W) float32, positive inside."""
        logits = proposals.low_res_logits[index][None, None]
        return self.network.postprocess_masks(logits, proposals.input_size, proposals.image_size)[0, 0]

    def _set_image(self, predictor: Any, image: np.ndarray) -> None:
        """What SamPredictor.set_image does, in the encoder's own precision and with masks wanted in a small frame."""
        pixels = torch.from_numpy(predictor.transform.apply_image(image)).permute(2, 0, 1)[None].to(self.device)
        predictor.input_size = tuple(pixels.shape[-2:])
        low_res_side = self.network.prompt_encoder.mask_input_size[0]
        shrunk = min(1.0, low_res_side / max(image.shape[:2]))
        predictor.original_size = tuple(max(1, round(length * shrunk)) for length in image.shape[:2])
        with self.inference():
            features = self.network.image_encoder(self.network.preprocess(pixels).to(self.dtype))
        predictor.features, predictor.is_image_set = features.float(), True

    @torch.inference_mode()
    def _ask(
        self, predictor: Any, points: torch.Tensor, pred_iou_thresh: float, stability_score_thresh: float
    ) -> tuple[torch.Tensor, ...]:
        """The good masks at some points: low-resolution logits, boxes, qualities and areas as shares of the image."""
        from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

        labels = torch.ones(len(points), 1, dtype=torch.int, device=points.device)
        masks, qualities, low_res = predictor.predict_torch(points[:, None], labels, return_logits=True)
        masks, qualities, low_res = masks.flatten(0, 1), qualities.flatten(), low_res.flatten(0, 1)
        threshold = self.network.mask_threshold
        inside = masks > threshold
        areas = inside.flatten(1).float().mean(dim=1)
        stability = calculate_stability_score(masks, threshold, STABILITY_OFFSET)
        keep = (qualities > pred_iou_thresh) & (stability >= stability_score_thresh) & (areas > 0)
        boxes = batched_mask_to_box(inside[keep]).float()
        boxes[:, 2:] += 1  # to the far side of the last pixel, or a line of pixels would overlap nothing
        return low_res[keep], boxes, qualities[keep], areas[keep]
