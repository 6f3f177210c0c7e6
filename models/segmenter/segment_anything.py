"""Segment Anything, asked everywhere: the regions a grid of points finds in an image, best first.

The `segment_anything` package does the work; its weights come from the hub in transformers' layout, where they are
safetensors, and are renamed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.network import Pretrained
from models.segmenter.crops import cut_masks
from utils.errors import UserError

POINTS_PER_BATCH = 8  # each costs three masks at the network's full size: 12 MB; on a processor more is slower
STABILITY_OFFSET = 1.0  # how much lower and higher a mask is cut to see whether it is stable, as the authors have it
# Names in transformers' SamModel -> names in segment_anything's Sam, applied one after the other.
RENAMED = (
    (r"^shared_image_embedding\.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.mask_embed\.conv1\.", ".mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"\.upscale_conv1\.", ".output_upscaling.0."),
    (r"\.upscale_layer_norm\.", ".output_upscaling.1."),
    (r"\.upscale_conv2\.", ".output_upscaling.3."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
)
TIED = "prompt_encoder.shared_embedding.positional_embedding"  # transformers' second name of the first tensor above


@dataclass(frozen=True, eq=False)
class Regions:
    """What was found in one image, best first.

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
        """Masks of p regions, each in a square of `models/segmenter/crops.py`: (p, 1, size, size) float32 in [0, 1]."""
        low_res = self.low_res_logits.shape[-1] / self.side
        height, width = (math.ceil(length * low_res) for length in self.input_size)  # the rest is padding
        across, down = (low_res * self.input_size[axis] / self.image_size[axis] for axis in (1, 0))
        masks = self.low_res_logits[some, :height, :width].sigmoid()
        return cut_masks(masks, squares, (across, down), size)


