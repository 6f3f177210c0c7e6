"""SAM 3, as a segmenter: a noun phrase to all its instances, to a soft map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch

from models.network import Pretrained, check_complete, quiet
from models.segmenter.detector import answering
from models.segmenter.score_maps import Calibration, TextOnly, of_words, stretched, strongest
from utils.cli import POSITIVE, THRESHOLD, one_of
from utils.language.phrases import thing_of
from utils.types import Query

MAX_TOKENS = 32  # what the library's processor gives the network, whatever the text encoder could read
NETWORKS = {"sam3": "Sam3Model", "sam3_video": "Sam3Model", "sam3_lite_text": "Sam3LiteTextModel"}
SOURCES = ("instances", "semantic", "both")
NO_MASKS = SimpleNamespace(pred_masks=None, semantic_seg=None, attentions=None)  # what its mask decoder would draw


@dataclass(frozen=True, eq=False)
class VisionEmbeds:
    """What the network reads of its vision encoder's output, under the library's names.

    The other half is None: its coarsest level is never read, and of the position encodings, as large as the maps, only
    that of the level the transformer sees.

    Attributes:
        fpn_hidden_states: (1, D, h, w) of each level, finest first, then None.
        fpn_position_encoding: (1, D, h, w) of the last level but one, else None.
        hidden_states, attentions: of the encoder's layers, not kept.
    """

    fpn_hidden_states: tuple[torch.Tensor | None, ...]
    fpn_position_encoding: tuple[torch.Tensor | None, ...]
    hidden_states: None = None
    attentions: None = None


class Sam3Segmenter(TextOnly, Pretrained):
    """SAM 3, or SAM3-LiteText, its variant with a light text encoder.

    The network answers a phrase with up to 200 instances, each with a score and a mask; with one semantic map of all of
    them; and with a probability that the thing is in the image at all, its presence, which every score is multiplied
    with. It sees the image squashed to its own square, and the maps are stretched back.

    The published checkpoint holds the video model; the detector in it is what is loaded. An image is encoded once for
    all its queries, a text once for all images of a call.

    Args:
        network, processor, provenance: see `Pretrained`.
        score_threshold: an instance is accepted when its score is higher; 0.5 is the original code's, 0.3 the
            library's.
        min_presence: of a query whose presence is lower nothing is accepted. Since scores contain the presence, this
            changes instances only below `score_threshold`.
        source: "instances", "semantic", or "both" (the maximum). The semantic map takes the place of one instance
            with the presence for its score and `min_presence` for its threshold.
        rescale, mask_temperature: how score and logit become one value, see `Calibration`. false and 1.0 give the
            plain product of score and sigmoid.

    Reference: Carion et al., "SAM 3: Segment anything with concepts", arXiv 2511.16719.
    """

    family = "sam3"
    accepts_sentences = False

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        score_threshold: Annotated[float, THRESHOLD] = 0.5,
        min_presence: Annotated[float, THRESHOLD] = 0.5,
        source: Annotated[str, one_of(*SOURCES)] = "instances",
        rescale: bool = True,
        mask_temperature: Annotated[float, POSITIVE] = 4.0,
    ) -> None:
        super().__init__(network, processor, provenance)
        self.instance_calibration = Calibration(score_threshold, rescale, mask_temperature)
        self.semantic_calibration = Calibration(min_presence, rescale, mask_temperature)
        self.source = source

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`; the class follows from the checkpoint's kind, since a video model's holds this one."""
        import transformers

        model_type = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        if model_type not in NETWORKS:
            raise ValueError(f"expected a checkpoint of {', '.join(NETWORKS)}, found a {model_type} one")
        with quiet(transformers):
            network, report = getattr(transformers, NETWORKS[model_type]).from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, local_files_only=True
            )
            check_complete(network, report)
            processor = transformers.Sam3Processor.from_pretrained(folder, local_files_only=True)
        return network, processor

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`; a query that has an embedding is refused with a UserError."""
        things = [list(dict.fromkeys(map(thing_of, self.texts(some)))) for some in queries]
        prompts = {thing: self._prompt(thing) for thing in {thing for asked in things for thing in asked}}
        score_maps = []
        for image, asked in zip(images, things, strict=True):
            values = self._values(image, [prompts[thing] for thing in asked]) if asked else ()
            score_maps.append(strongest(values, image.shape[:2]))
        return score_maps

    @of_words
    def presence(self, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.Segmenter`; the network's own probability of it, without the mask decoder."""
        prompts = [self._prompt(thing_of(text)) for text in texts]
        with answering(self.network.mask_decoder, NO_MASKS):
            return np.array([[presence for _, presence in self._answers(image, prompts)] for image in images])

    def encode_images(self, images: Sequence[np.ndarray]) -> list[VisionEmbeds]:
        """See `models.roles.Segmenter`."""
        encoded = []
        for image in images:
            with self.inference():
                seen = self.network.get_vision_features(self.pixel_values([image]).to(self.device, self.dtype))
            *levels, _ = seen.fpn_hidden_states
            *_, position, _ = seen.fpn_position_encoding
            unread = (None,) * (len(levels) - 1)
            encoded.append(VisionEmbeds((*levels, None), (*unread, position, None)))
        return encoded

    def _prompt(self, thing: str) -> dict[str, Any]:
        """What the network needs of a phrase, encoded."""
        tokens = self.processor.tokenizer(
            thing, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        mask = tokens["attention_mask"].to(self.device)
        with self.inference():
            embeds = self.network.get_text_features(input_ids=tokens["input_ids"].to(self.device), attention_mask=mask)
        return {"text_embeds": embeds, "attention_mask": mask}

    def _values(self, image: np.ndarray, prompts: Sequence[dict[str, Any]]) -> Iterator[torch.Tensor]:
        """The (H, W) maps of what is accepted, or else of what comes nearest, query by query."""
        size = image.shape[:2]
        for found, presence in self._answers(image, prompts):
            if self.source != "semantic":
                scores = found.pred_logits[0].float().sigmoid() * presence  # (200,)
                kept = scores > self.instance_calibration.threshold
                present = presence >= self.semantic_calibration.threshold
                if not (present and kept.any()):
                    kept = scores.argmax()[None]
                calibration, values = self.instance_calibration, scores[kept].tolist()
                if not present:  # which can be while the score is high
                    calibration, values = self.semantic_calibration, [presence]
                for logits, value in zip(found.pred_masks[0][kept], values, strict=True):
                    yield calibration(stretched(logits, size), value)
            if self.source != "instances":
                yield self.semantic_calibration(stretched(found.semantic_seg[0, 0], size), presence)

    def _answers(self, image: np.ndarray, prompts: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, float]]:
        """The network's outputs and the presence, query by query."""
        [vision_embeds] = self.remembered.encode_images([image])
        for prompt in prompts:
            with self.inference():
                found = self.network(vision_embeds=vision_embeds, **prompt)
            self.finite(found.presence_logits, found.pred_logits)  # which a threshold would take for nothing
            yield found, found.presence_logits[0].float().sigmoid().item()
