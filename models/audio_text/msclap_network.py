"""The msclap network of 2023: architecture from the optional package, tensors from its pickle."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from models.checkpoints import hub
from models.checkpoints.hub import ANOTHER, looked_at
from models.network import quiet
from utils.errors import UserError

INSTALL = "pip install --no-deps msclap torchlibrosa"
FILE = "CLAP_weights_2023.pth"
SAMPLING_RATE, SECONDS = 44100, 7  # of a window
# Masks that GPT-2 kept among its tensors in older releases of transformers, and a number only training needs.
NOT_LEARNED = re.compile(r"caption_encoder\.base\.h\.\d+\.attn\.(masked_)?bias|logit_scale")


def load(path: Path) -> torch.nn.ModuleDict:
    """Makes the network the tensors of a file are of, and fills it completely.

    Args:
        path: the .pth file, read with torch's `weights_only`: no code in it is run.

    Returns:
        "audio_encoder": (B, 308700) at 44.1 kHz -> (B, 1024) and AudioSet probabilities; "caption_encoder": "base"
        (GPT-2) and "projection".

    Raises:
        UserError: the package cannot be imported, or the file does not hold the weights of 2023.
    """
    import_package()
    try:
        return _build(torch.load(path, map_location="cpu", weights_only=True)["model"])
    except (UnpicklingError, RuntimeError, KeyError, ValueError, TypeError, EOFError) as error:
        reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
        raise UserError(f"cannot load {path} as msclap of 2023: {reason}; fetch {FILE} again, or {ANOTHER}") from error


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
            f"`{INSTALL}` (without --no-deps it would put back numpy 1, librosa 0.10 and transformers 4), or take "
            "another family"
        ) from error
    return clap


def find(weights: str, revision: str | None) -> tuple[Path, str | None]:
    """Finds the file, fetching it where a hub id has none here yet.

    Args:
        weights: the file, a folder that holds it, or hub id.
        revision: commit, tag or branch of a hub id.

    Returns:
        The file, and the hub's commit; None for a local file.

    Raises:
        UserError: it is not there, and why.
    """
    file = next((path for path in looked_at(weights) if path.is_file()), None)
    if file:
        return file, None
    if weights.endswith(".pth"):
        raise UserError(f"cannot load {weights}: the file is not there; {ANOTHER}")
    checkpoint = hub.find(weights, revision, files=(FILE,))
    return checkpoint.folder / FILE, checkpoint.revision


def _build(tensors: Mapping[str, torch.Tensor]) -> torch.nn.ModuleDict:
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


def sha256(path: Path) -> str:
    """Of a file, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
