"""Whisper trained to describe sounds, as a captioner."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch

from models.audio_input import cut, resample
from models.network import MAX_BATCH, Pretrained


class WhisperCaptioner(Pretrained):
    """A Whisper trained to describe sounds in place of transcribing speech.

    It hears the first window only (30 s for the published ones). Nothing is sampled, so a sound has one caption.

    Args (settings):
        prompt: text the caption continues, for checkpoints trained with one; not in the answer. MU-NLPC's know
            "clotho > caption: ", "audiocaps > caption: " and "audioset > keywords: "; the last blank belongs to it.
        language, task: for the start tokens where the tokenizer does not set them itself; MU-NLPC's were trained with
            "en" and "transcribe".
        max_new_tokens: length of a caption at most, cut to what the network can write.
        num_beams: 1 is greedy.

    Reference: Kadlčík et al., "A Whisper transformer for audio captioning trained with synthetic captions and transfer
    learning", DCASE 2023.
    """

    family = "whisper"
    network_class = "WhisperForConditionalGeneration"
    processor_class = "WhisperProcessor"
    encoders = ("model.encoder",)

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        prompt: str = "",
        language: str | None = None,
        task: str | None = None,
        max_new_tokens: int = 64,
        num_beams: int = 1,
    ) -> None:
        super().__init__(network, processor, provenance)
        tokenizer = processor.tokenizer
        tokenizer.set_prefix_tokens(language=language, task=task)
        self.prompt_ids = [*tokenizer.prefix_tokens, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        # A total length, as checkpoints set it themselves: with max_new_tokens theirs would come back, with a warning.
        length = min(len(self.prompt_ids) + max_new_tokens, network.config.max_target_positions)
        self.generation = deepcopy(network.generation_config)
        self.generation.update(max_length=length, max_new_tokens=None, num_beams=num_beams, do_sample=False)

    def caption(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> list[str]:
        """See `models.roles.AudioCaptioner`."""
        extractor = self.processor.feature_extractor
        windows = [
            cut(resample(waveform, rate, extractor.sampling_rate), extractor.n_samples)[0]
            for waveform, rate in zip(waveforms, sampling_rates, strict=True)
        ]
        captions = []
        for start in range(0, len(windows), MAX_BATCH):
            captions += self._caption(windows[start : start + MAX_BATCH])
        return captions

    def _caption(self, windows: list[np.ndarray]) -> list[str]:
        from transformers import GenerationMixin

        extractor = self.processor.feature_extractor
        features = extractor(windows, sampling_rate=extractor.sampling_rate, return_tensors="pt")["input_features"]
        prompts = torch.tensor([self.prompt_ids] * len(windows), device=self.device)  # (N, P)
        with self.inference():
            # The plain generation: Whisper's own cuts the answer at token ids it takes for timestamps.
            tokens = GenerationMixin.generate(
                self.network,
                features.to(self.device, self.dtype),
                generation_config=self.generation,
                decoder_input_ids=prompts,
                attention_mask=torch.ones(features.shape[::2], dtype=torch.long, device=self.device),
            )
        captions = self.processor.tokenizer.batch_decode(tokens[:, len(self.prompt_ids) :], skip_special_tokens=True)
        return [caption.strip() for caption in captions]
