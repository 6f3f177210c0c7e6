"""Small random checkpoints of the networks of models/pocket, in the layouts their loaders read, and the bundled ones.

Nothing the `save_*` write knows anything. What has to mean something is asked of the bundled weights, by BUNDLED.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

BUNDLED = Path(__file__).resolve().parents[2] / "models" / "pocket"
EXAMPLES = Path(__file__).resolve().parents[2] / "datasets" / "examples"
CLASSIFIER = "test_efficientnet"  # of timm: 0.4 million parameters, features at strides 2 to 32
CHANNELS = (24, 32, 48, 64)  # of its features at strides 4 to 32
COLOURS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}


def save_image_classifier(folder: Path, architecture: str = CLASSIFIER, names: int = 1000) -> Path:
    """Saves a classifier in the layout of timm's hub repositories; its answers differ from place to place."""
    import timm

    torch.manual_seed(0)
    network = timm.create_model(architecture, num_classes=names)
    with torch.no_grad():
        network.get_classifier().weight.normal_(0, 1)
    config = {"architecture": architecture, "num_classes": names, "pretrained_cfg": COLOURS}
    return _save(folder, network.state_dict(), config)


def save_outlines(folder: Path, channels: Sequence[int] = CHANNELS, widths: Sequence[int] = (8, 8, 16, 16)) -> Path:
    """Saves an outline decoder."""
    from models.segmenter.outline_decoder import OutlineDecoder

    torch.manual_seed(0)
    network = OutlineDecoder(channels, widths)
    config = {"architecture": "outline_decoder", "channels": list(channels), "widths": list(widths)}
    return _save(folder, network.state_dict(), config | {"slope": 1.0, "offset": 0.25})


def save_words(folder: Path) -> Path:
    """Saves a network for words that no table has; it knows none of them."""
    from models.pocket.class_names import ARCHITECTURE, WordNetwork

    torch.manual_seed(0)
    sizes = {"buckets": 64, "width": 4, "hidden": 5, "shortest": 3, "longest": 5}
    config = {"architecture": ARCHITECTURE, "sizes": sizes, "threshold": 1.1}
    return _save(folder, WordNetwork(**sizes).state_dict(), config)


def save_class_map(folder: Path) -> Path:
    """Saves the three networks of the segmenter family class_map as FOLDER/PART."""
    save_image_classifier(folder / "classifier")
    save_outlines(folder / "outlines")
    save_words(folder / "words")
    return folder


def example(stem: str) -> tuple[np.ndarray, np.ndarray, int]:
    """A bundled example: image (H, W, 3) uint8, waveform (T,) float32 and its sampling rate."""
    from utils.media.sounds import read_audio

    image = np.asarray(Image.open(EXAMPLES / "image" / f"{stem}.jpg").convert("RGB"))
    return image, *read_audio(EXAMPLES / "wav" / f"{stem}.wav")


def _save(folder: Path, tensors: dict[str, torch.Tensor], config: dict) -> Path:
    folder.mkdir(parents=True)
    halves = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
