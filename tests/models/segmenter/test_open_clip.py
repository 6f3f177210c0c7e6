import json
import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from models.segmenter.open_clip import ClipScorer
from utils.errors import UserError

CLIP, SIGLIP = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "timm/ViT-B-16-SigLIP"
TEXTS = ["A photo of guitar", "a dog", "", "a sentence " * 60]


@pytest.fixture(scope="module", params=[CLIP, SIGLIP])
def folder(request, tiny):
    return tiny(request.param)


@pytest.fixture(scope="module")
def scorer(folder):
    return ClipScorer.from_pretrained(folder)


@pytest.fixture(scope="module")
def library(folder):
    """(network, transform, tokenizer) loaded by open_clip alone."""
    import open_clip

    network, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return network.eval(), transform, open_clip.get_tokenizer(f"local-dir:{folder}")


@pytest.fixture
def copy(tiny, tmp_path):
    """A CLIP to damage."""
    return shutil.copytree(tiny(CLIP), tmp_path / "clip")


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)) for side in (40, 7, 1, 300)]


def test_texts_are_embedded_as_the_library_does(scorer, library):
    network, _, tokenizer = library
    with torch.no_grad():
        expected = network.encode_text(tokenizer(TEXTS), normalize=True).numpy()
    embeds = scorer.encode_text(TEXTS)
    assert embeds.dtype == np.float32 and embeds.shape == (4, scorer.embed_dim)
    np.testing.assert_allclose(embeds, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeds, axis=1), 1, atol=1e-5)
    assert np.abs(embeds[0] - embeds[1]).max() > 0.01
    np.testing.assert_allclose(scorer.encode_text(TEXTS * 10), np.tile(embeds, (10, 1)), atol=1e-5)
    assert scorer.encode_text([]).shape == (0, scorer.embed_dim)


def test_pictures_are_prepared_and_embedded_as_the_library_does(scorer, library, pictures):
    network, transform, _ = library
    pixels = torch.stack([transform(picture) for picture in pictures])
    torch.testing.assert_close(scorer.prepare(pictures), pixels, atol=1e-5, rtol=0)
    with torch.no_grad():
        expected = network.encode_image(pixels, normalize=True)
    torch.testing.assert_close(scorer.encode_pixels(pixels), expected, atol=1e-5, rtol=0)
    assert scorer.logit_scale == pytest.approx(network.logit_scale.exp().item())


def test_the_colour_that_says_nothing_becomes_zero(scorer):
    grey = Image.new("RGB", (50, 50), scorer.mean_colour)
    assert scorer.prepare([grey]).abs().max() < 0.01


def test_half_precision(folder, scorer, pictures):
    half = ClipScorer.from_pretrained(folder, dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    np.testing.assert_allclose(half.encode_text(TEXTS), scorer.encode_text(TEXTS), atol=0.05)
    pixels = scorer.prepare(pictures)
    torch.testing.assert_close(half.encode_pixels(pixels), scorer.encode_pixels(pixels), atol=0.05, rtol=0)


def test_loading_is_silent_and_leaves_the_log_alone(folder, capfd):
    root = logging.getLogger()
    before = list(root.handlers), root.level, root.manager.disable
    ClipScorer.from_pretrained(folder)
    assert capfd.readouterr() == ("", "")
    assert (list(root.handlers), root.level, root.manager.disable) == before


def test_the_tokenizer_must_be_in_the_folder(tiny, tmp_path):
    copy = shutil.copytree(tiny(SIGLIP), tmp_path / "siglip")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="as open_clip: its tokenizer is not in the folder .expected one of tok"):
        ClipScorer.from_pretrained(str(copy))


def test_parts_that_would_be_fetched_are_refused(copy):
    path = copy / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = "xlm-roberta-base"
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="its text tower is xlm-roberta-base, which open_clip would fetch from the hub"):
        ClipScorer.from_pretrained(str(copy))


def test_a_missing_tensor_is_never_random(copy):
    tensors = load_file(copy / "open_clip_model.safetensors")
    tensors.pop("visual.proj")
    save_file(tensors, copy / "open_clip_model.safetensors")
    with pytest.raises(UserError, match="cannot load .* as open_clip: .*visual.proj"):
        ClipScorer.from_pretrained(str(copy))


def test_pickled_weights_are_passed_over(copy):
    tensors = load_file(copy / "open_clip_model.safetensors")
    torch.save({name: tensor + 1 for name, tensor in tensors.items()}, copy / "open_clip_pytorch_model.bin")
    loaded = ClipScorer.from_pretrained(str(copy))
    torch.testing.assert_close(loaded.network.visual.proj, tensors["visual.proj"])
    (copy / "open_clip_model.safetensors").rename(copy / "model.safetensors")  # open_clip itself takes the .bin here
    loaded = ClipScorer.from_pretrained(str(copy))
    torch.testing.assert_close(loaded.network.visual.proj, tensors["visual.proj"])
    (copy / "model.safetensors").unlink()
    with pytest.raises(UserError, match="safetensors is not there"):
        ClipScorer.from_pretrained(str(copy))


def test_a_checkpoint_of_transformers_is_named(tiny):
    with pytest.raises(UserError, match="expected a checkpoint of open_clip, found no open_clip_config.json"):
        ClipScorer.from_pretrained(tiny("CIDAS/clipseg-rd64"))
