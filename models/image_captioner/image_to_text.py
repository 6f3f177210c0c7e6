"""BLIP, Florence-2, BLIP-2, GIT and whatever else writes a text to an image, as captioners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from PIL import Image

from models.image_captioner.vision_chat import as_caption
from models.network import MAX_BATCH, Pretrained
from utils.cli import POSITIVE, at_least
from utils.errors import UserError

TASKS = ("<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>", "<OD>", "<DENSE_REGION_CAPTION>")  # Florence-2's
ANY_SIZE = (1000, 1000)  # boxes are read in a frame of this size, and dropped


class ImageToText(Pretrained):
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
        max_new_tokens: Annotated[int, at_least(1)] = 30,
        num_beams: Annotated[int, at_least(1)] = 1,
        repetition_penalty: Annotated[float, POSITIVE] = 1.0,
    ) -> None:
        super().__init__(network, processor, provenance)
        self.prompt = prompt
        self.generation = {
            "max_new_tokens": max_new_tokens,
            "num_beams": num_beams,
            "repetition_penalty": float(repetition_penalty),
        }

    def caption(self, images: Sequence[np.ndarray]) -> list[str]:
        """See `models.roles.ImageCaptioner`; at most MAX_BATCH images in one pass."""
        captions = []
        for start in range(0, len(images), MAX_BATCH):
            inputs = self.inputs(images[start : start + MAX_BATCH])
            with self.inference():
                how = {"do_sample": False, "logits_processor": [self.finite_scores], **self.generation}
                tokens = self.network.generate(**inputs, **how)
            captions += [self.read(row) for row in tokens]
        return captions

    def inputs(self, images: Sequence[np.ndarray]) -> Any:
        """Images and prompt as the checkpoint's own processor prepares them.

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.

        Returns:
            What the network takes, on its device; floating tensors in its dtype.
        """
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

    def read(self, tokens: Any) -> str:
        """The caption in one row of what was generated, (T,) int64, on one line."""
        caption = " ".join(self.processor.tokenizer.decode(tokens, skip_special_tokens=True).split())
        # Some networks repeat the prompt and some do not; tokenizers may have changed its case.
        prompt = " ".join(self.prompt.split())
        return caption[len(prompt) :].strip() if caption.lower().startswith(prompt.lower()) else caption


class BlipCaptioner(ImageToText):
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
        provenance: dict[str, Any],
        *,
        max_new_tokens: Annotated[int, at_least(1)] = 16,
        repetition_penalty: Annotated[float, POSITIVE] = 2.5,
    ) -> None:
        further = {"max_new_tokens": max_new_tokens, "repetition_penalty": repetition_penalty}
        super().__init__(network, processor, provenance, **further)


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
        max_new_tokens: Annotated[int, at_least(1)] = 128,
        num_beams: Annotated[int, at_least(1)] = 3,
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
