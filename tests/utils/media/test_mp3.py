"""A sound for a report is small, audibly the same, and bounded in length."""

import numpy as np
import pytest

from utils.media.mp3 import RATE, SECONDS, save_mp3
from utils.media.sounds import read_audio


@pytest.mark.parametrize(
    ("rate", "samples", "seconds"),
    [(8000, 8000, 1.0), (44100, 12 * 44100, SECONDS), (16000, 0, 0.1), (16000, 1, 0.1), (1_000_000, 500_000, 0.5)],
)
def test_a_tone_comes_back_as_long_as_it_may_be(tmp_path, rate, samples, seconds):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate).astype(np.float32)
    save_mp3(tone, rate, tmp_path / "a.mp3")
    found, found_rate = read_audio(tmp_path / "a.mp3")
    assert found_rate == RATE and len(found) / RATE == pytest.approx(seconds, abs=0.01)
    assert (tmp_path / "a.mp3").stat().st_size < 1000 + 6100 * (seconds + 0.1)
    if samples > 1:
        spectrum = np.abs(np.fft.rfft(found))
        assert np.fft.rfftfreq(len(found), 1 / RATE)[spectrum.argmax()] == pytest.approx(440, abs=3)
        assert np.abs(found[RATE // 10 :]).max() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("rate", "samples"), [(1, 1), (4, 4), (8000, 2)])
def test_next_to_nothing_is_a_file_too(tmp_path, rate, samples):
    save_mp3(np.zeros(samples, np.float32), rate, tmp_path / "a.mp3")
    assert (tmp_path / "a.mp3").stat().st_size > 200
