import importlib
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

import utils.types
from models.segmenter.asda import AsdaSegmenter, imports_from
from models.segmenter.open_clip import as_openai, empty_openai_clip
from tests.checkpoints import asda
from utils.errors import UserError
from utils.types import Query


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return asda.save_asda(tmp_path_factory.mktemp("asda"))


@pytest.fixture(scope="module")
def entry(folder):
    return asda.entry(str(folder))


@pytest.fixture(scope="module")
def segmenter(entry):
    return AsdaSegmenter.from_pretrained(**entry)


@pytest.fixture
def copy(folder, tmp_path):
    """A checkout and checkpoint to damage."""
    return shutil.copytree(folder, tmp_path / "asda")


def test_it_loads_and_our_packages_are_ours_again(entry, capfd):
    ours = {name: sys.modules[name] for name in sys.modules if name.split(".")[0] in ("utils", "datasets", "models")}
    path = list(sys.path)
    AsdaSegmenter.from_pretrained(**entry)
    assert {name: sys.modules.get(name) for name in ours} == ours and sys.path == path
    assert not [name for name in sys.modules if name.split(".")[0] in ("model", "clip") or name == "utils.utils"]
    assert Path(importlib.import_module("utils.errors").__file__).parent.name == "utils"
    assert capfd.readouterr() == ("", "")
    assert not list(Path(entry["checkout"]).rglob("*.pyc"))


def test_the_checkpoints_numbers_are_in_the_network(segmenter, folder):
    content = torch.load(folder / "asda_model_best.pth.tar", weights_only=False)
    for name, tensor in segmenter.network.state_dict().items():
        torch.testing.assert_close(tensor, content["state_dict"][name])
    assert not segmenter.network.training and not any(p.requires_grad for p in segmenter.network.parameters())


def test_it_equals_the_networks_forward_pass_without_the_padding(segmenter):
    image = np.random.default_rng(0).integers(0, 256, (208, 416, 3), dtype=np.uint8)  # fits into 416 x 416 as it is
    square = np.full((416, 416, 3), (124, 116, 104), np.uint8)
    square[104:312] = image
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = torch.from_numpy((square / 255 - mean) / std).permute(2, 0, 1)[None].float()
    torch.testing.assert_close(segmenter.pixel_values([image]), pixels, atol=1e-5, rtol=0)
    tokens = torch.zeros(1, 17, dtype=torch.long)
    tokens[0, :6] = torch.tensor([49406, 320, 1125, 539, 5084, 49407])  # CLIP's, of "a photo of guitar"
    with torch.no_grad():
        logits = segmenter.network(pixels, tokens, tokens != 0)
    expected = interpolate(logits.sigmoid(), (416, 416), mode="bilinear")[0, 0, 104:312].numpy()
    expected = np.interp(expected, (0, 0.35, 1), (0, 0.5, 1))
    score_map = segmenter.segment([image], [[Query("A photo of Guitar")]])[0]
    np.testing.assert_allclose(score_map, expected, atol=1e-5)
    assert score_map.std() > 0.05


@pytest.fixture(scope="module")
def half_white():
    image = np.zeros((416, 416, 3), np.uint8)
    image[:, :208] = 255
    return image


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """0.45 where it is white and 0.2 where it is black."""
    return asda.entry(str(asda.save_known(tmp_path_factory.mktemp("known"), bright=0.45, dark=0.2)))


def test_what_the_authors_cut_at_is_one_half(known, half_white):
    there = half_white[..., 0] > 0
    score_map = AsdaSegmenter.from_pretrained(**known).segment([half_white], [[Query("dog")]])[0]
    np.testing.assert_array_equal(score_map > 0.5, there)
    expected = np.where(there, 0.5 + 0.1 / 1.3, 0.5 * 0.2 / 0.35)
    np.testing.assert_allclose(np.delete(score_map - expected, [207, 208], axis=1), 0, atol=1e-4)  # between: bilinear
    plain = AsdaSegmenter.from_pretrained(**known, threshold=0.5).segment([half_white], [[Query("dog")]])[0]
    np.testing.assert_allclose([plain.max(), plain.min()], [0.45, 0.2], atol=1e-4)
    assert not (plain > 0.5).any()


