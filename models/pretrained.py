"""Loads a Hugging Face network from a folder or a hub id, completely or not at all, and remembers where it came from.

Complete means: safetensors weights for every learned tensor, the right architecture, no code from the checkpoint.
Whatever is missing ends in one sentence; nothing is ever left at its random initial values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from models.config import ROOT
from utils.errors import UserError

MAX_BATCH = 16  # images, windows or queries a forward pass
ANOTHER = "name another folder or hub id in the config or with --set ROLE.weights=..."


class Pretrained:
    """A transformers network with its processor; the classes of the roles derive from it.

    Attributes:
        family: name in the role's table.
        network_class, processor_class: names in transformers; imported when a checkpoint is loaded.
        network: in float32 and eval mode, without gradients of its own.
        processor: the checkpoint's own preprocessing and tokenizer.
        provenance: "family", "id" (folder or hub id), "revision", "sha256" (local weights), "license"; None if unknown.
    """

    family: ClassVar[str]
    network_class: ClassVar[str]
    processor_class: ClassVar[str]

    def __init__(self, network: Any, processor: Any, provenance: dict[str, str | None]) -> None:
        self.network = network
        self.processor = processor
        self.provenance = provenance

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path,
        revision: str | None = None,
        license: str | None = None,
        device: str = "cpu",
        **settings: Any,
    ) -> Pretrained:
        """Loads a checkpoint saved with `save_pretrained`.

        Args:
            weights: folder, relative to the repository root unless absolute, or hub id.
            revision: commit, tag or branch of a hub id.
            license: of the weights, where the checkpoint's own config does not say.
            device: where the network runs, for example "cuda".
            settings: keyword arguments of the class.

        Raises:
            UserError: anything is missing or does not fit.
        """
        import transformers

        weights = str(weights)
        folder = local_folder(weights)
        if folder:
            _check_folder(folder)
        where = {"trust_remote_code": False} | ({"revision": revision} if revision and not folder else {})
        with _one_sentence(cls.family, weights), _quiet(transformers):
            network_class = getattr(transformers, cls.network_class)
            source = str(folder or weights)
            config = transformers.AutoConfig.from_pretrained(source, **where)
            wanted = getattr(getattr(network_class, "config_class", None), "model_type", config.model_type)
            if config.model_type != wanted:
                raise ValueError(f"expected a {wanted} checkpoint, found a {config.model_type} one")
            network, report = network_class.from_pretrained(
                source, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **where
            )
            _check_complete(network, report)
            processor = getattr(transformers, cls.processor_class).from_pretrained(source, **where)
        provenance = {
            "family": cls.family,
            "id": weights,
            "revision": None if folder else getattr(config, "_commit_hash", None) or revision,
            "sha256": _sha256(folder) if folder else None,
            "license": license or getattr(config, "license", None),
        }
        return cls(network.to(device).eval().requires_grad_(False), processor, provenance, **settings)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def pixel_values(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Images as the checkpoint's own processor prepares them.

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.

        Returns:
            (N, 3, h, w) float32.
        """
        # Without the channels named, an image of height 3 would be taken for (3, W, C).
        return self.processor.image_processor(
            images=list(images), input_data_format="channels_last", return_tensors="pt"
        )["pixel_values"]

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients; float16 where it pays, on CUDA. Results are to be turned back with `.float()`."""
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=self.device.type == "cuda"):
            yield


def local_folder(weights: str) -> Path | None:
    """The folder that `weights` names, whether it exists or not; None for a hub id ("name" or "owner/name")."""
    folder = ROOT / Path(weights).expanduser()
    parts = Path(weights).parts
    is_path = weights.startswith((".", "~")) or len(parts) > 2 or (len(parts) == 2 and (ROOT / parts[0]).is_dir())
    return folder if folder.is_dir() or is_path else None


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        missing = "config.json" if folder.is_dir() else "the folder itself"
    elif not any(folder.glob("*.safetensors")):
        missing = "model.safetensors"
    else:
        return
    out = ANOTHER
    if folder.is_relative_to(ROOT / "models" / "tiny"):
        out = f"restore it from the repository, rebuild it with `python -m models.tiny.train`, or {ANOTHER}"
    raise UserError(f"cannot load the weights in {folder}: {missing} is not there; {out}")


def _check_complete(network: torch.nn.Module, report: dict[str, Any]) -> None:
    tensors = network.state_dict()
    # Integer buffers are tables the class computes (positions, relative indices), not something learned.
    missing = [name for name in report["missing_keys"] if name not in tensors or tensors[name].is_floating_point()]
    lacking = sorted(missing) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise ValueError(f"{len(lacking)} of its tensors are missing or of another shape, the first being {lacking[0]}")


@contextmanager
def _one_sentence(family: str, weights: str) -> Iterator[None]:
    """Turns what goes wrong inside the library into a UserError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
        out = "" if local_folder(weights) else f"fetch it once while connected (`hf download {weights}`), or "
        raise UserError(f"cannot load {weights} as {family}: {reason}; {out}{ANOTHER}") from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keeps progress bars and load reports out of a script's output; what they report is checked here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
