"""PE-AV with its video branch: regions of pictures compared with sounds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from copy import copy
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.ops import masks_to_boxes

from models.audio_text.pe_av import PeAvEncoder
from models.network import MAX_BATCH, check_complete, quiet
from models.segmenter.crops import cut, cut_masks, mute_background, squares_around

CONTEXT = 0.2  # margin around a region, as a fraction of its longer side
GREY = (128, 128, 128)  # beyond the image


class PeAvPicturesEncoder(PeAvEncoder):
    """`PeAvEncoder` with the video branch of the same checkpoint; of -large, some half a billion weights more.

    A region is shown to it as a video of one frame: a square around it with some context, the background blurred
    (`models/segmenter/crops.py`). A sound and a video have the published logit, scale x product of what the two heads
    give, whatever the setting `scores`; its bias is the same for all.
    """

    family = "pe_av_pictures"

    def __init__(self, network: Any, processor: Any, provenance: dict[str, Any], **settings: Any) -> None:
        super().__init__(network, processor, provenance, **settings)
        self._published = copy(self)  # the same network, whose embeddings keep their lengths
        self._published.normalized = False

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`; what joins sound and video is dropped, the rest of the video branch kept."""
        import transformers

        where = {"trust_remote_code": trust_remote_code, "local_files_only": True}
        with quiet(transformers), redirect_stdout(StringIO()):  # the library prints remarks on its own docstrings
            kind = transformers.AutoConfig.from_pretrained(folder, **where).model_type
            if kind != "pe_audio_video":
                raise ValueError(f"expected a pe_audio_video checkpoint, which has a video branch, found a {kind} one")
            whole, report = transformers.PeAudioVideoModel.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **where
            )
            check_complete(whole, report)
            processor = SimpleNamespace(
                feature_extractor=transformers.AutoFeatureExtractor.from_pretrained(folder, **where),
                tokenizer=transformers.AutoTokenizer.from_pretrained(folder, **where),
                video_processor=transformers.AutoVideoProcessor.from_pretrained(folder, **where),
            )
        network, seeing = whole.audio_model, whole.video_model
        network.video_encoder, network.video_head = seeing.video_encoder, seeing.video_head
        network.audio_video_logit_scale = whole.audio_video_logit_scale
        return network, processor

    def match_regions(
        self,
        waveforms: Sequence[np.ndarray],
        sampling_rates: Sequence[int],
        images: Sequence[np.ndarray],
        regions: Sequence[np.ndarray],
    ) -> list[np.ndarray]:
        """See `models.roles.AudioTextEncoder`."""
        scale = self.network.audio_video_logit_scale.float().item()
        heard = self._published.encode_audio(waveforms, sampling_rates)  # (N, D)
        return [scale * (self._look(*seen) @ sound) for *seen, sound in zip(images, regions, heard, strict=True)]

    def _look(self, image: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 and (R, H, W) float32 -> (R, D) float32, of any length."""
        picture, embeds = Image.fromarray(np.ascontiguousarray(image)), [np.zeros((0, self.embed_dim), np.float32)]
        for some in torch.from_numpy(regions).split(MAX_BATCH) if len(regions) else ():
            boxes = masks_to_boxes(some > 0.5) + torch.tensor([0, 0, 1, 1])  # to the far side of the last pixel
            squares = squares_around(boxes, CONTEXT)
            crops = torch.cat([self._prepare(cut(picture, square, GREY)) for square in squares.tolist()])
            crops = mute_background(crops, cut_masks(some, squares, (1, 1), crops.shape[-1]), "blur")
            with self.inference():
                seen = self.network.video_encoder(crops[:, None].to(self.device, self.dtype))
                embeds.append(self.network.video_head(seen.pooler_output).float().cpu().numpy())
        return np.concatenate(embeds)

    def _prepare(self, crop: Image.Image) -> torch.Tensor:
        """(1, 3, s, s) float32, as the checkpoint's own processor prepares a frame."""
        frames = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None]
        return self.processor.video_processor([frames], return_tensors="pt")["pixel_values_videos"][0]
