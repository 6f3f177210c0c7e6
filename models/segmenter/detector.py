"""Zero-shot object detectors: a text to boxes with scores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

from models.network import Pretrained
from models.weights import ANOTHER, read_json, weights_among
from utils.errors import UserError
from utils.language.phrases import thing_of

PHRASE_DETECTORS = ("grounding-dino", "mm-grounding-dino")  # they read phrases, each ended by a full stop
CAPTION_DETECTORS = ("owlv2", "owlvit")  # CLIP's kin: they know "a photo of a dog"
# Where a network's answer to the pixels alone comes from. It is asked once an image; all that follows depends on the
# text, and reads no more of the pixels than their shape. A network that is not listed sees the image anew for every
# text.
VISION_TOWERS = {
    "grounding-dino": "model.backbone.conv_encoder.model",
    "mm-grounding-dino": "model.backbone.conv_encoder.model",
    "owlv2": "owlv2.vision_model",
    "owlvit": "owlvit.vision_model",
}
# Grounding DINO's decoder has a head for boxes after each layer, MM-Grounding-DINO's one for scores too; in a file each
# has either of two names. The keys of a config that say whether one serves all layers:
HEAD = re.compile(r"(?:model\.decoder\.)?(bbox|class)_embed\.\d+\.(.+)")
SHARED = {"bbox": "decoder_bbox_embed_share", "class": "decoder_cls_embed_share"}


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found for one text.

    Attributes:
        corners: (B, 4) float32, x0 y0 x1 y1 in pixels of the image; they may reach beyond it.
        scores: (B,) float32 in [0, 1], best first.
    """

    corners: torch.Tensor
    scores: torch.Tensor


@dataclass(frozen=True, eq=False)
class Features:
    """What a detector makes of one image before any text is known.

    Attributes:
        answer: of its vision tower, as the library has it: the maps or tokens that the rest of the network reads.
        shape: (1, 3, h, w), of the pixels as the processor prepares them.
        inputs: what else the forward pass is given of the image: "pixel_mask" (1, h, w) bool, or nothing.
    """

    answer: Any
    shape: tuple[int, ...]
    inputs: Mapping[str, torch.Tensor]


