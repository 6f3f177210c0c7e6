"""Chat models: a question about one sound or one image, and always the same answer to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from models.network import Pretrained

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
REPEATING = ("repetition_penalty", "no_repeat_ngram_size", "encoder_repetition_penalty", "encoder_no_repeat_ngram_size")


class ChatModel(Pretrained):
    """A multimodal chat model that is asked the same question about everything.

    The most likely token is taken, whatever sampling the checkpoint suggests, and however often it was said: to a
    repetition penalty (1.1 in Qwen2-Audio's checkpoint) the words of the question have been said, so that it speaks
    against the very answers that a question names. What else a checkpoint sets stays. One question is answered at a
    time: in a batch, questions of different lengths would be padded, and in half precision an answer would depend on
    its neighbours.

    Attributes:
        network_classes: names in transformers, in order; the first that knows the checkpoint's architecture is taken.
        sense: the part of the processor that must be there, "feature_extractor" or "image_processor".
        prompt: the question.
        max_new_tokens: length of an answer at most.
    """

    network_classes: ClassVar[tuple[str, ...]]
    sense: ClassVar[str]
    processor_class = "AutoProcessor"

    def __init__(
        self, network: Any, processor: Any, provenance: dict[str, Any], *, prompt: str, max_new_tokens: int
    ) -> None:
        super().__init__(network, processor, provenance)
        self.prompt = prompt
        self.max_new_tokens = max_new_tokens
        # A checkpoint's own max_length would be warned about beside max_new_tokens, and so would sampling set aside.
        unset = dict.fromkeys(("max_length", *SAMPLING, *REPEATING))
        network.generation_config.update(do_sample=False, **unset)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`."""
        import transformers

        config = transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True
        )
        tables = {name: getattr(transformers, name)._model_mapping for name in cls.network_classes}
        name = next((name for name, table in tables.items() if type(config) in table), cls.network_classes[0])
        network_class = tables[name].get(type(config), None)
        if network_class is None and not trust_remote_code:
            raise ValueError(f"a {config.model_type} checkpoint is none of {', '.join(cls.network_classes)}")
        if "audio" in getattr(network_class, "output_modalities", ()):
            raise ValueError(f"a {config.model_type} answers in speech as well, expected one that answers in text only")
        # `Pretrained.load` takes one name, which here depends on the checkpoint.
        chosen = type(cls.__name__, (cls,), {"network_class": name})
        network, processor = super(ChatModel, chosen).load(folder, dtype, trust_remote_code)
        for part in (cls.sense, "chat_template"):
            if getattr(processor, part, None) is None:
                raise ValueError(f"expected a processor with its {part}, found a {type(processor).__name__} without")
        return network, processor

    def inputs(self, medium: dict[str, Any]) -> Any:
        """The question as the checkpoint's own processor and chat template put it, on the network's device.

        Args:
            medium: {"type": "image", "image": PIL image} or {"type": "audio", "audio": (T,) float32}.
        """
        question = [{"role": "user", "content": [medium, {"type": "text", "text": self.prompt}]}]
        inputs = self.processor.apply_chat_template(
            question, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        return inputs.to(self.device, self.dtype)

    def ask(self, medium: dict[str, Any]) -> str:
        """The answer, stripped, without special tokens and without what a model thinks aloud before it."""
        inputs = self.inputs(medium)
        with self.inference():
            how = {"max_new_tokens": self.max_new_tokens, "num_beams": 1, "logits_processor": [self.finite_scores]}
            tokens = self.network.generate(**inputs, **how)[0]
        if not self.network.config.is_encoder_decoder:  # then the question comes first
            tokens = tokens[inputs["input_ids"].shape[1] :]
        answer = self.processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return answer.rpartition("</think>")[2].strip()
