"""Florence-2, as a captioner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.image_captioner.captioner import BatchedCaptioner
from models.image_captioner.named_things import as_caption
from utils.errors import UserError

TASKS = ("<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>", "<OD>", "<DENSE_REGION_CAPTION>")
ANY_SIZE = (1000, 1000)  # boxes are read in a frame of this size, and dropped


class Florence2Captioner(BatchedCaptioner):
    """Florence-2 with a prompt of its own for each task.

    Args (settings):
        task: "<CAPTION>", "<DETAILED_CAPTION>" or "<MORE_DETAILED_CAPTION>" for a sentence or several; "<OD>" (object
            detection) or "<DENSE_REGION_CAPTION>" for a list of what was found, each once: "a dog, a guitar".
        max_new_tokens: length of an answer at most; a thing found takes four tokens for its box besides its name.
        num_beams: 1 is greedy; 3 is what its authors use.

    Reference: Xiao et al., "Florence-2: advancing a unified representation for a variety of vision tasks", CVPR 2024.
    """

    family = "florence2"
    network_class = "Florence2ForConditionalGeneration"
    processor_class = "Florence2Processor"

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        task: str = "<DETAILED_CAPTION>",
        max_new_tokens: int = 128,
        num_beams: int = 3,
    ) -> None:
        super().__init__(network, processor, provenance)
        if task not in TASKS:
            raise UserError(f"expected Florence-2's task to be one of {', '.join(TASKS)}, found {task!r}")
        self.task = task
        self.max_new_tokens = max_new_tokens
        self.num_beams = num_beams

    def _caption(self, images: Sequence[np.ndarray]) -> list[str]:
        from PIL import Image

        pictures = [Image.fromarray(image) for image in images]
        inputs = self.processor(images=pictures, text=[self.task] * len(pictures), return_tensors="pt")
        with self.inference():
            tokens = self.network.generate(
                **inputs.to(self.device, self.dtype),
                do_sample=False,
                num_beams=self.num_beams,
                max_new_tokens=self.max_new_tokens,
            )
        return [self._read(row) for row in tokens]

    def _read(self, tokens: Any) -> str:
        tokenizer = self.processor.tokenizer
        # Padding is no special token to the processor: in a batch it would stay in the caption.
        text = tokenizer.decode(tokens[tokens != tokenizer.pad_token_id], skip_special_tokens=False)
        answer = self.processor.post_process_generation(text, task=self.task, image_size=ANY_SIZE)[self.task]
        return as_caption(answer["labels"]) if isinstance(answer, dict) else " ".join(answer.split())
