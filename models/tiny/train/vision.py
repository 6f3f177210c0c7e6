"""The image encoder that the segmenter and the image captioner share, trained on dense labels: what is in this patch?

Learning which thing covers each quarter of each patch gives every image hundreds of answers, where a query for one
object gives one; the segmenter's decoder and the captioner's words are learnt on top of it in a few minutes. Training
begins on small images and ends on the size that the segmenter works at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPSegVisionConfig
from transformers.models.clipseg.modeling_clipseg import CLIPSegVisionModel

from datasets.stamp_catalog import KIND_INDEX, KINDS
from datasets.stamp_scenes import scene
from models.tiny.train.loop import Schedule, batches, fit

PATCH = 8
CELLS = 2  # dense labels per patch and side
MEAN = np.float32([0.48145466, 0.4578275, 0.40821073])  # CLIP's, kept so that the CLIP processors apply unchanged
STD = np.float32([0.26862954, 0.26130258, 0.27577711])
CLASSES = len(KINDS) + 1  # the last one is background


def vision_config(image_size: int) -> CLIPSegVisionConfig:
    """The small vision transformer: 6 layers of 192, patch 8."""
    return CLIPSegVisionConfig(
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=3,
        image_size=image_size,
        patch_size=PATCH,
        hidden_act="gelu_pytorch_tanh",
        attention_dropout=0.0,
        attn_implementation="eager",
    )


def normalise(images: torch.Tensor) -> torch.Tensor:
    """(N, S, S, 3) uint8 -> pixel_values (N, 3, S, S) float32, as CLIP's processor does."""
    pixel_values = (images.float() / 255 - torch.from_numpy(MEAN)) / torch.from_numpy(STD)
    return pixel_values.permute(0, 3, 1, 2).contiguous()


def class_map(objects, label_map: np.ndarray) -> np.ndarray:
    """(H, W) int64 class of every pixel: index into KINDS, or CLASSES - 1 for background."""
    table = np.array([KIND_INDEX[placed.kind.noun] for placed in objects] + [CLASSES - 1])
    return table[label_map]


@dataclass(frozen=True)
class SceneMaker:
    """Item `index` of a stage: one training scene, the same for the same numbers.

    Attributes:
        root: unpacked packages.
        seed: of the whole training.
        stage: number of the training stage.
        size: pixels of the square canvas.
    """

    root: Path
    seed: int
    stage: int
    size: int

    def __call__(self, index: int):
        rng = np.random.default_rng([self.seed, self.stage, index])
        sounding = int(rng.choice([1, 2, 3], p=[0.2, 0.4, 0.4]))
        silent = int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))
        return scene(rng, self.root, "train", sounding, silent, self.size, self.size)


def collate_dense(scenes: list) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images: (N, S, S, 3) uint8 and labels: (N, S / 4, S / 4) int64, the class at each cell's centre."""
    cell = PATCH // CELLS
    images = torch.from_numpy(np.stack([one.image for one in scenes]))
    maps = [class_map(one.objects, one.label_map[cell // 2 :: cell, cell // 2 :: cell]) for one in scenes]
    return images, torch.from_numpy(np.stack(maps))


class DenseTrunk(nn.Module):
    """The image encoder with a linear head that names the thing in each quarter of a patch."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.vision = CLIPSegVisionModel(vision_config(image_size))
        for layer in self.vision.encoder.layers:
            for linear in (layer.self_attn.out_proj, layer.mlp.fc2):
                nn.init.normal_(linear.weight, std=0.02 / np.sqrt(2 * 6))
        embeddings = self.vision.embeddings
        nn.init.normal_(embeddings.patch_embedding.weight, std=(3 * PATCH**2) ** -0.5)
        nn.init.normal_(embeddings.position_embedding.weight, std=0.02)
        nn.init.normal_(embeddings.class_embedding, std=0.02)
        self.norm = nn.LayerNorm(192)
        self.head = nn.Linear(192, CELLS * CELLS * CLASSES)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) -> logits of every cell: (N, S / 4, S / 4, CLASSES)."""
        hidden = self.vision(pixel_values, output_hidden_states=True).hidden_states[-1][:, 1:]
        side = pixel_values.shape[-1] // PATCH
        logits = self.head(self.norm(hidden)).view(len(hidden), side, side, CELLS, CELLS, CLASSES)
        return logits.permute(0, 1, 3, 2, 4, 5).reshape(len(hidden), side * CELLS, side * CELLS, CLASSES)


def dense_loss(trunk: DenseTrunk, data: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
    """Cross-entropy over cells; a background cell counts a quarter."""
    images, labels = data
    logits = trunk(normalise(images)).float().flatten(0, 2)
    labels = labels.flatten()
    thing = labels != CLASSES - 1
    weight = torch.ones(CLASSES)
    weight[-1] = 0.25
    loss = F.cross_entropy(logits, labels, weight=weight)
    right = (logits.detach().argmax(-1) == labels).float()
    return loss, {"cells_right": right[thing].mean().item(), "background_right": right[~thing].mean().item()}


def resize_positions(trunk: DenseTrunk, image_size: int) -> DenseTrunk:
    """A trunk for another image size with the same weights, position embeddings interpolated."""
    bigger = DenseTrunk(image_size)
    state = trunk.state_dict()
    key = "vision.embeddings.position_embedding.weight"
    table = state[key]
    old = round((len(table) - 1) ** 0.5)
    grid = table[1:].T.reshape(1, -1, old, old)
    side = image_size // PATCH
    grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    state[key] = torch.cat([table[:1], grid.flatten(2)[0].T])
    ids = "vision.embeddings.position_ids"
    if ids in state:
        state[ids] = bigger.state_dict()[ids]
    bigger.load_state_dict(state)
    return bigger


# (image size, batch size, schedule) in order; each phase starts from the one before
PHASES = (
    (96, 32, Schedule(2800, lr=2e-3, matrix_lr=4e-3, warmup=80)),
    (128, 32, Schedule(700, lr=1e-3, matrix_lr=2e-3, warmup=50)),
)


def train_trunk(root: Path, runs: Path, seed: int, image_size: int) -> DenseTrunk:
    """Trains the image encoder through the phases up to an image size of PHASES."""
    torch.manual_seed(seed)
    trunk = DenseTrunk(PHASES[0][0])
    for number, (size, batch_size, schedule) in enumerate(PHASES):
        if trunk.vision.config.image_size != size:
            trunk = resize_positions(trunk, size)
        maker = SceneMaker(root, seed, 10 + number, size)
        trunk = fit(f"trunk_{size}", trunk, batches(maker, collate_dense, batch_size), dense_loss, schedule, runs)
        if size == image_size:
            return trunk
    raise ValueError(f"expected an image size of {[size for size, *_ in PHASES]}, found {image_size}")
