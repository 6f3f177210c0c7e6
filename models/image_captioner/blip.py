"""BLIP, as a captioner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.image_captioner.captioner import BatchedCaptioner


class BlipCaptioner(BatchedCaptioner):
    """BLIP, greedy; the defaults are the paper's settings.

    Args (settings):
        max_new_tokens: length of a caption at most. The paper's max_length of 17 counts the start token, this does not.
        repetition_penalty: above 1 makes a word less likely each time it was said.

    Reference: Li et al., "BLIP: bootstrapping language-image pre-training", ICML 2022.
    """

    family = "blip"
    network_class = "BlipForConditionalGeneration"
    processor_class = "BlipProcessor"
    encoders = ("vision_model",)

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, str | None],
        *,
        max_new_tokens: int = 16,
        repetition_penalty: float = 2.5,
    ) -> None:
        super().__init__(network, processor, provenance)
        self.max_new_tokens = max_new_tokens
        self.repetition_penalty = repetition_penalty

    def _caption(self, images: Sequence[np.ndarray]) -> list[str]:
        pixel_values = self.pixel_values(images).to(self.device, self.dtype)
        with self.inference():
            tokens = self.network.generate(
                pixel_values,
                do_sample=False,
                num_beams=1,
                max_new_tokens=self.max_new_tokens,
                repetition_penalty=float(self.repetition_penalty),
            )
        captions = self.processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [caption.strip() for caption in captions]