class TextDetector(Pretrained):
    """Any detector that transformers' `AutoModelForZeroShotObjectDetection` loads.

    Grounding DINO and its kin fuse text and image from the first encoder layer on, so only the vision backbone's work
    is shared between the texts of an image. Several texts in one pass would be cheaper, but what is found for one would
    then depend on the others; and images are not batched, since padding would make them depend on each other.

    Reference: Liu et al., "Grounding DINO: Marrying DINO with grounded pre-training for open-set object detection",
        ECCV 2024. A box's score is the highest of its tokens' (section 3, and the library's post-processing).
    """

    family = "zero_shot_object_detection"
    network_class = "AutoModelForZeroShotObjectDetection"
    processor_class = "AutoProcessor"

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`; heads that differ are read as what they are, whether the config says so or nothing."""
        return super().load(folder, dtype, trust_remote_code, **shared_heads(folder))

    def detect(self, image: np.ndarray, texts: Sequence[str], threshold: float, max_boxes: int) -> list[Detections]:
        """Finds boxes for each text.

        Args:
            image: (H, W, 3) uint8 RGB.
            texts: what to look for; "A photo of dog" is put as the network wants it.
            threshold: only boxes that score higher; where none does, the one that comes nearest.
            max_boxes: of them the best, at most so many a text.

        Returns:
            One answer a text, in order. The first score says whether any box was accepted.
        """
        if not texts:
            return []
        [encoded] = self.remembered.encode_images([image])
        with answering(self._tower, encoded and encoded.answer):
            return [self._detect(image, encoded, text, threshold, max_boxes) for text in texts]

    def encode_images(self, images: Sequence[np.ndarray]) -> list[Features | None]:
        """See `models.roles.Segmenter`; None where VISION_TOWERS does not list the network."""
        if self._tower is None:
            return [None] * len(images)
        encoded = []
        for image in images:
            prepared = self.processor.image_processor(
                images=[Image.fromarray(np.ascontiguousarray(image))], return_tensors="pt"
            )
            pixel_values = prepared["pixel_values"].to(self.device, self.dtype)
            with self.inference():
                answer = self._tower(pixel_values, return_dict=True)
            mask = {name: prepared[name].to(self.device, torch.bool) for name in {"pixel_mask"} & set(prepared)}
            encoded.append(Features(answer, tuple(pixel_values.shape), mask))
        return encoded

    def asked(self, text: str) -> list[Any]:
        """A query's text as the processor expects it for one image."""
        model_type = self.network.config.model_type
        wanted = self._cut(text if model_type in CAPTION_DETECTORS else thing_of(text))
        return [f"{wanted}."] if model_type in PHRASE_DETECTORS else [[wanted]]

    def _cut(self, text: str) -> str:
        """At most as many tokens as the network reads; a longer text would be an error there."""
        tokenizer, config = self.processor.tokenizer, self.network.config
        limit = min(
            tokenizer.model_max_length,
            getattr(config, "max_text_len", tokenizer.model_max_length),
            getattr(config.text_config, "max_position_embeddings", tokenizer.model_max_length),
        )
        tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        room = limit - 3  # start, full stop and end
        return tokenizer.decode(tokens[:room]) if len(tokens) > room else text

    @property
    def _tower(self) -> torch.nn.Module | None:
        name = VISION_TOWERS.get(self.network.config.model_type)
        return self.network.get_submodule(name) if name else None

    def _inputs(self, image: np.ndarray, encoded: Features | None, text: str) -> dict[str, torch.Tensor]:
        """What the forward pass takes; where the tower's answer is known, the pixels are mere shape."""
        if encoded is None:
            picture = Image.fromarray(np.ascontiguousarray(image))
            inputs = {**self.processor(images=[picture], text=self.asked(text), return_tensors="pt")}
        else:
            pixel_values = torch.zeros((), dtype=self.dtype, device=self.device).expand(encoded.shape)
            tokens = self.processor(text=self.asked(text), return_tensors="pt")
            inputs = {"pixel_values": pixel_values, **encoded.inputs, **tokens}
        return {
            name: value.to(self.device, self.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _detect(
        self, image: np.ndarray, encoded: Features | None, text: str, threshold: float, max_boxes: int
    ) -> Detections:
        inputs = self._inputs(image, encoded, text)
        with self.inference():
            outputs = self.network(**inputs)
        for name in {"logits", "pred_boxes"} & set(outputs):
            outputs[name] = outputs[name].float()  # half a precision is several pixels
        # What a threshold would take for no box; -inf is where there is no word.
        self.finite(outputs["logits"].clamp(min=0), outputs["pred_boxes"])
        best = outputs["logits"].max().sigmoid().item()
        lowest = min(threshold, best - 1e-6)  # so that the best box is there, and not the hundreds below it
        found = self.processor.post_process_grounded_object_detection(
            outputs, threshold=lowest, target_sizes=[image.shape[:2]]
        )[0]
        order = found["scores"].argsort(descending=True, stable=True)
        kept = order[: min(max_boxes, max(1, int((found["scores"] > threshold).sum())))]
        return Detections(found["boxes"][kept].float(), found["scores"][kept].float())


def shared_heads(folder: Path) -> dict[str, bool]:
    """What a config that is silent on the heads of a decoder's layers should say, by the weights.

    Where it says nothing, the library takes one head for all, and of heads that differ it then reads some and not the
    others, without a word: boxes are refined by the wrong ones. LLMDet and MM-Grounding-DINO have their own for each
    layer; Grounding DINO has one for boxes.

    Returns:
        For each kind of head that the weights hold, and of which the config says nothing: its key in the config ->
        whether all layers have the same.

    Raises:
        UserError: the config says that the layers share a head, and the weights hold different ones.
    """
    heads: dict[tuple[str, ...], list[torch.Tensor]] = {}  # (kind, name in a head) -> that tensor of every head
    for file in weights_among(path.name for path in folder.iterdir()):
        with safe_open(folder / file, "pt") as weights:
            for head in filter(None, map(HEAD.fullmatch, weights.keys())):
                heads.setdefault(head.groups(), []).append(weights.get_tensor(head[0]))
    different = {kind for (kind, _), (first, *others) in heads.items() if not all(map(first.equal, others))}
    shared, said = {SHARED[kind]: kind not in different for kind, _ in heads}, read_json(folder / "config.json")
    for key, alike in shared.items():
        if said.get(key) and not alike:
            raise UserError(
                f"cannot load {folder}: expected one head for all layers of the decoder, as its config says "
                f"({key}: true), found weights with different ones; set it to false there, or {ANOTHER}"
            )
    return {key: alike for key, alike in shared.items() if key not in said}


@contextmanager
def answering(module: torch.nn.Module | None, answer: Any) -> Iterator[None]:
    """Within it a module answers every call with what it is known to answer; None for no module."""
    if module is None:
        yield
        return
    forward = module.forward
    module.forward = lambda *args, **kwargs: answer
    try:
        yield
    finally:
        module.forward = forward
