"""The small CLIPSeg: the trained image encoder, with a text encoder and a decoder that turn words into a mask.

Learning words and outlines at once stalls at "some thing": first words and patches are brought into one space, as CLIP
does with whole images, then the decoder starts from their product and learns outlines. The image encoder stays as the
dense labels made it. Each training image is encoded once and asked for two things in it and for one thing that is not
there; the condition carries some noise, so that the decoder forgives embeddings that come from elsewhere (those of
text inversion).
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
from datasets.stamp_scenes import CANVASES, SPLITS, scene
from models.tiny.train.loop import Schedule, batches, fit, initialise
from models.tiny.train.vision import (
    CLASSES,
    MEAN,
    PATCH,
    STD,
    DenseTrunk,
    SceneMaker,
    class_map,
    normalise,
    vision_config,
)
from models.tiny.train.words import any_query, byte_level_bpe, wording

IMAGE_SIZE = 128
EXTRACT = [1, 3, 5]
MAX_TOKENS = 20
PROJECTION = 32
BATCH = 16
ALIGN_SCHEDULE = Schedule(400, lr=2e-3, matrix_lr=3e-3, warmup=40)
SCHEDULE = Schedule(1200, lr=2e-3, matrix_lr=2e-3, warmup=40)
ALIGN_STAGE, STAGE = 20, 21
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
        vision_config=vision_config(image_size).to_dict(), projection_dim=PROJECTION, extract_layers=EXTRACT,
        reduce_dim=2 * PROJECTION, decoder_num_attention_heads=2, decoder_intermediate_size=256,
        use_complex_transposed_convolution=False, attn_implementation="eager",
    )  # fmt: skip
    model = CLIPSegForImageSegmentation(config)
    initialise(model.clip.text_model, model.clip.text_projection, model.clip.visual_projection, model.decoder)
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


class Aligned(nn.Module):
    """Words and image patches in one space: what each patch shows, told by the nearest of all nouns' sentences."""

    def __init__(self, model: CLIPSegForImageSegmentation) -> None:
        super().__init__()
        self.clip = model.clip
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.background = nn.Parameter(torch.tensor(3.0))

    def forward(self, images: torch.Tensor, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
        """(N, S, S, 3) uint8 and the tokens of one sentence a kind -> (N, S / 8, S / 8, CLASSES) logits."""
        with torch.no_grad():
            hidden = self.clip.vision_model(normalise(images)).last_hidden_state[:, 1:]
        embeds = self.clip.visual_projection(self.clip.vision_model.post_layernorm(hidden)).float()
        texts = self.clip.get_text_features(**tokens).pooler_output.float()
        logits = self.scale * F.normalize(embeds, dim=-1) @ F.normalize(texts, dim=-1).T
        logits = torch.cat([logits, self.background.expand(*logits.shape[:-1], 1)], -1)
        side = images.shape[1] // PATCH
        return logits.view(len(images), side, side, -1)


def align(model, processor, root: Path, runs: Path, seed: int, image_size: int) -> None:
    """Trains the text encoder and the projections until words lie where the patches of their things do."""
    scenes = SceneMaker(root, seed, ALIGN_STAGE, image_size)

    def make(index: int):
        rng = np.random.default_rng([seed, ALIGN_STAGE, index, 1])
        return scenes(index), [any_query(rng, kind) for kind in KINDS]

    def collate(items: list):
        images = torch.from_numpy(np.stack([drawn.image for drawn, _ in items]))
        middle = slice(PATCH // 2, None, PATCH)
        labels = np.stack([class_map(drawn.objects, drawn.label_map[middle, middle]) for drawn, _ in items])
        tokens = processor.tokenizer(items[0][1], padding=True, return_tensors="pt")
        return images, torch.from_numpy(labels), dict(tokens)

    def loss(aligned: Aligned, data):
        images, labels, tokens = data
        logits, labels = aligned(images, tokens).flatten(0, 2), labels.flatten()
        weight = torch.ones(CLASSES)
        weight[-1] = 0.25
        right = (logits.argmax(-1) == labels)[labels != CLASSES - 1].float().mean().item()
        return F.cross_entropy(logits, labels, weight=weight), {"patches_right": right}

    fit("clipseg_align", Aligned(model), batches(make, collate, BATCH), loss, ALIGN_SCHEDULE, runs)


def start_from_product(model: CLIPSegForImageSegmentation, states: list[torch.Tensor]) -> None:
    """Starts the decoder at the product of word and patch: channels x * t and -x * t, x the aligned patch, t the word.

    Everything that is added to the product on its way (attention, MLP, earlier activations) starts near zero.

    Args:
        model: aligned; changed in place.
        states: (N, tokens, width) activations of some images for each extracted layer, for their spread.
    """
    clip, decoder = model.clip, model.decoder
    with torch.no_grad():
        norm, projection = clip.vision_model.post_layernorm, clip.visual_projection.weight
        weight = projection * norm.weight
        weight = (weight - weight.mean(1, keepdim=True)) / states[-1].std(-1).mean()
        bias = projection @ norm.bias
        decoder.reduces[0].weight.copy_(torch.cat([weight, weight]))
        decoder.reduces[0].bias.copy_(torch.cat([bias, bias]))
        unit = torch.eye(PROJECTION)
        decoder.film_mul.weight.copy_(torch.cat([unit, -unit]))
        for parameter in (decoder.film_mul.bias, decoder.film_add.weight, decoder.film_add.bias):
            parameter.zero_()
        for reduce, state in zip(decoder.reduces[1:], reversed(states[:-1]), strict=True):
            reduce.weight.mul_(0.2 / state.std())
        for layer in decoder.layers:
            layer.self_attn.out_proj.weight.mul_(0.05)
            layer.mlp.fc2.weight.mul_(0.05)


def mask_loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus, where there is something to find, the soft Dice loss."""
    masks = masks.float()
    bce = F.binary_cross_entropy_with_logits(logits, masks, pos_weight=torch.tensor(2.0))
    probs = logits.sigmoid()
    area = masks.sum((1, 2))
    dice = 1 - (2 * (probs * masks).sum((1, 2)) + 1) / (probs.sum((1, 2)) + area + 1)
    return 2 * bce + dice[area > 0].mean()


def train(root: Path, runs: Path, seed: int, trunk: DenseTrunk) -> tuple[CLIPSegForImageSegmentation, CLIPSegProcessor]:
    """Aligns words with the trunk's patches, then trains the decoder."""
    torch.manual_seed(seed)
    model, processor = build(trunk.vision.config.image_size)
    model.clip.vision_model.load_state_dict(trunk.vision.state_dict())
    size = trunk.vision.config.image_size
    for name, parameter in model.clip.vision_model.named_parameters():
        parameter.requires_grad_(name.startswith("post_layernorm"))
    align(model, processor, root, runs, seed, size)
    model.clip.requires_grad_(False)
    asked = AskedScene(SceneMaker(root, seed, STAGE, size))
    some = torch.from_numpy(np.stack([asked(index)[0] for index in range(32)]))
    with torch.no_grad():
        start_from_product(model, hidden_states(model, normalise(some)))

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
            condition = clipseg.clip.get_text_features(**tokens).pooler_output.float()
        spread = condition.std(0)
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
