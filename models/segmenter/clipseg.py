"""CLIPSeg, as a segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch

from models.network import MAX_BATCH, TEXTS_AT_ONCE, Pretrained, blocks_by_length
from models.segmenter.score_maps import cut_at, of_words, query_embeds, stretched, strongest
from utils.cli import BETWEEN, at_least
from utils.errors import UserError
from utils.types import Query


class ClipSegmenter(Pretrained):
    """CLIPSeg: a light decoder on frozen CLIP, conditioned on a sentence or on an embedding in CLIP's text space.

    The network sees the image squashed to its own square, as its processor prepares it, and the map is stretched back,
    so a pixel of the map is the same pixel of the image.

    Args (settings):
        image_size: side of the square the network sees, a multiple of its patches; position embeddings are interpolated
            to it. None for the checkpoint's own (352 where published).
        threshold: what a map is cut at: it becomes 0.5 (`cut_at`). The authors report PhraseCut at 0.3, and take 0.24
            to 0.28 for Pascal.

    Reference: Lüddecke and Ecker, "Image segmentation using text and image prompts", CVPR 2022.
    """

    family = "clipseg"
    accepts_sentences = True
    network_class = "CLIPSegForImageSegmentation"
    processor_class = "CLIPSegProcessor"
    encoders = ("clip.vision_model",)
    accepts_embeddings = True

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        image_size: Annotated[int | None, at_least(1)] = None,
        threshold: Annotated[float, BETWEEN] = 0.3,
    ) -> None:
        super().__init__(network, processor, provenance)
        patch = network.config.vision_config.patch_size
        if image_size is not None and not (type(image_size) is int and image_size > 0 and image_size % patch == 0):
            raise UserError(f"expected image_size to be a multiple of the patches' {patch}, found {image_size!r}")
        self.image_size, self.threshold = image_size, threshold
        drop_unread_layers(network)

    @property
    def text_embed_dim(self) -> int:
        return self.network.config.projection_dim

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`."""
        score_maps = [np.zeros(image.shape[:2], dtype=np.float32) for image in images]
        asked = [index for index, (_, some) in enumerate(zip(images, queries, strict=True)) if some]
        for start in range(0, len(asked), MAX_BATCH):
            chunk = asked[start : start + MAX_BATCH]
            embeds = self._embeds([query for index in chunk for query in queries[index]])
            rows = [row for row, index in enumerate(chunk) for _ in queries[index]]
            maps = self._decode(self.remembered.encode_images([images[index] for index in chunk]), rows, embeds)
            for index, some in zip(chunk, maps.split([len(queries[index]) for index in chunk]), strict=True):
                size = images[index].shape[:2]
                score_maps[index] = cut_at(strongest((stretched(one, size) for one in some), size), self.threshold)
        return score_maps

    @of_words
    def presence(self, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.Segmenter`; the peak of a map as the decoder draws it, in its own few pixels."""
        parts, peaks = self._embeds([Query(text) for text in texts]).split(MAX_BATCH), []
        for encoded in self.remembered.encode_images(images):
            peaks.append(torch.cat([self._decode([encoded], [0] * len(some), some).amax((1, 2)) for some in parts]))
        return cut_at(torch.stack(peaks).cpu().numpy(), self.threshold)

    def encode_images(self, images: Sequence[np.ndarray]) -> list[tuple[torch.Tensor, ...]]:
        """See `models.roles.Segmenter`; (tokens, width) for each layer that the decoder reads."""
        encoded = []
        for start in range(0, len(images), MAX_BATCH):
            pixel_values = self.pixel_values(images[start : start + MAX_BATCH]).to(self.device)
            with self.inference():
                hidden_states = self.network.clip.vision_model(pixel_values, output_hidden_states=True).hidden_states
            # The first is the patch embedding.
            layers = [hidden_states[layer + 1] for layer in self.network.extract_layers]  # each (N, tokens, width)
            # Copies, or one image that is remembered would keep the memory of all it was encoded with.
            encoded += [tuple(layer.clone() for layer in image) for image in zip(*layers, strict=True)]
        return encoded

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds sentences as the decoder expects them: (N, text_embed_dim) float32, not normalised."""
        if not len(texts):
            return np.zeros((0, self.text_embed_dim), dtype=np.float32)
        tokenizer, text_config = self.processor.tokenizer, self.network.config.text_config
        max_length = min(tokenizer.model_max_length, text_config.max_position_embeddings)
        cut = {"truncation": True, "max_length": max_length}
        lengths = [len(ids) for ids in tokenizer(list(texts), **cut)["input_ids"]]
        text_embeds = np.empty((len(texts), self.text_embed_dim), dtype=np.float32)
        for block in blocks_by_length(lengths, TEXTS_AT_ONCE):
            tokens = tokenizer([texts[index] for index in block], padding=True, return_tensors="pt", **cut)
            with self.inference():
                features = self.network.clip.get_text_features(
                    input_ids=tokens["input_ids"].to(self.device),
                    attention_mask=tokens["attention_mask"].to(self.device),
                )
            text_embeds[block] = features.pooler_output.float().cpu().numpy()
        return text_embeds

    def pixel_values(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """See `Pretrained.pixel_values`; at `image_size`."""
        if self.image_size is None:
            return super().pixel_values(images)
        size = {"height": self.image_size, "width": self.image_size}
        return self.processor.image_processor(
            images=list(images), size=size, input_data_format="channels_last", return_tensors="pt"
        )["pixel_values"]

    def _embeds(self, queries: Sequence[Query]) -> torch.Tensor:
        """Queries -> (Q, text_embed_dim)."""
        from_text = self.remembered.encode_text([query.text for query in queries if query.embedding is None])
        embeds = query_embeds(queries, from_text, self.text_embed_dim)
        return torch.from_numpy(embeds).to(self.device, self.dtype)

    def _decode(self, encoded: list[tuple[torch.Tensor, ...]], rows: list[int], embeds: torch.Tensor) -> torch.Tensor:
        """Maps of each query over the image in its row of what was encoded: (Q, h, w) float32 in [0, 1]."""
        maps = []
        for start in range(0, len(rows), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            repeated = [torch.stack(layer) for layer in zip(*(encoded[row] for row in rows[part]), strict=True)]
            with self.inference():
                maps.append(self.network.decoder(repeated, embeds[part]).logits.float().sigmoid())
        return torch.cat(maps)


def drop_unread_layers(network: Any) -> None:
    """Takes the last layers off the vision encoder: of the published networks' twelve, the decoder reads none above the
    tenth's output, and no text is compared with the image.
    """
    del network.clip.vision_model.encoder.layers[max(network.extract_layers) + 1 :]
