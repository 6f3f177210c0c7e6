"""What `segment` takes: the same picture and sound in every form, and one sentence for every other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from soundfile import write

from utils.demo.inputs import checked, overrides_of, sample_of
from utils.errors import UserError

RATE = 8000
TONE = (16384 * np.sin(np.arange(4000) / 5)).astype(np.int16)
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_paths_arrays_and_pil_images_are_one_picture(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "dog.png")
    for image in (tmp_path / "dog.png", str(tmp_path / "dog.png"), PIXELS, Image.fromarray(PIXELS)):
        sample = sample_of(image, (TONE, RATE))
        np.testing.assert_array_equal(sample.image, PIXELS)
        assert sample.size == (30, 40) and sample.id == ("answer" if not isinstance(image, (str, Path)) else "dog")


def test_a_pil_image_is_taken_as_pillow_shows_it_and_a_large_one_is_reduced():
    grey = Image.new("L", (4100, 50), 7)
    sample = sample_of(grey, (TONE, RATE))
    assert sample.size == (50, 4100) and sample.image.shape == (25, 2048, 3) and (sample.image == 7).all()


@pytest.mark.parametrize("channels", [1, 2])
def test_paths_and_arrays_of_any_layout_are_one_sound(tmp_path, channels):
    stereo = np.stack([TONE] * channels, 1)  # (T, C)
    write(tmp_path / "a.wav", stereo, RATE)
    expected = sample_of(PIXELS, tmp_path / "a.wav").waveform
    np.testing.assert_array_equal(expected, TONE / np.float32(32768))
    for waveform in (stereo, stereo.T, stereo / 32768, (stereo / 32768).astype(np.float32), TONE):
        sample = sample_of(PIXELS, (waveform, RATE))
        np.testing.assert_array_equal(sample.waveform, expected)
        assert sample.sampling_rate == RATE and sample.waveform.dtype == np.float32


def test_nothing_at_all_is_a_sound_too():
    assert len(sample_of(PIXELS, (np.zeros(0), RATE)).waveform) == 0


@pytest.mark.parametrize(
    ("image", "sound", "sentence"),
    [
        (PIXELS / 255, (TONE, RATE), r"found float64 of shape \(30, 40, 3\); scale it to 0 to 255"),
        (PIXELS[..., 0], (TONE, RATE), r"found uint8 of shape \(30, 40\)"),
        (PIXELS[:0], (TONE, RATE), r"found uint8 of shape \(0, 40, 3\)"),
        (None, (TONE, RATE), "found NoneType; give one of these"),
        ([[1]], (TONE, RATE), "found list; give one of these"),
        ("no.jpg", (TONE, RATE), "expected an image file at no.jpg, found nothing"),
        (PIXELS, TONE, r"found an array of shape \(4000,\) without its rate; give \(waveform, sampling_rate\)"),
        (PIXELS, (TONE.astype(np.int32), RATE), r"found int32 of shape \(4000,\)"),
        (PIXELS, (np.zeros((2, 3, 4)), RATE), r"found float64 of shape \(2, 3, 4\)"),
        (PIXELS, (np.full(4000, np.nan), RATE), "cannot take the sound: values that are not finite numbers"),
        (PIXELS, (TONE, "8k"), "expected a sampling rate of 1 to 1000000 whole Hz, found '8k'"),
        (PIXELS, (TONE, 0), "found 0; give Hz"),
        (PIXELS, (TONE, float("nan")), "found nan; give Hz"),
        (PIXELS, "no.wav", "expected a sound file at no.wav, found nothing"),
    ],
)
def test_whatever_else_is_one_sentence(image, sound, sentence):
    with pytest.raises(UserError, match=sentence):
        sample_of(image, sound)


def test_settings_become_overrides():
    given = {"classify.prompt": "the {}", "classify.top_k": 2, "classify.silence_db": float("-inf"), "a.b": [1, "x"]}
    found = overrides_of(given)
    assert found == ("classify.prompt=the {}", "classify.top_k=2", "classify.silence_db=-.inf", "a.b=[1, x]")
    assert overrides_of(None) == overrides_of({}) == ()
    for wrong in (["classify.top_k=2"], {"a.b": object()}):
        with pytest.raises(UserError, match="expected"):
            overrides_of(wrong)


def test_thresholds_and_seeds_are_those_of_the_command():
    checked(0.5, None)
    checked(np.float32(0.25), np.int64(3))
    for threshold, seed in ((1, None), ("0.5", None), (float("nan"), None), (0.5, -1), (0.5, 1.5), (None, None)):
        with pytest.raises(UserError, match="must be"):
            checked(threshold, seed)