class SegmentAnything(Pretrained):
    """Segment Anything, asked at a grid of points as its SamAutomaticMaskGenerator does, keeping the soft masks.

    What it does differently: regions are filtered in a frame no larger than the low-resolution masks, so memory does
    not grow with the image; and masks stay logits. `dtype` is the image encoder's; the small rest stays in float32.

    Reference: Kirillov et al., "Segment Anything", ICCV 2023, appendix B.
    """

    family = "segment_anything"
    network_class = "SamModel"
    processor_class = "SamImageProcessor"

    @classmethod
    def before_loading(cls, weights: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See `Pretrained.before_loading`; Meta's own .pth files are refused, with the hub id of the same weights."""
        if Path(weights).suffix in (".pth", ".pt"):
            raise UserError(
                f"cannot load {weights} as {cls.family}: only safetensors are opened and this is a pickle; the same "
                "weights are facebook/sam-vit-base (vit_b), -large (vit_l) and -huge (vit_h) on the hub"
            )
        return {}

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        network, _ = super().load(folder, torch.float32, trust_remote_code)
        sam = as_segment_anything(network)
        sam.image_encoder.to(dtype)
        return sam, None

    def generate(
        self,
        image: np.ndarray,
        points_per_side: int = 16,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        box_nms_thresh: float = 0.7,
        min_area: float = 0.001,
        max_regions: int = 64,
    ) -> Regions:
        """Finds the regions of an image.

        Args:
            image: (H, W, 3) uint8 RGB, of an aspect that leaves a pixel when the longer side is the network's.
            points_per_side: the grid has its square of points, three masks each.
            pred_iou_thresh: what the network thinks of a mask must be above it.
            stability_score_thresh: least IoU of a mask cut a little lower and a little higher.
            box_nms_thresh: of two whose boxes have a greater IoU, the worse goes.
            min_area: least fraction of the image.
            max_regions: the best so many are kept.

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
        keep = keep[areas[keep] >= min_area][:max_regions]
        scale = [image.shape[axis] / predictor.original_size[axis] for axis in (1, 0, 1, 0)]
        boxes = boxes[keep] * torch.tensor(scale, dtype=torch.float32, device=boxes.device)
        side = self.network.image_encoder.img_size
        return Regions(image.shape[:2], predictor.input_size, side, low_res_logits[keep], boxes, qualities[keep])

    def mask_logits(self, regions: Regions, index: int) -> torch.Tensor:
        """One region in the image's own frame, as the package upscales it: (H, W) float32, positive inside."""
        logits = regions.low_res_logits[index][None, None]
        return self.network.postprocess_masks(logits, regions.input_size, regions.image_size)[0, 0]

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
        self.finite(qualities, low_res)  # which a threshold would take for no region
        threshold = self.network.mask_threshold
        inside = masks > threshold
        areas = inside.flatten(1).float().mean(dim=1)
        stability = calculate_stability_score(masks, threshold, STABILITY_OFFSET)
        keep = (qualities > pred_iou_thresh) & (stability >= stability_score_thresh) & (areas > 0)
        boxes = batched_mask_to_box(inside[keep]).float()
        boxes[:, 2:] += 1  # to the far side of the last pixel, or a line of pixels would overlap nothing
        return low_res[keep], boxes, qualities[keep], areas[keep]


def as_segment_anything(network: Any) -> Any:
    """Turns transformers' SamModel into segment_anything's Sam with the very same tensors.

    Raises:
        RuntimeError: a tensor has no place, or a place no tensor.
    """
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    vision, prompts, masks = (
        getattr(network.config, f"{part}_config") for part in ("vision", "prompt_encoder", "mask_decoder")
    )
    grid = vision.image_size // vision.patch_size
    with torch.device("meta"):
        sam = Sam(
            ImageEncoderViT(
                img_size=vision.image_size,
                patch_size=vision.patch_size,
                embed_dim=vision.hidden_size,
                depth=vision.num_hidden_layers,
                num_heads=vision.num_attention_heads,
                mlp_ratio=vision.mlp_dim / vision.hidden_size,
                out_chans=vision.output_channels,
                qkv_bias=vision.qkv_bias,
                norm_layer=partial(torch.nn.LayerNorm, eps=vision.layer_norm_eps),
                use_abs_pos=vision.use_abs_pos,
                use_rel_pos=vision.use_rel_pos,
                window_size=vision.window_size,
                global_attn_indexes=tuple(vision.global_attn_indexes),
            ),
            PromptEncoder(prompts.hidden_size, (grid, grid), (vision.image_size,) * 2, prompts.mask_input_channels),
            MaskDecoder(
                transformer_dim=masks.hidden_size,
                transformer=TwoWayTransformer(
                    masks.num_hidden_layers,
                    masks.hidden_size,
                    masks.num_attention_heads,
                    masks.mlp_dim,
                    attention_downsample_rate=masks.attention_downsample_rate,
                ),
                num_multimask_outputs=masks.num_multimask_outputs,
                iou_head_depth=masks.iou_head_depth,
                iou_head_hidden_dim=masks.iou_head_hidden_dim,
            ),
        )
    tensors = {renamed(name, masks.iou_head_depth): tensor for name, tensor in network.state_dict().items()}
    tensors.pop(TIED, None)
    sam.load_state_dict(tensors, assign=True)
    # ImageNet's, which the package keeps in its signature; not part of the checkpoint.
    sam.pixel_mean, sam.pixel_std = (
        torch.tensor(values).view(-1, 1, 1) for values in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    )
    return sam


def renamed(name: str, iou_head_depth: int) -> str:
    """A tensor's name in segment_anything from its name in transformers."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    head = re.match(r"(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.(.*)\.(\w+)$", name)
    if head:
        depth = iou_head_depth if "iou" in name else 3
        layers = {"proj_in": 0, "proj_out": depth - 1, **{f"layers.{i}": i + 1 for i in range(depth - 2)}}
        name = f"{head[1]}.layers.{layers[head[2]]}.{head[3]}"
    return name
