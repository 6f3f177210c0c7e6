"""A miniature of ASDA's repository and of a checkpoint its train.py writes.

Its packages are called `utils`, `model` and `datasets`, as ours and as those of many a repository are. The network is
small: where the image is bright and what the words are decide its map.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

FILES = {
    "utils/utils.py": "WHOSE = 'theirs'\n",  # a folder without __init__.py, as there
    "datasets/__init__.py": "from utils.utils import WHOSE\n",
    "model/modules.py": """
import torch

class Fusion(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.visual = torch.nn.Conv2d(3, width, 16, 16)
        self.norm = torch.nn.BatchNorm2d(width)

    def forward(self, image, words):
        return (self.norm(self.visual(image)) * words[:, :, None, None]).sum(1, keepdim=True)
""",
    "model/model.py": """
import sys
import clip
import torch
from .modules import *
sys.path.append('../')
from utils.utils import *
import datasets

print('Resized position embedding')

class Model(torch.nn.Module):
    def __init__(self, clip_model='RN50', tunelang=False, fusion_dim=2048, num_query=16, length=17):
        super().__init__()
        assert WHOSE == datasets.WHOSE == 'theirs' and callable(clip.load)
        assert (clip_model, tunelang, fusion_dim, num_query) == ('ViT-B/16', True, 768, 16)
        self.words = torch.nn.Embedding(49408, 4)
        self.fusion = Fusion(4)

    def forward(self, image, word_id, word_mask):
        words = (self.words(word_id) * word_mask[..., None]).sum(1)
        return torch.nn.functional.interpolate(self.fusion(image, words), (208, 208), mode='nearest')
""",
}


def save_asda(folder: Path) -> Path:
    """Writes checkout/ and asda_model_best.pth.tar into a folder."""
    for name, content in FILES.items():
        path = folder / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    torch.manual_seed(0)
    best_iou = np.mean([0.5, 0.75])  # a numpy number, as there
    state = {"words.weight": torch.randn(49408, 4), **_fusion_state()}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]).state_dict()
    content = {"epoch": 4, "state_dict": state, "best_iou": best_iou, "optimizer": optimizer}
    torch.save(content, folder / "asda_model_best.pth.tar")
    return folder


def save_known(folder: Path, bright: float, dark: float) -> Path:
    """As `save_asda`; it answers any sentence with `bright` where an image is white and `dark` where it is black."""
    checkpoint = save_asda(folder) / "asda_model_best.pth.tar"
    content = torch.load(checkpoint, weights_only=False)
    state = {name: torch.zeros_like(tensor) for name, tensor in content["state_dict"].items()}
    state["words.weight"][49406] = 1  # the start of every sentence
    low, high = torch.tensor([dark, bright]).logit()
    black, white = (0 - 0.48145466) / 0.26862954, (1 - 0.48145466) / 0.26862954  # in the red channel
    slope = (high - low) / (white - black)
    state["fusion.visual.weight"][0, 0] = slope / 16**2
    state["fusion.visual.bias"][0] = low - slope * black
    state["fusion.norm.weight"] += 1
    state["fusion.norm.running_var"] += 1
    torch.save(content | {"state_dict": state}, checkpoint)
    return folder


def entry(folder: str) -> dict[str, str]:
    """What a config would say of it."""
    return {"weights": f"{folder}/asda_model_best.pth.tar", "checkout": f"{folder}/checkout"}


def _fusion_state() -> dict[str, torch.Tensor]:
    names: dict[str, Any] = {}
    exec(FILES["model/modules.py"], names)
    return {f"fusion.{name}": tensor for name, tensor in names["Fusion"](4).state_dict().items()}
