"""Microsoft's CLAP of 2023, the one of the paper's released code: an optional package and a pickle of tensors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from models.audio_input import groups_of_one_shape
from models.audio_text.encoder import WindowedEncoder
from models.network import MAX_BATCH, find, quiet
from models.weights import ANOTHER
from utils.errors import UserError

FILE, TOKENIZER_FILE = "CLAP_weights_2023.pth", "tokenizer.json"
SAMPLING_RATE, SECONDS = 44100, 7  # of a window
# Masks that GPT-2 kept among its tensors in older releases of transformers, and a number only training needs.
NOT_LEARNED = re.compile(r"caption_encoder\.base\.h\.\d+\.attn\.(masked_)?bias|logit_scale")


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
    dtypes = ("float32",)  # its spectrogram is a layer of the network
    remedy = f"fetch {FILE} again, or {ANOTHER}"
    sampling_rate = SAMPLING_RATE
    window_length = SECONDS * SAMPLING_RATE
    max_tokens = 77
    ending = " <|endoftext|>"  # what a sentence is read off
    tokenizer: Any = None  # of its own, not a processor's

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        tokenizer: str = "openai-community/gpt2",
    ) -> None:
        from transformers import PreTrainedTokenizerFast

        super().__init__(network, processor, provenance)
        file = find(tokenizer, files=(TOKENIZER_FILE,)).path / TOKENIZER_FILE
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
        # GPT-2's first token, as in training; what is padded is masked.
        self.tokenizer.add_special_tokens({"pad_token": "!"})
        self.provenance["tokenizer"] = tokenizer

    @classmethod
    def before_loading(cls, weights: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See `Pretrained.before_loading`; a missing package is said before anything is fetched."""
        import_package()
        return {}

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool) -> tuple[Any, Any]:
        """See `Pretrained.load`; reads the .pth file, or the one in a folder, with torch's `weights_only`."""
        path = folder if folder.is_file() else folder / FILE
        return build(torch.load(path, map_location="cpu", weights_only=True)["model"]), None

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


def import_package() -> Any:
    """Imports the package's `models.clap`.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    import transformers

    try:
        # It switches all warnings off, and the library's messages, when it is imported.
        with warnings.catch_warnings(), quiet(transformers):
            from msclap.models import clap
    except ImportError as error:
        raise UserError(
            f"the family msclap needs the package msclap, which cannot be imported ({error}); install it with "
            "`pip install --no-deps msclap torchlibrosa` (without --no-deps it would put back numpy 1, librosa 0.10 "
            "and transformers 4), or take another family"
        ) from error
    return clap


def build(tensors: Mapping[str, torch.Tensor]) -> torch.nn.ModuleDict:
    """Makes the network that tensors are of, and fills it completely.

    Returns:
        "audio_encoder": (B, 308700) at 44.1 kHz -> (B, 1024) and AudioSet probabilities; "caption_encoder": "base"
        (GPT-2) and "projection".

    Raises:
        ValueError: tensors are missing.
    """
    from transformers import GPT2Config, GPT2Model

    clap = import_package()
    words, positions = (tensors[f"caption_encoder.base.{name}.weight"].shape for name in ("wte", "wpe"))
    blocks = {name.split(".")[3] for name in tensors if name.startswith("caption_encoder.base.h.")}
    sizes = dict(vocab_size=words[0], n_embd=words[1], n_positions=positions[0], n_head=words[1] // 64)
    width, heard = tensors["audio_encoder.projection.linear1.weight"].shape
    # The spectrogram's numbers are in the package's own config module, whatever is given here.
    spectrogram = dict(sample_rate=SAMPLING_RATE, window_size=1024, hop_size=320, mel_bins=64, fmin=50, fmax=8000)
    network = torch.nn.ModuleDict(
        {
            "audio_encoder": clap.AudioEncoder("HTSAT", heard, width, classes_num=527, **spectrogram),
            "caption_encoder": torch.nn.ModuleDict(
                {
                    "base": GPT2Model(GPT2Config(n_layer=len(blocks), **sizes)),
                    "projection": clap.Projection(words[1], width),
                }
            ),
        }
    )
    learned = {name: tensor for name, tensor in tensors.items() if not NOT_LEARNED.fullmatch(name)}
    missing = network.load_state_dict(learned, strict=False).missing_keys
    if missing:
        raise ValueError(f"{len(missing)} of its tensors are missing, the first being {missing[0]}")
    return network
