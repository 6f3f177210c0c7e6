"""Microsoft's CLAP of 2023, the one of the paper's released code: an optional package and a pickle of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from models.audio_input import groups_of_one_shape
from models.audio_text import msclap_network
from models.audio_text.encoder import WindowedEncoder
from models.audio_text.msclap_network import FILE, SAMPLING_RATE, SECONDS
from models.checkpoints.hub import find
from models.checkpoints.published import license_of
from models.network import MAX_BATCH
from utils.errors import UserError

TOKENIZER_FILE = "tokenizer.json"


class MsClapEncoder(WindowedEncoder):
    """msclap 2023: HTS-AT hears 7 s at 44.1 kHz, GPT-2 reads, both are projected to 1,024 numbers.

    Needs the package `msclap`, without its pins: version 1.3.4 asks for numpy below 2, librosa below 0.11 and
    transformers below 5, and runs with ours nevertheless. From it come the audio encoder and the projections; GPT-2 is
    the installed library's. `microsoft/msclap` (159 M, not gated) holds no safetensors but a pickle, which is read with
    torch's `weights_only`: tensors, and no code.

    What differs from the package's own wrapper: a sound of more than 7 s is heard window by window, not in a random
    crop; stereo is no matter here; resampling is soxr's; texts of more than 77 tokens are cut off; a "!" in a text,
    which is the padding token too, does not shift where the sentence is read off.

    Args (settings):
        tokenizer: folder or hub id of GPT-2's tokenizer, of which tokenizer.json is read.

    Reference: Elizalde et al., "Natural language supervision for general-purpose audio representations", ICASSP 2024,
    arXiv 2309.05767.
    """

    family = "msclap"
    hub_files = (FILE,)

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        tokenizer: str = "openai-community/gpt2",
    ) -> None:
        super().__init__(network, processor, provenance)
        self.tokenizer = _load_tokenizer(tokenizer)
        self.provenance["tokenizer"] = tokenizer

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path,
        revision: str | None = None,
        license: str | None = None,
        dtype: str = "float32",
        trust_remote_code: bool = False,
        device: str = "cpu",
        **settings: Any,
    ) -> MsClapEncoder:
        """Loads the weights of 2023.

        Args:
            weights: the .pth file, or hub id of a repository with CLAP_weights_2023.pth.
            dtype: float32 only: its spectrogram is a layer of the network.
            revision, license, trust_remote_code, device, settings: see `Pretrained.from_pretrained`.

        Raises:
            UserError: the package is not installed, the weights are not there or do not fit.
        """
        if dtype != "float32":
            raise UserError(f"expected dtype float32 for msclap, which takes its spectrogram itself, found {dtype}")
        msclap_network.import_package()  # a missing one is said before anything is fetched
        path, commit = msclap_network.find(str(weights), revision)
        network = msclap_network.load(path)
        provenance = {
            "family": cls.family,
            "id": str(weights),
            "revision": commit,
            "sha256": None if commit else msclap_network.sha256(path),
            "license": license or license_of(str(weights)),
            "dtype": dtype,
            "trust_remote_code": False,
        }
        return cls(network.to(device).eval().requires_grad_(False), None, provenance, **settings)

    sampling_rate = SAMPLING_RATE
    window_length = SECONDS * SAMPLING_RATE
    max_tokens = 77
    ending = " <|endoftext|>"  # what a sentence is read off

    @property
    def embed_dim(self) -> int:
        return self.network["caption_encoder"]["projection"].linear2.out_features

    @property
    def token_table(self) -> torch.nn.Embedding:
        return self.network["caption_encoder"]["base"].get_input_embeddings()

    def hear(self, windows: list[np.ndarray]) -> np.ndarray:
        """See `WindowedEncoder.hear`; a short window is repeated up to 7 s."""
        # No autocast: the squares of the spectrogram do not fit into half precision.
        with torch.inference_mode():
            embeds = [
                self.network["audio_encoder"](torch.from_numpy(np.stack(batch)).to(self.device))[0]
                for batch in groups_of_one_shape([np.resize(w, self.window_length) for w in windows], MAX_BATCH)
            ]
            return normalize(torch.cat(embeds), dim=-1).cpu().numpy()

    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """See `WindowedEncoder.read`."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        captions = self.network["caption_encoder"]
        hidden = captions["base"](input_ids=input_ids, attention_mask=mask).last_hidden_state
        last = hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(-1) - 1]  # (B, width)
        return normalize(captions["projection"](last).float(), dim=-1)

    def tokenize(self, texts: list[str]) -> Any:
        """See `WindowedEncoder.tokenize`; the ending is never cut off."""
        ending = self.tokenizer(self.ending)["input_ids"]
        ids = [self.tokenizer(text)["input_ids"][: self.max_tokens - len(ending)] + ending for text in texts]
        return self.tokenizer.pad({"input_ids": ids}, padding=True, return_tensors="pt")


def _load_tokenizer(where: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    folder = find(where, files=(TOKENIZER_FILE,)).folder
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / TOKENIZER_FILE))
    tokenizer.add_special_tokens({"pad_token": "!"})  # GPT-2's first token, as in training; what is padded is masked
    return tokenizer
