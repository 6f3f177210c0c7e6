"""Perception Encoder Audio-Visual (PE-AV): its audio encoder and what it reads of sounds, in one space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
from torch.nn.functional import normalize

from models.audio_input import groups_of_one_shape
from models.audio_text.encoder import WindowedEncoder
from models.network import check_complete, quiet
from utils.cli import SECONDS, one_of
from utils.errors import UserError

# Heard in one pass, however many windows. Its first layers keep 64 numbers a sample, five times over at most: 2.5 GB in
# float32. One window longer than this takes 62 MB a second.
SECONDS_AT_ONCE = 40.0
MAX_TOKENS = 512  # what the published preprocessing reads of a text
# Inside an audio-visual checkpoint the audio branch has one of two names: the tensors are shared.
INSIDE = {r"^(audio_model|audio_video_encoder\.embedder)\.(?=audio_|text_)": ""}


class PeAvEncoder(WindowedEncoder):
    """PE-AV's audio encoder and its text head for audio; what it has for video is left on the disk.

    Takes `facebook/pe-av-small`, `-base`, `-large` (all Apache-2.0, not gated; text to audio on AudioCaps R@1 41.8 to
    45.8) and checkpoints of its audio branch alone (`pe_audio`). It was trained on sounds of up to 30 s, and its card
    runs it under autocast to bfloat16, as float32 weights do here on CUDA wherever the card has it.

    The published score is the product of what the two heads give, of any length, scaled and shifted by one number each,
    which changes no order. A cosine, as the other encoders of this role give, takes the lengths out and may order
    sentences otherwise.

    The text encoder is a ModernBERT cut after the layer whose output the heads were trained on, before any final norm
    (`nth_text_layer` of the authors' code). The installed library (5.23) applies the final norm before it hands over
    the last layer's output; here it is taken out. Its `get_text_audio_embeds` fails, and what it makes of a sound
    depends on the silence its batch adds; so the parts are called one by one here, and nothing is padded.

    Args (settings):
        window_seconds: s of sound heard at once. The encoder takes any length, at a cost in memory that grows with it.
        scores: "cosine" L2-normalises both sides. "published" leaves them as the heads give them, so that products are
            the published scores, less scale and bias: of any size, which a `min_similarity` meant for cosines does not
            fit; text inversion, which compares directions, is refused.

    Reference: Vyas et al., "Pushing the frontier of audiovisual perception with large-scale multimodal correspondence
    learning", 2025, arXiv 2512.19687.
    """

    family = "pe_av"
    network_class = "PeAudioModel"
    processor_class = "AutoFeatureExtractor"  # and a tokenizer; those of the video are not needed
    version = 3

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        window_seconds: Annotated[float, SECONDS] = 30.0,
        scores: Annotated[str, one_of("cosine", "published")] = "cosine",
    ) -> None:
        super().__init__(network, processor, provenance)
        network.text_model.final_norm = torch.nn.Identity()
        self.window_seconds, self.normalized = window_seconds, scores == "cosine"

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
        at_once = max(1, int(SECONDS_AT_ONCE * self.sampling_rate) // max(map(len, windows)))
        for group in groups_of_one_shape([self._samples(window) for window in windows], at_once):
            with self.inference():
                audio = self.network.audio_encoder(torch.cat(group).to(self.device, self.dtype))
                embeds.append(self._scored(self.network.audio_head(audio.pooler_output)).cpu().numpy())
        return np.concatenate(embeds)

    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """See `WindowedEncoder.read`."""
        hidden = self.network.text_model(input_ids, attention_mask=attention_mask).last_hidden_state
        return self._scored(self.network.text_audio_head(hidden[:, 0]))

    def pseudo_word_encoder(self, template: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
        """See `WindowedEncoder.pseudo_word_encoder`; UserError where lengths count."""
        if not self.normalized:
            raise UserError(
                "text inversion compares directions: expected audio_text.scores to be cosine, found published; "
                "add --set audio_text.scores=cosine, or take another method"
            )
        return super().pseudo_word_encoder(template)

    def _scored(self, embeds: torch.Tensor) -> torch.Tensor:
        return normalize(embeds.float(), dim=-1) if self.normalized else embeds.float()

    def _samples(self, window: np.ndarray) -> torch.Tensor:
        """Returns (1, 1, L) float32, reflected at the end up to a whole number of frames of 40 ms."""
        # One window a call: nothing is padded to the longest, so no mask is needed.
        return self.processor.feature_extractor(window, sampling_rate=self.sampling_rate, return_tensors="pt")[
            "input_values"
        ]
