"""Any transformers network that embeds sounds and sentences, by hub id alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch.nn.functional import normalize

from models.audio_text.encoder import WindowedEncoder
from utils.cli import SECONDS
from utils.errors import UserError


class AutoAudioTextEncoder(WindowedEncoder):
    """What `AutoModel` and `AutoProcessor` load, if it has `get_audio_features` and `get_text_features`.

    For a checkpoint no family here is written for. CLAP comes out as in its own family, but for models with fusion.

    Args (settings):
        window_seconds: s of sound heard at once; None takes what the extractor's `nb_max_samples`, `max_length_s` or
            `chunk_length_s` says, or 10 s where it has none.
    """

    family = "auto"
    network_class = "AutoModel"
    processor_class = "AutoProcessor"

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        window_seconds: Annotated[float | None, SECONDS] = None,
    ) -> None:
        super().__init__(network, processor, provenance)
        extractor = processor.feature_extractor
        stated = [getattr(extractor, name, None) for name in ("max_length_s", "chunk_length_s")]
        samples = getattr(extractor, "nb_max_samples", None)
        stated.insert(0, samples / extractor.sampling_rate if samples else None)
        self.window_seconds = window_seconds or next(filter(None, stated), 10.0)
        self.embed_dim = self.encode_text(["a"]).shape[1]

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        network, processor = super().load(folder, dtype, trust_remote_code)
        for name in ("get_audio_features", "get_text_features"):
            if not hasattr(network, name):
                raise ValueError(f"expected a network with {name}, found {type(network).__name__}")
        for part in ("feature_extractor", "tokenizer"):
            if not hasattr(processor, part):
                raise ValueError(f"expected a processor with a {part}, found {type(processor).__name__}")
        return network, processor

    @property
    def window_length(self) -> int:
        return round(self.window_seconds * self.sampling_rate)

    @property
    def max_tokens(self) -> int:
        config = self.network.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None) or 512
        return min(self.tokenizer.model_max_length, positions - 2)  # RoBERTa's positions start at 2

    @property
    def token_table(self) -> torch.nn.Embedding:
        tables = [m for m in self.network.modules() if isinstance(m, torch.nn.Embedding)]
        known = [table for table in tables if table.num_embeddings >= len(self.tokenizer)]
        if len(known) != 1:
            raise UserError(
                f"expected {type(self.network).__name__} to have one table for its tokens, found {len(known)}: this "
                "family cannot do text inversion with it; take another network, or another method"
            )
        return known[0]

    def hear(self, windows: list[np.ndarray]) -> np.ndarray:
        """See `WindowedEncoder.hear`; one at a time, whatever an extractor does to a batch."""
        embeds = []
        for window in windows:
            features = self.processor.feature_extractor(window, sampling_rate=self.sampling_rate, return_tensors="pt")
            with self.inference():
                embeds.append(self._embeds(self.network.get_audio_features(**self._here(features))).cpu().numpy())
        return np.concatenate(embeds)

    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """See `WindowedEncoder.read`."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return self._embeds(self.network.get_text_features(input_ids=input_ids, attention_mask=mask))

    def _here(self, features: Any) -> dict[str, torch.Tensor]:
        """Features on the network's device, real numbers in its dtype."""
        dtypes = {name: self.dtype if value.is_floating_point() else value.dtype for name, value in features.items()}
        return {name: value.to(self.device, dtypes[name]) for name, value in features.items()}

    @staticmethod
    def _embeds(output: Any) -> torch.Tensor:
        """The library gives a tensor or an output object, depending on its version and the model's."""
        return normalize(getattr(output, "pooler_output", output).float(), dim=-1)
