"""Captioners of no special family: BLIP-2, GIT and whatever else writes a text to an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.image_captioner.captioner import BatchedCaptioner


class ImageToText(BatchedCaptioner):
    """Any transformers network that continues a text, or starts one, with an image before it.

    Chat models are asked by `vision_chat`; here nothing is put around the prompt.

    Args (settings):
        prompt: text the caption continues ("a photo of"); not in the answer.
        max_new_tokens: length of a caption at most.
        num_beams: 1 is greedy; BLIP-2's authors use 5.
        repetition_penalty: above 1 makes a word less likely each time it was said.

    Reference: Li et al., "BLIP-2: bootstrapping language-image pre-training with frozen image encoders and large
    language models", ICML 2023.
    """

    family = "image_to_text"
    network_class = "AutoModelForImageTextToText"
    processor_class = "AutoProcessor"

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        prompt: str = "",
        max_new_tokens: int = 30,
        num_beams: int = 1,
        repetition_penalty: float = 1.0,
    ) -> None:
        super().__init__(network, processor, provenance)
        self.prompt = prompt
        self.max_new_tokens = max_new_tokens
        self.num_beams = num_beams
        self.repetition_penalty = repetition_penalty

    def inputs(self, images: Sequence[np.ndarray]) -> Any:
        """Images and prompt as the checkpoint's own processor prepares them.

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.

        Returns:
            What the network takes, on its device; floating tensors in its dtype.
        """
        from PIL import Image
        from transformers import GenerationMixin

        pictures = [Image.fromarray(image) for image in images]
        text = {"text": [self.prompt] * len(pictures)} if self.prompt else {}
        inputs = self.processor(images=pictures, **text, return_tensors="pt")
        tokenizer, network = self.processor.tokenizer, self.network
        plain = type(network).generate is GenerationMixin.generate and not network.config.is_encoder_decoder
        if text and plain and int(inputs["input_ids"][0, -1]) in {tokenizer.sep_token_id, tokenizer.eos_token_id}:
            # A text that has ended is not continued (GIT); networks with a `generate` of their own see to it there.
            inputs |= {key: inputs[key][:, :-1] for key in ("input_ids", "attention_mask")}
        return inputs.to(self.device, self.dtype)

    def _caption(self, images: Sequence[np.ndarray]) -> list[str]:
        with self.inference():
            tokens = self.network.generate(
                **self.inputs(images),
                do_sample=False,
                num_beams=self.num_beams,
                max_new_tokens=self.max_new_tokens,
                repetition_penalty=float(self.repetition_penalty),
            )
        captions = self.processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [self._without_prompt(" ".join(caption.split())) for caption in captions]

    def _without_prompt(self, caption: str) -> str:
        # Some networks repeat the prompt and some do not; tokenizers may have changed its case.
        prompt = " ".join(self.prompt.split())
        return caption[len(prompt) :].strip() if caption.lower().startswith(prompt.lower()) else caption
