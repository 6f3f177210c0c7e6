"""Whisper trained to describe sounds, as a captioner."""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Any

import numpy as np
import torch

from models.audio_input import MAX_WINDOWS, Window, WindowedCaptioner, windows_of
from models.network import MAX_BATCH, Pretrained
from utils.cli import TEXT, at_least


class WhisperCaptioner(WindowedCaptioner, Pretrained):
    """A Whisper trained to describe sounds in place of transcribing speech.

    A sentence is said of each window (30 s for the published ones) in which something is heard, and they are joined.
    Nothing is sampled, so a sound has one caption.

    Args (settings):
        prompt: text the caption continues, for checkpoints trained with one; not in the answer. MU-NLPC's know
            "clotho > caption: ", "audiocaps > caption: " and "audioset > keywords: "; the last blank belongs to it.
        language, task: for the start tokens where the tokenizer does not set them itself; MU-NLPC's were trained with
            "en" and "transcribe".
        max_new_tokens: length of a caption at most, cut to what the network can write.
        num_beams: 1 is greedy.
        max_windows: heard of a long sound at most, the loudest; the trail of `caption` says what was left out.

    Reference: Kadlčík et al., "A Whisper transformer for audio captioning trained with synthetic captions and transfer
    learning", DCASE 2023.
    """

    family = "whisper"
    network_class = "WhisperForConditionalGeneration"
    processor_class = "WhisperProcessor"
    encoders = ("model.encoder",)
    version = 2

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        prompt: str = "",
        language: Annotated[str | None, TEXT] = None,
        task: Annotated[str | None, TEXT] = None,
        max_new_tokens: Annotated[int, at_least(1)] = 64,
        num_beams: Annotated[int, at_least(1)] = 1,
        max_windows: Annotated[int, at_least(1)] = MAX_WINDOWS,
    ) -> None:
        super().__init__(network, processor, provenance)
        self.max_windows = max_windows
        tokenizer = processor.tokenizer
        tokenizer.set_prefix_tokens(language=language, task=task)
        self.prompt_ids = [*tokenizer.prefix_tokens, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        # A total length, as checkpoints set it themselves: with max_new_tokens theirs would come back, with a warning.
        length = min(len(self.prompt_ids) + max_new_tokens, network.config.max_target_positions)
        self.generation = deepcopy(network.generation_config)
        self.generation.update(max_length=length, max_new_tokens=None, num_beams=num_beams, do_sample=False)

    def windows(self, waveform: np.ndarray, sampling_rate: int) -> list[Window]:
        """See `WindowedCaptioner.windows`."""
        extractor = self.processor.feature_extractor
        return windows_of(waveform, sampling_rate, extractor.sampling_rate, extractor.n_samples)

    def say(self, windows: list[np.ndarray]) -> list[str]:
        """See `WindowedCaptioner.say`."""
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
                logits_processor=[self.finite_scores],
                decoder_input_ids=prompts,
                attention_mask=torch.ones(features.shape[::2], dtype=torch.long, device=self.device),
            )
        captions = self.processor.tokenizer.batch_decode(tokens[:, len(self.prompt_ids) :], skip_special_tokens=True)
        return [caption.strip() for caption in captions]
