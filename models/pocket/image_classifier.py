"""Image classifiers of timm, asked for their names at every place of an image, at several scales."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import normalize

from models.network import Pretrained
from utils.errors import UserError
from utils.language.imagenet import CLASSES

LEVELS = (4, 8, 16, 32)  # strides of the features that are handed on
SMALLEST = 64  # pixels of an image's longer side
MULTIPLE = 32  # of the sides of what the network sees


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network makes of one image at one scale.

    Attributes:
        features: four maps (C, H / s, W / s) for the strides s of LEVELS, float32 on the network's device.
        logits: (N, h, w) float32, of every name at every place.
    """

    features: tuple[torch.Tensor, ...]
    logits: torch.Tensor


def check_names(classifier: ImageClassifier) -> None:
    """Refuses (UserError) a classifier whose classes are not ImageNet's."""
    if classifier.num_names != CLASSES:
        found = f"expected a classifier of ImageNet's {CLASSES} classes, found {classifier.num_names}"
        raise UserError(f"{found}; take another for the part classifier")


class ImageClassifier(Pretrained):
    """Any convolutional classifier of timm, in the layout of timm's hub repositories: config.json, model.safetensors.

    A classifier that averages its last features and then names the average can as well name each place of them.

    Reference: Zhou et al., "Learning deep features for discriminative localization", CVPR 2016 (class activation maps).
    """

    family = "timm"

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`; the processor is timm's data config, with "mean", "std" and "interpolation"."""
        import timm

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "architecture" not in config:
            raise ValueError("expected a checkpoint of timm, found no architecture in its config.json")
        if not timm.is_model(config["architecture"]):  # a name like "hf-hub:..." would be looked up on the hub
            raise ValueError(f"expected an architecture of timm, found {config['architecture']}")
        given = config.get("pretrained_cfg", {})
        network = timm.create_model(config["architecture"], pretrained=False, num_classes=config["num_classes"])
        network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
        strides = [level["reduction"] for level in network.feature_info]
        if any(stride not in strides for stride in LEVELS):
            raise ValueError(f"expected features at strides {LEVELS}, found {strides}; name a convolutional classifier")
        return network.to(dtype), timm.data.resolve_data_config(pretrained_cfg=given, model=network)

    @property
    def num_names(self) -> int:
        return self.network.num_classes

    @cached_property
    def likeness(self) -> np.ndarray:
        """(N, N) float32 in [-1, 1]: how alike the classifier's last layer treats two names, 1 for the same.

        The cosine of their weights less the mean of all; names that it takes for each other stand near 0.5.
        """
        weights = self.network.get_classifier().weight.detach().float().cpu().flatten(1)
        apart = normalize(weights - weights.mean(0), dim=1)
        return (apart @ apart.T).numpy()

    @property
    def channels(self) -> tuple[int, ...]:
        """Of the feature maps of LEVELS."""
        by_stride = {level["reduction"]: level["num_chs"] for level in self.network.feature_info}
        return tuple(by_stride[stride] for stride in LEVELS)

    def prepare(self, image: np.ndarray, long_side: int) -> torch.Tensor:
        """An image as the network sees it, its longer side of about `long_side` pixels: (3, h, w) float32, on the host.

        It keeps its proportions but for the rounding to 32 pixels.
        """
        height, width = image.shape[:2]
        scale = long_side / max(height, width)
        high, wide = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in (height, width))
        resampling = Image.Resampling[str(self.processor["interpolation"]).upper()]
        resized = Image.fromarray(np.ascontiguousarray(image)).resize((wide, high), resampling)
        mean, std = (np.asarray(self.processor[key], np.float32) for key in ("mean", "std"))
        pixels = (np.asarray(resized, np.float32) / 255 - mean) / std
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def look(self, pixel_values: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Features and logits, see `Seen`, of B prepared images of one size, (B, 3, H, W) on any device."""
        weight = next(self.network.parameters())
        pixel_values = pixel_values.to(weight.device, weight.dtype, memory_format=torch.channels_last)
        strides = [level["reduction"] for level in self.network.feature_info]
        wanted = [strides.index(stride) for stride in LEVELS]
        last, features = self.network.forward_intermediates(pixel_values, indices=wanted)
        batch, channels, high, wide = last.shape
        places = last.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)  # each as if it were an image
        logits = self.network.forward_head(places).reshape(batch, high, wide, -1).permute(0, 3, 1, 2)
        return features, logits

    def encode_images(self, images: Sequence[np.ndarray], long_side: int) -> list[Seen]:
        """See `models.roles.Segmenter`; at one scale, see `prepare`."""
        found = []
        for image in images:  # one at a time: sizes differ, and an answer must not depend on its company
            with self.inference():
                features, logits = self.look(self.prepare(image, long_side)[None])
            self.finite(logits)  # which a threshold would take for nothing in view
            found.append(Seen(tuple(feature[0].float() for feature in features), logits[0].float()))
        return found
