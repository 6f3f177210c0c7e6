"""Perception Encoder Audio-Visual (PE-AV): its audio encoder and what it reads of sounds, in one space."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
from torch.nn.functional import normalize

from models.audio_input import groups_of_one_shape
from models.audio_text.encoder import WindowedEncoder
from models.network import check_complete, quiet
from utils.cli import SECONDS

WINDOWS_AT_ONCE = 4  # its first layers keep 64 numbers a sample: 123 MB for 10 s, several times over
MAX_TOKENS = 512  # what the published preprocessing reads of a text
# Inside an audio-visual checkpoint the audio branch has one of two names: the tensors are shared.
INSIDE = {r"^(audio_model|audio_video_encoder\.embedder)\.(?=audio_|text_)": ""}


class PeAvEncoder(WindowedEncoder):
    """PE-AV's audio encoder and its text head for audio; what it has for video is left on the disk.

    Takes `facebook/pe-av-small`, `-base`, `-large` (all Apache-2.0, not gated; text to audio on AudioCaps R@1 41.8 to
    45.8) and checkpoints of its audio branch alone (`pe_audio`). The published score is a scaled dot product; here, as
    for every encoder of this role, both sides are L2-normalised.

    The text encoder is a ModernBERT cut after the layer whose output the heads were trained on, before any final norm
    (`nth_text_layer` of the authors' code). The installed library (5.23) applies the final norm before it hands over
    the last layer's output; here it is taken out. Its `get_text_audio_embeds` fails, and what it makes of a sound
    depends on the silence its batch adds; so the parts are called one by one here, and nothing is padded.

    Args (settings):
        window_seconds: s of sound heard at once. The encoder takes any length, at a cost in memory that grows with it.

    Reference: Vyas et al., "Pushing the frontier of audiovisual perception with large-scale multimodal correspondence
    learning", 2025, arXiv 2512.19687.
    """

    family = "pe_av"
    network_class = "PeAudioModel"
    processor_class = "AutoFeatureExtractor"  # and a tokenizer; those of the video are not needed

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        window_seconds: Annotated[float, SECONDS] = 10.0,
    ) -> None:
        super().__init__(network, processor, provenance)
        network.text_model.final_norm = torch.nn.Identity()
        self.window_seconds = window_seconds

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`; takes the audio branch out of a whole checkpoint."""
        import transformers

        where = {"trust_remote_code": trust_remote_code, "local_files_only": True}
        with quiet(transformers):
            config = transformers.AutoConfig.from_pretrained(folder, **where)
            if config.model_type not in ("pe_audio", "pe_audio_video"):
                raise ValueError(f"expected a pe_audio_video or pe_audio checkpoint, found a {config.model_type} one")
            if "PeAudioFrameLevelModel" in (config.architectures or ()):
                raise ValueError("it was trained to embed frames of 40 ms, not whole sounds")
            network, report = transformers.PeAudioModel.from_pretrained(
                folder,
                config=config.audio_config if config.model_type == "pe_audio_video" else config,
                key_mapping=INSIDE,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                **where,
            )
            check_complete(network, report)
            processor = SimpleNamespace(
                feature_extractor=transformers.AutoFeatureExtractor.from_pretrained(folder, **where),
                tokenizer=transformers.AutoTokenizer.from_pretrained(folder, **where),
            )
        return network, processor

    @property
    def embed_dim(self) -> int:
        return self.network.audio_head.proj.out_features

    @property
    def window_length(self) -> int:
        return round(self.window_seconds * self.sampling_rate)

    @property
    def max_tokens(self) -> int:
        positions = self.network.config.text_config.max_position_embeddings
        return min(MAX_TOKENS, self.tokenizer.model_max_length, positions)

    @property
    def token_table(self) -> torch.nn.Embedding:
        return self.network.text_model.get_input_embeddings()

    def hear(self, windows: list[np.ndarray]) -> np.ndarray:
        """See `WindowedEncoder.hear`."""
        embeds = []
        for group in groups_of_one_shape([self._samples(window) for window in windows], WINDOWS_AT_ONCE):
            with self.inference():
                audio = self.network.audio_encoder(torch.cat(group).to(self.device, self.dtype))
                embeds.append(normalize(self.network.audio_head(audio.pooler_output).float(), dim=-1).cpu().numpy())
        return np.concatenate(embeds)

    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """See `WindowedEncoder.read`."""
        hidden = self.network.text_model(input_ids, attention_mask=attention_mask).last_hidden_state
        return normalize(self.network.text_audio_head(hidden[:, 0]).float(), dim=-1)

    def _samples(self, window: np.ndarray) -> torch.Tensor:
        """Returns (1, 1, L) float32, reflected at the end up to a whole number of frames of 40 ms."""
        # One window a call: nothing is padded to the longest, so no mask is needed.
        return self.processor.feature_extractor(window, sampling_rate=self.sampling_rate, return_tensors="pt")[
            "input_values"
        ]