def test_presence_is_the_peak_of_the_map_at_the_same_cut(known, half_white):
    texts = ["dog", " ", *["cat"] * 20]
    found = AsdaSegmenter.from_pretrained(**known).presence([half_white, np.zeros_like(half_white)], texts)
    for row, peak in zip(found, (0.5 + 0.1 / 1.3, 0.5 * 0.2 / 0.35), strict=True):
        np.testing.assert_allclose(row, [peak, 0, *[peak] * 20], atol=1e-4)


@pytest.mark.parametrize("resize_mode", ["letterbox", "squash"])
def test_a_pixel_of_the_map_is_the_same_pixel_of_the_image(entry, resize_mode, monkeypatch):
    """A network that answers with the brightness it was shown: the map must lie where the image is bright."""
    segmenter = AsdaSegmenter.from_pretrained(**entry, resize_mode=resize_mode, threshold=0.5)

    def bright(pixels, *words):
        return interpolate(pixels.mean(1, keepdim=True) * 20, (208, 208), mode="area")

    monkeypatch.setattr(segmenter.network, "forward", bright)
    image = np.zeros((104, 832, 3), np.uint8)
    image[32:64, 600:720] = 255
    score_map = segmenter.segment([image], [[Query("dog")]])[0]
    wrong = np.argwhere((score_map > 0.5) != (image[..., 0] > 127)).tolist()
    assert set(map(tuple, wrong)) <= {(32, 600), (32, 719), (63, 600), (63, 719)}  # bilinear corners


def test_long_sentences_are_cut_to_the_paper_s_17_tokens(segmenter):
    tokens = segmenter.processor(["dog " * 40, "dog"])
    assert tokens.shape == (2, 17) and tokens[0, -1] == 49407 and tokens[1].tolist() == [49406, 1929, 49407] + [0] * 14


def test_where_it_came_from(segmenter, entry, copy):
    assert segmenter.provenance["id"] == entry["weights"] and segmenter.provenance["revision"] is None
    assert len(segmenter.provenance["sha256"]) == 64 and segmenter.provenance["family"] == "asda"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(copy / "checkout")]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})
    entry = asda.entry(str(copy)) | {"revision": None, "trust_remote_code": False, "license": "mine"}
    provenance = AsdaSegmenter.from_pretrained(**entry).provenance
    revision = provenance["revision"]
    assert provenance["license"] == "mine" and provenance["trust_remote_code"] is True
    assert len(revision) == 40 and set(revision) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"checkout": ""}, "needs a checkout .* found none; `git clone https://github.com/swagger-coder/ASDA`"),
        ({"checkout": "/nowhere"}, "model/model.py in it, found /nowhere; `git clone"),
        ({"weights": "/nowhere/asda.pth"}, "the file is not there; no checkpoint is published: train one"),
        ({"dtype": "bfloat16"}, "expected dtype float32.*found bfloat16"),
    ],
)
def test_what_is_missing_ends_in_one_sentence(entry, change, sentence):
    with pytest.raises(UserError, match=sentence):
        AsdaSegmenter.from_pretrained(**entry | change)


def test_a_missing_tensor_is_never_random(copy):
    entry = asda.entry(str(copy))
    content = torch.load(entry["weights"], weights_only=False)
    content["state_dict"].pop("fusion.visual.bias")
    torch.save(content, entry["weights"])
    with pytest.raises(UserError, match="cannot load .* as asda: .*fusion.visual.bias.*this very checkout has trained"):
        AsdaSegmenter.from_pretrained(**entry)


