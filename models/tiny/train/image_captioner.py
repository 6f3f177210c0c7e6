"""The small BLIP: the trained image encoder, with a text decoder that names what is in view from left to right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

from datasets.stamp_scenes import CANVASES, SPLITS, Scene, scene
from models.tiny.train.loop import Schedule, batches, fit
from models.tiny.train.vision import MEAN, PATCH, STD, DenseTrunk, SceneMaker, normalise
from models.tiny.train.words import image_caption, word_list

IMAGE_SIZE = 96  # naming things needs less detail than drawing their outline
MAX_TOKENS = 24
BATCH = 32
SCHEDULE = Schedule(1400, lr=1e-3, matrix_lr=2e-3, warmup=80)
STAGE = 30


def build(image_size: int = IMAGE_SIZE) -> tuple[BlipForConditionalGeneration, BlipProcessor]:
    """The untrained network: an image encoder of the trunk's shape and a text decoder of 2 layers of 192."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    vocab = {token: i for i, token in enumerate(specials + word_list())}
    tokenizer = BertTokenizer(vocab=vocab, bos_token="[DEC]", model_max_length=MAX_TOKENS)
    config = BlipConfig(
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=192, num_hidden_layers=2, num_attention_heads=3,
            intermediate_size=576, max_position_embeddings=MAX_TOKENS, pad_token_id=0, sep_token_id=3, eos_token_id=3,
            bos_token_id=5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        ),
        vision_config=dict(
            hidden_size=192, num_hidden_layers=6, num_attention_heads=3, intermediate_size=768, image_size=image_size,
            patch_size=PATCH, hidden_act="gelu_pytorch_tanh", initializer_range=0.02, attention_dropout=0.0,
        ),
    )  # fmt: skip
    images = BlipImageProcessor(
        size={"height": image_size, "width": image_size}, image_mean=MEAN.tolist(), image_std=STD.tolist(), resample=2
    )
    return BlipForConditionalGeneration(config), BlipProcessor(images, tokenizer)


def adopt(model: BlipForConditionalGeneration, trunk: DenseTrunk, images: torch.Tensor) -> None:
    """Copies the trunk into BLIP's image encoder, which has no layer norm before its layers.

    That norm is folded into the patch and position embeddings, with its division by each token's spread replaced by
    the mean spread over `images`; the short training that follows evens out the rest.

    Args:
        model: BLIP of the trunk's size.
        trunk: the trained image encoder.
        images: (N, S, S, 3) uint8 training images.
    """
    vision, source = model.vision_model, trunk.vision
    with torch.no_grad():
        norm = source.pre_layrnorm
        tokens = source.embeddings(normalise(images))
        spread = tokens.std(-1, correction=0).mean((0,))  # (1 + patches,)
        spread = torch.cat([spread[:1], spread[1:].mean().expand(len(spread) - 1)])

        def centred(weight: torch.Tensor) -> torch.Tensor:
            return (weight - weight.mean(0, keepdim=True)) * norm.weight.view(-1, *[1] * (weight.ndim - 1))

        vision.embeddings.patch_embedding.weight.copy_(centred(source.embeddings.patch_embedding.weight) / spread[1])
        vision.embeddings.patch_embedding.bias.zero_()
        positions = centred(source.embeddings.position_embedding.weight.T).T / spread[:, None] + norm.bias
        vision.embeddings.position_embedding.copy_(positions[None])
        vision.embeddings.class_embedding.copy_((centred(source.embeddings.class_embedding) / spread[0])[None, None])
        for target, layer in zip(vision.encoder.layers, source.encoder.layers, strict=True):
            attention = layer.self_attn
            for kind in ("weight", "bias"):
                parts = [
                    getattr(projection, kind) for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
                ]
                getattr(target.self_attn.qkv, kind).copy_(torch.cat(parts))
            target.self_attn.projection.load_state_dict(attention.out_proj.state_dict())
            target.mlp.load_state_dict(layer.mlp.state_dict())
            target.layer_norm1.load_state_dict(layer.layer_norm1.state_dict())
            target.layer_norm2.load_state_dict(layer.layer_norm2.state_dict())
        vision.post_layernorm.load_state_dict(trunk.norm.state_dict())


def caption_of(drawn: Scene) -> str:
    """Everything in view from left to right, by the centre of what is visible."""
    centres = [np.flatnonzero(drawn.mask(i).any(0)).mean() for i in range(len(drawn.objects))]
    return image_caption([drawn.objects[i].kind for i in np.argsort(centres, kind="stable")])


@dataclass(frozen=True)
class CaptionedScene:
    """Item `index`: (image (S, S, 3) uint8, caption)."""

    scenes: SceneMaker

    def __call__(self, index: int) -> tuple[np.ndarray, str]:
        drawn = self.scenes(index)
        return drawn.image, caption_of(drawn)


def train(root: Path, runs: Path, seed: int, trunk: DenseTrunk) -> tuple[BlipForConditionalGeneration, BlipProcessor]:
    """Trains the text decoder, and the image encoder on with it."""
    torch.manual_seed(seed)
    size = trunk.vision.config.image_size
    model, processor = build(size)
    captioned = CaptionedScene(SceneMaker(root, seed, STAGE, size))
    adopt(model, trunk, torch.from_numpy(np.stack([captioned(index)[0] for index in range(64)])))

    def collate(items: list):
        tokens = processor.tokenizer([caption for _, caption in items], padding=True, return_tensors="pt")
        tokens["input_ids"][:, 0] = processor.tokenizer.bos_token_id
        return torch.from_numpy(np.stack([image for image, _ in items])), tokens["input_ids"], tokens["attention_mask"]

    def loss(blip: BlipForConditionalGeneration, data):
        images, ids, attention_mask = data
        labels = ids.masked_fill(attention_mask == 0, -100)
        outputs = blip(pixel_values=normalise(images), input_ids=ids, attention_mask=attention_mask, labels=labels)
        with torch.no_grad():
            said = outputs.logits[:, :-1].argmax(-1) == labels[:, 1:]
            nouns = (labels[:, 1:] != -100) & torch.isin(labels[:, 1:], frequent, invert=True)
        return outputs.loss.float(), {"nouns_right": said[nouns].float().mean().item()}

    frequent = torch.tensor(processor.tokenizer.convert_tokens_to_ids(["a", "an", ",", "and", "[SEP]"]))
    fit("blip", model, batches(captioned, collate, BATCH), loss, SCHEDULE, runs, lambda name: ".layer" in name)
    return model, processor


def held_out_recall(model, processor, root: Path, split: str, count: int, seed: int = 99) -> float:
    """Share of held-out scenes of two and three things whose caption names the one that sounds."""
    found = 0
    with torch.inference_mode():
        for index in range(count):
            rng = np.random.default_rng([seed, SPLITS.index(split), index])
            drawn = scene(rng, root, split, 2 + index % 2, 0, *CANVASES[index % len(CANVASES)])
            inputs = processor(images=[drawn.image], return_tensors="pt")
            ids = model.generate(**inputs, max_new_tokens=MAX_TOKENS - 2, do_sample=False)
            words = processor.decode(ids[0], skip_special_tokens=True).replace(" ,", ",")
            noun = drawn.objects[drawn.sounding].kind.noun
            phrases = words.replace(" and ", ", ").split(", ")
            found += any(phrase.removeprefix("an ").removeprefix("a ") == noun for phrase in phrases)
    return found / count
