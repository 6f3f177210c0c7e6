"""PE-AV's video branch: the library's own logits, regions as crops, and the rest as without it."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch

from models.audio_text.pe_av import PeAvEncoder
from models.audio_text.pe_av_pictures import PeAvPicturesEncoder
from utils.errors import UserError

RATE = 48000


@pytest.fixture(scope="module")
def folder(tiny):
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints remarks on its own docstrings
        return tiny("facebook/pe-av-small")


@pytest.fixture(scope="module")
def encoder(folder):
    return PeAvPicturesEncoder.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def sound(tones):
    return tones[0][0]


def squares(*places: tuple[int, int, int]) -> np.ndarray:
    """(R, 40, 60) float32, 1 in a square (row, column, side) each."""
    regions = np.zeros((len(places), 40, 60), np.float32)
    for region, (row, column, side) in zip(regions, places, strict=True):
        region[row : row + side, column : column + side] = 1
    return regions


def test_the_logits_are_the_librarys_own(encoder, folder, sound, image, monkeypatch):
    """All of a square picture, without a margin: no background is left to blur."""
    from transformers import PeAudioVideoModel

    monkeypatch.setattr("models.audio_text.pe_av_pictures.CONTEXT", 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        library = PeAudioVideoModel.from_pretrained(folder).eval()
    square = np.ascontiguousarray(image[:40, :40])
    frames = torch.from_numpy(square).permute(2, 0, 1)[None]
    pixels = encoder.processor.video_processor([frames], return_tensors="pt")["pixel_values_videos"]
    assert pixels.shape == (1, 1, 3, 32, 32) and -1 <= pixels.min() < pixels.max() <= 1
    audio = encoder.processor.feature_extractor(sound, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        outputs = library(input_values=audio["input_values"], pixel_values_videos=pixels)
        expected = (outputs.logits_audio_video - library.audio_video_logit_bias)[0].numpy()
    [found] = encoder.match_regions([sound], [RATE], [square], [np.ones((1, 40, 40), np.float32)])
    assert found.shape == (1,) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_regions_differ_and_each_is_seen_by_itself(encoder, sound, image):
    regions = squares((0, 0, 20), (15, 30, 25), (39, 59, 1))
    [together] = encoder.match_regions([sound], [RATE], [image], [regions])
    alone = [encoder.match_regions([sound], [RATE], [image], [regions[i : i + 1]])[0][0] for i in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert np.ptp(together) > 1e-3
    assert encoder.match_regions([sound], [RATE], [image], [squares()])[0].shape == (0,)
    assert encoder.match_regions([], [], [], []) == []


def test_what_lies_far_from_a_region_does_not_count(encoder, sound, image):
    changed = image.copy()
    changed[:, 40:] = 0
    region = squares((5, 5, 15))
    one, other = (encoder.match_regions([sound], [RATE], [some], [region])[0] for some in (image, changed))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_logits_are_published_ones_whatever_scores_says(encoder, folder, sound, image):
    published = PeAvPicturesEncoder.from_pretrained(str(folder), scores="published")
    asked = [sound], [RATE], [image], [squares((0, 0, 20), (15, 30, 25))]
    np.testing.assert_allclose(published.match_regions(*asked)[0], encoder.match_regions(*asked)[0], atol=1e-4)


def test_sounds_and_sentences_are_as_without_pictures(encoder, folder, sound):
    plain = PeAvEncoder.from_pretrained(str(folder))
    np.testing.assert_allclose(encoder.encode_audio([sound], [RATE]), plain.encode_audio([sound], [RATE]), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_text(["a dog"]), plain.encode_text(["a dog"]), atol=1e-5)


def test_a_checkpoint_without_a_video_branch_is_refused(folder, tmp_path):
    import json
    import shutil

    copy = shutil.copytree(folder, tmp_path / "audio")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "pe_audio"}))
    with pytest.raises(UserError, match="as pe_av_pictures: expected a pe_audio_video checkpoint"):
        PeAvPicturesEncoder.from_pretrained(str(copy))


def test_nothing_is_printed(folder, capfd):
    PeAvPicturesEncoder.from_pretrained(str(folder))
    assert capfd.readouterr() == ("", "")
