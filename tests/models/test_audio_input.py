import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audio_input import average_over_windows, cut, groups_of_one_shape, resample


def test_resampled_tone_keeps_its_pitch_and_level():
    tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100).astype(np.float32)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    resampled = resample(tone, 44100, 16000)
    assert resampled.dtype == np.float32 and resampled.shape == (16000,)
    np.testing.assert_allclose(resampled[500:-500], expected[500:-500], atol=1e-3)


def test_the_same_rate_and_the_empty_sound_pass_unchanged():
    waveform = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(resample(waveform, 16000, 16000), waveform)
    assert resample(np.zeros(0, np.float32), 44100, 16000).shape == (0,)


@pytest.mark.parametrize(("waveform", "rate"), [(np.zeros((2, 5)), 16000), (np.zeros(5), 0)])
def test_stereo_and_impossible_rates_are_refused(waveform, rate):
    with pytest.raises(ValueError, match="mono waveform"):
        resample(waveform, rate, 16000)


def test_long_sounds_are_covered_and_the_last_window_ends_with_the_sound():
    assert [window.tolist() for window in cut(np.arange(7), 3)] == [[0, 1, 2], [3, 4, 5], [4, 5, 6]]
    assert [window.tolist() for window in cut(np.arange(6), 3)] == [[0, 1, 2], [3, 4, 5]]


def test_short_sounds_stay_short_and_empty_ones_become_silence():
    assert [window.tolist() for window in cut(np.arange(2), 3)] == [[0, 1]]
    assert [window.tolist() for window in cut(np.zeros(0), 3)] == [[0]]
    assert [window.tolist() for window in cut(np.ones(1), 3, min_length=2)] == [[1, 0]]


@given(st.integers(0, 200), st.integers(1, 50))
def test_every_sample_is_heard(total, length):
    windows = cut(np.arange(total), length)
    assert set(range(total)) <= set(np.concatenate(windows).tolist())
    assert all(len(window) <= length for window in windows)
    assert len(windows) == max(1, -(-total // length))


def test_average_goes_sound_by_sound():
    sounds = [[np.array([1.0, 0.0]), np.array([3.0, 2.0])], [np.array([5.0, 6.0])]]
    averages = average_over_windows(sounds, np.stack)
    np.testing.assert_array_equal(averages, [[2.0, 1.0], [5.0, 6.0]])
    assert averages.dtype == np.float32


def test_batches_are_runs_of_one_shape_in_order():
    windows = [np.zeros(length) for length in (2, 2, 2, 3, 2)]
    assert [[len(item) for item in group] for group in groups_of_one_shape(windows, 2)] == [[2, 2], [2], [3], [2]]
    assert groups_of_one_shape([], 2) == []
