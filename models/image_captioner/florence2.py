"""Florence-2, as a captioner."""

from __future__ import annotations

from typing import Any

from models.image_captioner.image_to_text import ImageToText
from models.image_captioner.vision_chat import as_caption
from utils.errors import UserError

TASKS = ("<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>", "<OD>", "<DENSE_REGION_CAPTION>")
ANY_SIZE = (1000, 1000)  # boxes are read in a frame of this size, and dropped


class Florence2Captioner(ImageToText):
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
        super().__init__(network, processor, provenance, prompt=task)
        if task not in TASKS:
            raise UserError(f"expected Florence-2's task to be one of {', '.join(TASKS)}, found {task!r}")
        self.generation = {"max_new_tokens": max_new_tokens, "num_beams": num_beams}

    def read(self, tokens: Any) -> str:
        """The caption in one row of what was generated, (T,) int64, on one line."""
        tokenizer = self.processor.tokenizer
        # Padding is no special token to the processor: in a batch it would stay in the caption.
        text = tokenizer.decode(tokens[tokens != tokenizer.pad_token_id], skip_special_tokens=False)
        answer = self.processor.post_process_generation(text, task=self.prompt, image_size=ANY_SIZE)[self.prompt]
        return as_caption(answer["labels"]) if isinstance(answer, dict) else " ".join(answer.split())
