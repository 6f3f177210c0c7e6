"""ASDA, the paper's referring segmentation model, from the user's own checkout and checkpoint."""

from __future__ import annotations

import contextlib
import importlib
import io
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from models.network import MAX_BATCH, Pretrained
from models.segmenter.crops import Placement, letterboxed, placed
from models.segmenter.open_clip import empty_openai_clip
from models.segmenter.score_maps import TextOnly, cut_at, of_words, stretched, strongest
from models.weights import located
from utils.cli import BETWEEN, one_of
from utils.errors import UserError
from utils.types import Query

TRAIN = "no checkpoint is published: train one with the checkout's train.py and name its ..._model_best.pth.tar"
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

    Nobody publishes a checkpoint: one has to be trained with the checkout's train.py. Of the checkout `model.model` is
    run, because the config names its folder; nothing of it is fetched. The CLIP inside is open_clip's of the same
    architecture, empty, since the checkpoint holds every tensor of it. The checkpoint, a .pth.tar, is an exception from
    safetensors for a file the user names: PyTorch's restricted unpickler runs no code of it.

    Letterbox padding is cut off again and the map stretched to the image, so a pixel of the map is the same pixel of
    the image; the released code of the paper leaves the padding in. "squash" is what it calls center_crop and uses by
    default in its evaluation. Its forward pass encodes image and text together, so an image is encoded once a query.

    Verified: what of the checkout builds and feeds the network, and the paper's code that calls it, by reading them;
    the stand-in for CLIP and the tokens against OpenAI's package; the resizing against OpenCV's. Not verified: the
    checkout's position_encoding.py, which was not at hand, and any number of a trained checkpoint.

    References: Yue et al., "Adaptive Selection based Referring Image Segmentation", ACM Multimedia 2024;
    https://github.com/swagger-coder/ASDA (MIT licence).
    """

    family = "asda"
    accepts_sentences = True
    dtypes = ("float32",)  # in which it was written
    remedy = "name a checkpoint that this very checkout has trained"

    def __init__(
        self,
        network: Any,
        processor: Any,
        provenance: dict[str, Any],
        *,
        checkout: str = "",
        resize_mode: Annotated[str, one_of(*RESIZE_MODES)] = "letterbox",
        threshold: Annotated[float, BETWEEN] = 0.35,
    ) -> None:
        """Holds the checkout's Model, and what makes CLIP's tokens of sentences, (N, 17) int64.

        Args:
            checkout: folder of the repository, absolute or relative to the current folder or to ours.
            resize_mode: how an image becomes square: "letterbox", as in training, or "squash".
            threshold: what a map is cut at, 0.35 by its authors: it becomes 0.5 (`cut_at`).
        """
        super().__init__(network, processor, provenance)
        self.checkout = checkout
        self.resize_mode, self.threshold = resize_mode, threshold
        # Of a file there is no revision: what is recorded is the commit of the code.
        self.provenance |= {"revision": _commit(located(checkout)), "trust_remote_code": True}

    @classmethod
    def before_loading(cls, weights: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See `Pretrained.before_loading`."""
        checkout = settings.get("checkout") or ""
        folder = located(checkout)
        if not checkout or not (folder / "model" / "model.py").is_file():
            found = f"found {folder}" if checkout else "found none"
            raise UserError(f"asda needs a checkout of its repository with model/model.py in it, {found}; {GET}")
        if not located(weights).is_file():
            raise UserError(f"cannot load {weights} as asda: the file is not there; {TRAIN}")
        return {"checkout": folder}

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool, checkout: Path) -> tuple[Any, Any]:
        """See `Pretrained.load`; the folder is the .pth.tar file that train.py wrote."""
        from open_clip.tokenizer import SimpleTokenizer

        try:
            network = _build(checkout)
        except ImportError as error:
            raise ValueError(f"the code in {checkout} cannot be imported: {error}") from error
        network.load_state_dict(_read(folder))
        return network, SimpleTokenizer(context_length=TOKENS)  # as `clip.tokenize(text, 17, truncate=True)`

    def segment(self, images: Sequence[np.ndarray], queries: Sequence[Sequence[Query]]) -> list[np.ndarray]:
        """See `models.roles.Segmenter`; queries are asked by their text.

        Raises:
            UserError: a query has an embedding.
        """
        score_maps = []
        for image, some in zip(images, queries, strict=True):
            size = image.shape[:2]
            values = (stretched(one, size) for maps in self._maps(image, self.texts(some)) for one in maps)
            score_maps.append(cut_at(strongest(values, size), self.threshold))
        return score_maps

    @of_words
    def presence(self, images: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """See `models.roles.Segmenter`; a map's peak: the whole forward pass, as no part of it tells this alone."""
        peaks = [torch.cat([maps.amax((1, 2)) for maps in self._maps(image, texts)]) for image in images]
        return cut_at(torch.stack(peaks).cpu().numpy(), self.threshold)

    def pixel_values(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Images as ASDA's loader prepares them: (N, 3, 416, 416) float32."""
        squares = np.stack([letterboxed(image, self._placement(image), SIZE, PADDING) for image in images])
        pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
        return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)

    def _placement(self, image: np.ndarray) -> Placement:
        return placed(image.shape[:2], SIZE) if self.resize_mode == "letterbox" else Placement(0, 0, SIZE, SIZE)

    def _maps(self, image: np.ndarray, texts: Sequence[str]) -> Iterator[torch.Tensor]:
        """Maps of each text over the image in its place in the square, padding cut off: (N, h, w) float32 in [0, 1]."""
        placement, pixel_values = self._placement(image), self.pixel_values([image]).to(self.device)
        rows = slice(placement.top, placement.top + placement.height)
        columns = slice(placement.left, placement.left + placement.width)
        for start in range(0, len(texts), MAX_BATCH):
            tokens = self.processor([text.lower() for text in texts[start : start + MAX_BATCH]]).to(self.device)
            with self.inference():
                logits = self.network(pixel_values.expand(len(tokens), -1, -1, -1), tokens, tokens != 0)
            maps = interpolate(logits.float().sigmoid(), size=(SIZE, SIZE), mode="bilinear")
            yield maps[:, 0, rows, columns]


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
    clip.load = lambda name, jit=False, device=None: (empty_openai_clip(name), None)
    with imports_from(folder, {"clip": clip}), contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module("model.model").Model(**ARGUMENTS)


@contextlib.contextmanager
def imports_from(checkout: Path, stand_ins: Mapping[str, ModuleType]) -> Iterator[None]:
    """While it lasts, what the checkout calls `utils` is its own; afterwards `utils` is ours again.

    Objects made from its classes go on working, as long as they import nothing more by those names. Other threads must
    not import meanwhile.

    Args:
        checkout: folder whose packages and modules take precedence.
        stand_ins: modules that the checkout is to find under these names in place of installed ones.
    """
    folders = [path for path in checkout.iterdir() if path.is_dir() and path.name.isidentifier()]
    theirs = {path.stem for path in checkout.glob("*.py")} | {path.name for path in folders} | set(stand_ins)

    def hide() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in theirs}

    path, writes_bytecode, ours = list(sys.path), sys.dont_write_bytecode, hide()
    try:
        for folder in folders:  # without an __init__.py a real package further down the path would come before it
            if not (folder / "__init__.py").is_file():
                sys.modules[folder.name] = ModuleType(folder.name)
                sys.modules[folder.name].__path__ = [str(folder)]
        sys.modules.update(stand_ins)
        sys.path.insert(0, str(checkout))
        sys.dont_write_bytecode = True  # the checkout is not ours to write into
        importlib.invalidate_caches()
        yield
    finally:
        hide()
        sys.modules.update(ours)
        sys.path[:], sys.dont_write_bytecode = path, writes_bytecode


def _commit(folder: Path) -> str | None:
    """The checkout's commit, if it is known."""
    if not (folder / ".git").exists():
        return None
    with contextlib.suppress(OSError):
        asked = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True)
        return asked.stdout.strip() or None
    return None
