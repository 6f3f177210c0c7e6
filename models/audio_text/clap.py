"""CLAP: sounds and sentences in one space, learnt from pairs of them."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import normalize

from models.audio_text.encoder import WindowedEncoder
from models.network import MAX_BATCH


class ClapEncoder(WindowedEncoder):
    """CLAP: contrastive language-audio pretraining.

    A sound shorter than the network's window (10 s for the published ones) is repeated, as in training. A longer one is
    heard window by window: the extractor's crop at random, or its three random crops in models with fusion, is never
    reached. The published ones are float32, Apache-2.0 and not gated. The main branch of their repositories holds only
    a pickle, so a commit with safetensors has to be pinned (or `python -m models.convert` makes them):

        laion/clap-htsat-unfused   154 M parameters   revision 79b58ed25fc00386262a2bea4b19fd21dc4310a0
        laion/clap-htsat-fused     154 M              revision 0ebdccc578498c90ecb34353b57d2f197cae6e0a
        laion/larger_clap_general  194 M              revision 16c8cc3159a3c8a31e8ff5ef1f66b0d9ab3667db

    The text encoder of laion/larger_clap_music gives all sentences one direction (embeddings-benchmark/mteb, issue
    5069): not for use.

    Reference: Wu et al., "Large-scale contrastive language-audio pretraining with feature fusion and
    keyword-to-caption augmentation", ICASSP 2023.
    """

    family = "clap"
    network_class = "ClapModel"
    processor_class = "ClapProcessor"

    @property
    def embed_dim(self) -> int:
        return self.network.config.projection_dim

    @property
    def window_length(self) -> int:
        return int(self.processor.feature_extractor.nb_max_samples)

    @property
    def max_tokens(self) -> int:
        text_config = self.network.config.text_config
        positions = text_config.max_position_embeddings - text_config.pad_token_id - 1  # they count from the padding id
        return min(self.tokenizer.model_max_length, positions)

    @property
    def token_table(self) -> torch.nn.Embedding:
        return self.network.text_model.get_input_embeddings()

    def hear(self, windows: list[np.ndarray]) -> np.ndarray:
        """See `WindowedEncoder.hear`."""
        return np.concatenate([self._hear(windows[i : i + MAX_BATCH]) for i in range(0, len(windows), MAX_BATCH)])

    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """See `WindowedEncoder.read`."""
        pooled = self.network.text_model(input_ids, attention_mask=attention_mask).pooler_output
        return normalize(self.network.text_projection(pooled).float(), dim=-1)

    def _hear(self, windows: list[np.ndarray]) -> np.ndarray:
        features = self.processor.feature_extractor(windows, sampling_rate=self.sampling_rate, return_tensors="pt")
        # The extractor of fusion models calls one sound of a batch "longer" at random; no window is.
        is_longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=self.device)
        with self.inference():
            audio = self.network.audio_model(
                features["input_features"].to(self.device, self.dtype), is_longer=is_longer
            )
            return normalize(self.network.audio_projection(audio.pooler_output).float(), dim=-1).cpu().numpy()
