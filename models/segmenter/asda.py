"""ASDA, the paper's referring segmentation model, from the user's own checkout and checkpoint."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from models.checkpoints.hub import looked_at
from models.network import MAX_BATCH, Pretrained
from models.segmenter import openai_clip
from models.segmenter.asda_checkout import imports_from
from models.segmenter.letterbox import Placement, placed, put
from models.segmenter.low_res_maps import strongest_in_frame
from models.segmenter.text_only import TextOnly
from utils.errors import UserError
from utils.types import Query

GET = "`git clone https://github.com/swagger-coder/ASDA`, and set segmenter.checkout to it"
# As ASDA's test.py and the paper's demo build and feed it.
ARGUMENTS = {"clip_model": "ViT-B/16", "tunelang": True, "num_query": 16, "fusion_dim": 768}
SIZE = 416
TOKENS = 17
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PADDING = (124, 116, 104)  # ASDA's own; the paper's demo pads with 114, which the weights have never seen
RESIZE_MODES = ("letterbox", "squash")


class AsdaSegmenter(TextOnly, Pretrained):
    """ASDA: CLIP ViT-B/16 at 416 pixels with adaptive selection of its layers, trained on RefCOCO.

    Neither its authors nor the paper's publish a checkpoint, so one has to be trained with the checkout's train.py. The
    adapter takes from the checkout the module `model.model` and what that imports, under a private import (its
    packages are called `utils`, `model` and `dataset`). The CLIP inside is open_clip's of the same architecture, left
    empty: the checkpoint holds every tensor of it, so OpenAI's weights, which the checkout would download, are not
    needed. The checkout's code is run because the config names its folder; nothing of it is fetched.

    The checkpoint is a .pth.tar, an exception from safetensors for a file the user names: it is opened by PyTorch's
    restricted unpickler, which builds tensors, containers and numbers and runs no code of the file.

    Letterbox padding is cut off again and the map stretched to the image, so a pixel of the map is the same pixel of
    the image; the released code of the paper leaves the padding in. "squash" is what it calls center_crop and uses by
    default in its evaluation. Its forward pass encodes image and text together, so an image is encoded once a query.

    Verified: model.py and what else of the checkout builds and feeds the network, and the paper's code that calls it,
    by reading them; the stand-in for CLIP and the tokens against OpenAI's package; the resizing against OpenCV's. Not
    verified: the checkout's position_encoding.py, which was not at hand, and any number of a trained checkpoint.

    References: Yue et al., "Adaptive Selection based Referring Image Segmentation", ACM Multimedia 2024;
    https://github.com/swagger-coder/ASDA (MIT licence).
    """

    family = "asda"

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        checkout: str = "",
        resize_mode: str = "letterbox",
    ) -> None:
        """Holds a loaded network.

        Args:
            network: the checkout's Model.
            processor: sentences -> (N, 17) int64, CLIP's tokens.
            provenance: where it came from.
            checkout: folder of the repository, absolute or relative to the current folder or to ours.
            resize_mode: how an image becomes square: "letterbox", as in training, or "squash".

        Raises:
            UserError: no such resize_mode.
        """
        super().__init__(network, processor, provenance)
        if resize_mode not in RESIZE_MODES:
            raise UserError(f"expected resize_mode to be one of {', '.join(RESIZE_MODES)}, found {resize_mode!r}")
        self.checkout = checkout
        self.resize_mode = resize_mode

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path,
        revision: str | None = None,
        license: str | None = None,
        dtype: str = "float32",
        trust_remote_code: bool = False,
        device: str = "cpu",
        checkout: str = "",
        **settings: Any,
    ) -> AsdaSegmenter:
        """Builds the checkout's network and fills it from a checkpoint.

        Args:
            weights: the .pth.tar file that train.py wrote, absolute or relative to the current folder or to ours.
            revision: of a file there is none; what is recorded is the checkout's commit.
            license: of the weights.
            dtype: "float32".
            trust_remote_code: nothing is remote; the code that runs is the checkout's.
            device: where the network runs.
            checkout: see `__init__`.
            settings: keyword arguments of the class.

        Raises:
            UserError: anything is missing or does not fit.
        """
        file, folder = (_found(str(path)) for path in (weights, checkout))
        if not checkout or not (folder / "model" / "model.py").is_file():
            found = f"found {folder}" if checkout else "found none"
            raise UserError(
                f"{cls.family} needs a checkout of its repository with model/model.py in it, {found}; {GET}"
            )
        if not file.is_file():
            raise UserError(
                f"cannot load {weights} as {cls.family}: the file is not there; no checkpoint is published: train one "
                "with the checkout's train.py and name its saved_models/..._model_best.pth.tar"
            )
        if dtype != "float32":
            raise UserError(f"expected dtype float32, in which {cls.family} was written, found {dtype}")
        try:
            tensors = _read(file)
            network = _build(folder)
            network.load_state_dict(tensors)
        except Exception as error:  # whatever the checkout's code may raise
            reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
            raise UserError(
                f"cannot load {weights} as {cls.family} with the code in {checkout}: {reason}; name a checkpoint that "
                "this very checkout has trained"
            ) from error
        provenance = {
            "family": cls.family,
            "id": str(weights),
            "revision": _commit(folder),
            "sha256": _sha256(file),
            "license": license,
            "dtype": dtype,
            "trust_remote_code": True,
        }
        network = network.to(device).eval().requires_grad_(False)
        return cls(network, _tokenizer(), provenance, checkout=checkout, **settings)

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """Finds in each image what its queries ask for.

        Args:
            images: (H, W, 3) uint8 RGB each, sizes may differ.
            queries: any number per image, asked by their text.

        Returns:
            Per image (H, W) float32 in [0, 1]: the maximum over its queries, all zero for no query.

        Raises:
            UserError: a query has an embedding.
        """
        score_maps = []
        for image, some in zip(images, queries, strict=True):
            placement = self._placement(image)
            maps = self._maps(self.pixel_values([image]), self.texts(some))
            rows = slice(placement.top, placement.top + placement.height)
            columns = slice(placement.left, placement.left + placement.width)
            score_maps.append(strongest_in_frame(maps[:, rows, columns], image.shape[:2]))
        return score_maps

    def pixel_values(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Images as ASDA's loader prepares them: (N, 3, 416, 416) float32."""
        squares = np.stack([put(image, self._placement(image), SIZE, PADDING) for image in images])
        pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
        return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)

    def _placement(self, image: np.ndarray) -> Placement:
        return placed(image.shape[:2], SIZE) if self.resize_mode == "letterbox" else Placement(0, 0, SIZE, SIZE)

    def _maps(self, pixel_values: torch.Tensor, texts: list[str]) -> torch.Tensor:
        """Maps of each text over one square image: (N, 416, 416) float32 in [0, 1]."""
        maps = [torch.zeros(0, SIZE, SIZE, device=self.device)]
        for start in range(0, len(texts), MAX_BATCH):
            tokens = self.processor([text.lower() for text in texts[start : start + MAX_BATCH]]).to(self.device)
            with self.inference():
                logits = self.network(pixel_values.to(self.device).expand(len(tokens), -1, -1, -1), tokens, tokens != 0)
            maps.append(interpolate(logits.float().sigmoid(), size=(SIZE, SIZE), mode="bilinear")[:, 0])
        return torch.cat(maps)


def _found(path: str) -> Path:
    """Where it is; where it would be if it is nowhere."""
    candidates = looked_at(path)
    return next((candidate for candidate in candidates if candidate.exists()), candidates[-1])


def _read(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint that ASDA's train.py wrote, without running anything in it."""
    scalar = np.float64(0).__reduce__()[0]  # the best IoU so far is a numpy number
    harmless = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, type(np.dtype(np.float64))]
    with torch.serialization.safe_globals(harmless):
        content = torch.load(file, map_location="cpu", weights_only=True)
    tensors = content.get("state_dict", content)
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _build(folder: Path) -> Any:
    """The checkout's network, empty."""
    clip = ModuleType("clip")
    clip.load = lambda name, jit=False, device=None: (openai_clip.empty(name), None)
    with imports_from(folder, {"clip": clip}), contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module("model.model").Model(**ARGUMENTS)


def _tokenizer() -> Any:
    """CLIP's tokens, as `clip.tokenize(text, 17, truncate=True)` gives them."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=TOKENS)


def _commit(folder: Path) -> str | None:
    """The checkout's commit, if it is known."""
    if not (folder / ".git").exists():
        return None
    with contextlib.suppress(OSError):
        asked = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True)
        return asked.stdout.strip() or None
    return None


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