def test_a_checkout_that_lacks_a_file_leaves_nothing_behind_either(copy):
    (copy / "checkout" / "model" / "modules.py").unlink()
    said = "as asda: the code in .*checkout cannot be imported: .*model.modules.*; name .* this very checkout"
    with pytest.raises(UserError, match=said):
        AsdaSegmenter.from_pretrained(**asda.entry(str(copy)))
    assert "model" not in sys.modules and "utils.utils" not in sys.modules


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_checkpoint_runs_no_code(copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = asda.entry(str(copy))
    torch.save({"state_dict": Evil()}, entry["weights"])
    assert b"mkdir" in pickle.dumps(Evil())
    with pytest.raises(UserError, match="cannot load .* as asda: "):
        AsdaSegmenter.from_pretrained(**entry)
    assert not (tmp_path / "ran").exists()


def small_clip():
    from open_clip.model import CLIP

    torch.manual_seed(0)
    vision = dict(image_size=32, layers=2, width=32, head_width=16, patch_size=8)
    text = dict(context_length=17, vocab_size=100, width=16, heads=2, layers=2)
    return CLIP(24, vision, text).eval()


def test_the_stand_in_for_clip_computes_what_open_clip_does():
    network = small_clip()
    tokens, pixels = torch.randint(1, 99, (3, 17)), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        text, image = network.encode_text(tokens), network.encode_image(pixels)
        as_openai(network)
        x = (network.token_embedding(tokens) + network.positional_embedding).transpose(0, 1)  # tokens first
        for block in network.transformer.resblocks:
            block.attn_mask = torch.full((17, 17), -torch.inf).triu(1)  # as ASDA sets it
            x = block(x)
        x = network.ln_final(x.transpose(0, 1))[range(3), tokens.argmax(1)] @ network.text_projection
        torch.testing.assert_close(x, text, atol=1e-5, rtol=1e-5)
        y = network.visual.conv1(pixels).flatten(2).transpose(1, 2)
        first = network.visual.class_embedding.expand(2, 1, -1)
        y = network.visual.ln_pre(torch.cat([first, y], 1) + network.visual.positional_embedding).transpose(0, 1)
        for block in network.visual.transformer.resblocks:
            y = y + block.attention(block.ln_1(y))  # as ASDA calls it
            y = y + block.mlp(block.ln_2(y))
        y = network.visual.ln_post(y.transpose(0, 1)[:, 0]) @ network.visual.proj
        torch.testing.assert_close(y, image, atol=1e-5, rtol=1e-5)


def test_the_checkout_is_given_that_clip(copy, monkeypatch):
    known = {"ViT-B/16": as_openai(small_clip())}
    monkeypatch.setattr("models.segmenter.asda.empty_openai_clip", lambda name: known[name])
    model = copy / "checkout" / "model" / "model.py"
    line = "        self.fusion = Fusion(4)\n"
    load = "        self.clip = clip.load(clip_model, jit=False, device='cpu')[0].cuda()\n"
    model.write_text(model.read_text().replace(line, line + load))
    entry = asda.entry(str(copy))
    content = torch.load(entry["weights"], weights_only=False)
    state = small_clip().state_dict()
    content["state_dict"] |= {f"module.clip.{name}": tensor + 1 for name, tensor in state.items()}
    torch.save(content, entry["weights"])
    network = AsdaSegmenter.from_pretrained(**entry).network
    torch.testing.assert_close(network.clip.visual.proj, state["visual.proj"] + 1)
    with pytest.raises(ValueError, match="there is no CLIP called ViT-X"):
        monkeypatch.undo()
        empty_openai_clip("ViT-X")


@pytest.fixture
def foreign(tmp_path):
    """`utils` without and `models` with an __init__.py, both names of ours; `alone.py` imports them and a stand-in."""
    for name, content in {
        "utils/types.py": "WHOSE = 'theirs'",
        "models/__init__.py": "from utils.types import WHOSE",
        "alone.py": "import models, stand_in\nWHOSE = models.WHOSE + stand_in.NAME",
        "broken.py": "import utils.types\nraise RuntimeError('broken')",
        "not-a-package/x.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.fixture
def stand_in():
    module = ModuleType("stand_in")
    module.NAME = " and a stand-in"
    return {"stand_in": module}


def ours():
    names = ("utils", "models", "alone", "broken", "stand_in")
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] in names}


def test_their_packages_are_theirs_inside_and_ours_afterwards(foreign, stand_in, monkeypatch):
    before, path = ours(), list(sys.path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with imports_from(foreign, stand_in):
        assert importlib.import_module("alone").WHOSE == "theirs and a stand-in"
        assert sys.modules["utils.types"] is not utils.types
    assert ours() == before and sys.path == path and sys.modules["utils.types"] is utils.types
    assert not list(foreign.rglob("*.pyc")) and sys.dont_write_bytecode is False
    assert importlib.import_module("utils.media.images").__name__ == "utils.media.images"


def test_so_they_are_when_it_breaks(foreign, stand_in):
    before, path = ours(), list(sys.path)
    with pytest.raises(RuntimeError, match="broken"), imports_from(foreign, stand_in):
        importlib.import_module("broken")
    assert ours() == before and sys.path == path


def test_without_it_ours_would_be_found(foreign, monkeypatch):
    """Why the folders without an __init__.py are handled."""
    monkeypatch.syspath_prepend(str(foreign))
    monkeypatch.delitem(sys.modules, "utils")
    assert importlib.import_module("utils").__file__ == utils.__file__
