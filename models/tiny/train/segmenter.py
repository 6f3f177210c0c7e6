"""The small CLIPSeg: the trained image encoder, with a text encoder and a decoder that turn words into a mask.

The image encoder stays as the dense labels made it. Each training image is encoded once and asked for two things in
it and for one thing that is not there; the condition carries some noise, so that the decoder forgives embeddings that
come from elsewhere (text inversion).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    CLIPTokenizer,
    ViTImageProcessor,
)

from datasets.stamp_catalog import KINDS
from datasets.stamps import CANVASES, SPLITS, scene
from models.tiny.train.loop import Schedule, batches, fit, initialise
from models.tiny.train.vision import MEAN, STD, DenseTrunk, SceneMaker, normalise, vision_config
from models.tiny.train.words import any_query, byte_level_bpe, wording

IMAGE_SIZE = 128
EXTRACT = [1, 3, 5]
MAX_TOKENS = 20
BATCH = 16
SCHEDULE = Schedule(1400, lr=2e-3, matrix_lr=3e-3, warmup=80)
STAGE = 20
PRESENT = 2  # queries a scene for things in view
CONDITION_NOISE = 0.15  # of the spread of the condition over kinds


def build(image_size: int = IMAGE_SIZE) -> tuple[CLIPSegForImageSegmentation, CLIPSegProcessor]:
    """The untrained network, explicitly initialised."""
    specials = ["<|startoftext|>", "<|endoftext|>"]
    vocab, merges = byte_level_bpe(specials, CLIPTokenizer(), suffix="</w>")
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)
    start, end = tokenizer.convert_tokens_to_ids(specials)
    config = CLIPSegConfig(
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=384, max_position_embeddings=MAX_TOKENS, bos_token_id=start, eos_token_id=end,
            pad_token_id=end,
        ),
        vision_config=vision_config(image_size).to_dict(), projection_dim=128, extract_layers=EXTRACT, reduce_dim=64,
        decoder_num_attention_heads=2, decoder_intermediate_size=256, use_complex_transposed_convolution=False,
        attn_implementation="eager",
    )  # fmt: skip
    model = CLIPSegForImageSegmentation(config)
    initialise(model.clip.text_model, model.clip.text_projection, model.clip.visual_projection, model.decoder)
    nn.init.ones_(model.decoder.film_mul.bias)
    nn.init.normal_(model.decoder.transposed_convolution.weight, std=0.02)
    nn.init.constant_(model.decoder.transposed_convolution.bias, -2.0)
    images = ViTImageProcessor(
        size={"height": image_size, "width": image_size}, image_mean=MEAN.tolist(), image_std=STD.tolist(), resample=2
    )
    return model, CLIPSegProcessor(images, tokenizer)


@dataclass(frozen=True)
class AskedScene:
    """Item `index`: a training scene, and what is asked of it.

    Returns (image (S, S, 3) uint8, masks (Q, S, S) bool, texts): up to PRESENT things in view, and one that is not,
    whose mask is empty.
    """

    scenes: SceneMaker

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        drawn = self.scenes(index)
        rng = np.random.default_rng([self.scenes.seed, self.scenes.stage, index, 1])
        present = [placed.kind for placed in drawn.objects]
        absent = [kind for kind in KINDS if kind not in present]
        chosen = rng.permutation(len(present))[:PRESENT]
        asked = [*(present[i] for i in chosen), absent[rng.integers(len(absent))]]
        masks = np.stack([drawn.mask(i) for i in chosen] + [np.zeros_like(drawn.label_map, bool)])
        return drawn.image, masks, [any_query(rng, kind) for kind in asked]


def hidden_states(model: CLIPSegForImageSegmentation, pixel_values: torch.Tensor) -> list[torch.Tensor]:
    """The activations that the decoder reads, one (N, 1 + patches, width) per extracted layer."""
    states = model.clip.vision_model(pixel_values, output_hidden_states=True).hidden_states
    return [states[i + 1] for i in model.extract_layers]


def mask_loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus, where there is something to find, the soft Dice loss."""
    masks = masks.float()
    bce = F.binary_cross_entropy_with_logits(logits, masks, pos_weight=torch.tensor(2.0))
    probs = logits.sigmoid()
    area = masks.sum((1, 2))
    dice = 1 - (2 * (probs * masks).sum((1, 2)) + 1) / (probs.sum((1, 2)) + area + 1)
    return 2 * bce + dice[area > 0].mean()


def train(root: Path, runs: Path, seed: int, trunk: DenseTrunk) -> tuple[CLIPSegForImageSegmentation, CLIPSegProcessor]:
    """Trains the text encoder and the decoder on the trunk's features."""
    torch.manual_seed(seed)
    model, processor = build(trunk.vision.config.image_size)
    model.clip.vision_model.load_state_dict(trunk.vision.state_dict())
    for parameter in model.clip.vision_model.parameters():
        parameter.requires_grad_(False)
    asked = AskedScene(SceneMaker(root, seed, STAGE, trunk.vision.config.image_size))

    def collate(items: list):
        images = torch.from_numpy(np.stack([item[0] for item in items]))
        masks = torch.from_numpy(np.concatenate([item[1] for item in items]))
        owners = torch.tensor([i for i, item in enumerate(items) for _ in item[2]])
        tokens = processor.tokenizer([text for item in items for text in item[2]], padding=True, return_tensors="pt")
        return images, masks, owners, dict(tokens)

    def loss(clipseg: CLIPSegForImageSegmentation, data):
        images, masks, owners, tokens = data
        with torch.no_grad():
            states = hidden_states(clipseg, normalise(images))
        condition = clipseg.clip.get_text_features(**tokens).pooler_output
        spread = condition.detach().float().std(0)
        condition = condition + CONDITION_NOISE * spread * torch.randn_like(condition)
        logits = clipseg.decoder([state[owners] for state in states], condition).logits.float()
        with torch.no_grad():
            found = logits > 0
            area = masks.sum((1, 2))
            iou = (found & masks).sum((1, 2)) / (found | masks).sum((1, 2)).clamp(min=1)
        numbers = {"iou": iou[area > 0].mean().item(), "false_area": found[area == 0].float().mean().item()}
        return mask_loss(logits, masks), numbers

    fit("clipseg", model, batches(asked, collate, BATCH), loss, SCHEDULE, runs)
    return model, processor


def held_out_iou(model, processor, root: Path, split: str, count: int, seed: int = 99) -> float:
    """Mean IoU at 0.5 of "A photo of NOUN" for the sounding thing in scenes of a split never trained on.

    Args:
        model, processor: a trained CLIPSeg.
        root: unpacked packages.
        split: "test" or "unseen_photos".
        count: scenes of two and three sounding kinds in turn.
        seed: of the scenes.
    """
    total = 0.0
    with torch.inference_mode():
        for index in range(count):
            rng = np.random.default_rng([seed, SPLITS.index(split), index])
            drawn = scene(rng, root, split, 2 + index % 2, 0, *CANVASES[index % len(CANVASES)])
            text = wording("A photo of {noun}", drawn.objects[drawn.sounding].kind)
            inputs = processor(text=[text], images=[drawn.image], return_tensors="pt", padding=True)
            logits = model(**inputs).logits
            logits = F.interpolate(logits.reshape(1, 1, *logits.shape[-2:]), drawn.image.shape[:2], mode="bilinear")
            found, mask = (logits[0, 0] > 0).numpy(), drawn.mask(drawn.sounding)
            total += (found & mask).sum() / max(1, (found | mask).sum())
    return float(total / count)
