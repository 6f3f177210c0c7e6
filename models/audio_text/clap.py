"""CLAP: sounds and sentences in one space, learnt from pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from models.pretrained import MAX_BATCH, Pretrained
from models.windows import average, cut, resample


class ClapEncoder(Pretrained):
    """CLAP: contrastive language-audio pretraining.

    A sound longer than the network's window (10 s for the published ones) is cut into consecutive windows whose
    embeddings are averaged, so one sound has one embedding; the extractor's own crop at random is never reached.

    Reference: Wu et al., "Large-scale contrastive language-audio pretraining with feature fusion and
    keyword-to-caption augmentation", ICASSP 2023.
    """

    family = "clap"
    network_class = "ClapModel"
    processor_class = "ClapProcessor"

    @property
    def embed_dim(self) -> int:
        return self.network.config.projection_dim

    def encode_audio(self, waveforms: Sequence[np.ndarray], sampling_rates: Sequence[int]) -> np.ndarray:
        """Embeds sounds.

        Args:
            waveforms: (T,) float32 mono each, of any length; shorter than a window is repeated, as in training.
            sampling_rates: Hz each.

        Returns:
            audio_embeds: (N, embed_dim) float32, rows L2-normalised.
        """
        extractor = self.processor.feature_extractor
        sounds = [
            cut(resample(waveform, rate, extractor.sampling_rate), int(extractor.nb_max_samples))
            for waveform, rate in zip(waveforms, sampling_rates, strict=True)
        ]
        windows = [window for sound in sounds for window in sound]
        if not windows:
            return np.zeros((0, self.embed_dim), dtype=np.float32)
        embeds = np.concatenate([self._embed(windows[i : i + MAX_BATCH]) for i in range(0, len(windows), MAX_BATCH)])
        audio_embeds = average(embeds, [len(sound) for sound in sounds])
        return audio_embeds / np.linalg.norm(audio_embeds, axis=1, keepdims=True).clip(1e-12)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds sentences.

        Returns:
            text_embeds: (N, embed_dim) float32, rows L2-normalised.
        """
        if not len(texts):
            return np.zeros((0, self.embed_dim), dtype=np.float32)
        tokens = self.processor.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self.device)
        with self.inference():
            hidden = self.network.text_model(tokens["input_ids"], attention_mask=tokens["attention_mask"])
            return self._project(hidden.pooler_output).cpu().numpy()

    def pseudo_word_encoder(self, template: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        """Opens the text encoder for a free word: its embedding takes the place of one token's in a sentence.

        Args:
            template: sentence with exactly one "{}" where the pseudo-word stands, e.g. "a sound of {}".

        Returns:
            encode: differentiable map (B, W) word embeddings -> (B, embed_dim) L2-normalised text_embeds, on the device
                of what it is given; in float32, without autocast.
            word_embeddings: (V, W) float32 on the CPU, the token table the pseudo-word lives in.
        """
        if template.count("{}") != 1:
            raise ValueError(f'expected a template with exactly one "{{}}", found {template!r}')
        tokenizer, text_model = self.processor.tokenizer, self.network.text_model
        table = text_model.get_input_embeddings()
        # A byte-level token carries the space before its word: so it goes with the pseudo-word, and is kept after it.
        before, after = template.split("{}")
        left, right = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before.rstrip(" "), after))
        with torch.no_grad():
            left_embeds = table(torch.tensor([[tokenizer.cls_token_id, *left]], device=self.device))  # (1, L, W)
            right_embeds = table(torch.tensor([[*right, tokenizer.sep_token_id]], device=self.device))  # (1, R, W)

        def encode(word_embeds: torch.Tensor) -> torch.Tensor:
            words = word_embeds.to(self.device, torch.float32)[:, None]  # (B, 1, W)
            batch = len(words)
            inputs = torch.cat([left_embeds.expand(batch, -1, -1), words, right_embeds.expand(batch, -1, -1)], dim=1)
            # Without token ids the positions count on from the padding id, as for a sentence without padding.
            return self._project(text_model(inputs_embeds=inputs).pooler_output).to(word_embeds.device)

        return encode, table.weight.detach().float().cpu().clone()

    @property
    def _max_tokens(self) -> int:
        text_config = self.network.config.text_config
        positions = text_config.max_position_embeddings - text_config.pad_token_id - 1  # they count from the padding id
        return min(self.processor.tokenizer.model_max_length, positions)

    def _embed(self, windows: list[np.ndarray]) -> np.ndarray:
        extractor = self.processor.feature_extractor
        features = extractor(windows, sampling_rate=extractor.sampling_rate, return_tensors="pt")["input_features"]
        # The extractor of fusion models calls one sound of a batch "longer" at random; no window is.
        is_longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=self.device)
        with self.inference():
            audio = self.network.audio_model(features.to(self.device, torch.float32), is_longer=is_longer)
            return normalize(self.network.audio_projection(audio.pooler_output).float(), dim=-1).cpu().numpy()

    def _project(self, pooled: torch.Tensor) -> torch.Tensor:
        return normalize(self.network.text_projection(pooled).float(), dim=-1)
