import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audio_input import (
    WindowedCaptioner,
    average_over_windows,
    groups_of_one_shape,
    join_sentences,
    resample,
    windows_of,
)

RATE = 1000  # Hz: a moment is 50 samples


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


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """(T,) float32 at RATE with an exact root mean square."""
    values = np.random.default_rng(seed).normal(size=round(seconds * RATE))
    return (level * values / np.sqrt(np.mean(np.square(values)))).astype(np.float32)


def spans(waveform: np.ndarray, seconds: float = 2.0, rate: int = RATE, target_rate: int = RATE) -> list:
    """Start, stop and weight of each window."""
    windows = windows_of(waveform, rate, target_rate, round(seconds * target_rate))
    return [(*window.seconds, pytest.approx(window.weight, abs=0.02)) for window in windows]


@pytest.mark.parametrize("length", [1, 1999, 2000])
def test_what_fits_is_heard_as_it_is(length):
    waveform = np.concatenate([np.zeros(length // 2), noise(1)])[:length].astype(np.float32)
    (window,) = windows_of(waveform, RATE, RATE, 2000)
    np.testing.assert_array_equal(window.samples(), waveform)
    assert window.weight == 1.0
    (other,) = windows_of(waveform, RATE, 3 * RATE, 6000)
    np.testing.assert_array_equal(other.samples(), resample(waveform, RATE, 3 * RATE))


def test_very_short_sounds_are_followed_by_silence():
    (window,) = windows_of(np.ones(1, np.float32), RATE, RATE, 3, min_length=2)
    assert window.samples().tolist() == [1, 0]
    (nothing,) = windows_of(np.zeros(0, np.float32), RATE, RATE, 3)
    assert nothing.samples().tolist() == [0]


def test_a_steady_sound_is_cut_end_to_end_and_each_part_counts_by_its_length():
    assert spans(noise(5)) == [(0, 2, 0.4), (2, 4, 0.4), (4, 5, 0.2)]


@pytest.mark.parametrize("background", [0.0, 0.0005])
def test_windows_begin_where_something_is_heard_and_end_where_nothing_more_is(background):
    owl = noise(1.0)
    for before, after in [(4, 0), (0, 4), (1.5, 4), (1.95, 1.95), (9, 3.3)]:  # at an end, across what would be a border
        waveform = noise(before + 1 + after, background, seed=1)
        waveform[round(before * RATE) : round(before * RATE) + RATE] += owl
        assert spans(waveform) == [(pytest.approx(before), pytest.approx(before + 1), 1)]


def test_what_lasts_does_not_outvote_what_is_loud():
    """Twenty windows of background at -25 dB count a sixteenth of the one with the sound."""
    waveform = np.concatenate([noise(40, 0.0056, seed=1), noise(2)])
    windows = windows_of(waveform, RATE, RATE, 2000)
    assert len(windows) == 21 and windows[-1].weight == pytest.approx(1 / (1 + 20 * 0.0056**2 / 0.1**2), abs=0.01)
    assert sum(window.weight for window in windows) == pytest.approx(1)


@pytest.mark.parametrize(("level_db", "count"), [(-29, 21), (-31, 1)])
def test_what_is_far_below_the_loudest_is_left_out(level_db, count):
    waveform = np.concatenate([noise(2), np.tile(noise(2, 0.1 * 10 ** (level_db / 20), seed=1), 20)])
    assert len(windows_of(waveform, RATE, RATE, 2000)) == count


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_of_nothing_but_silence_one_window_is_heard(value):
    assert spans(np.full(60 * RATE, value, np.float32)) == [(0, 2, 1)]


def test_a_constant_offset_is_not_heard():
    waveform = np.concatenate([noise(4, 0.0005), noise(1), noise(4, 0.0005)]) + np.float32(0.5)
    assert spans(waveform) == [(4, 5, 1)]


@pytest.mark.parametrize(("rate", "target_rate"), [(RATE, 16000), (44100, 22050), (16000, 44100), (11025, 11025)])
def test_windows_fit_at_any_rate(rate, target_rate):
    waveform = np.random.default_rng(0).normal(0, 0.1, 7 * rate + 321).astype(np.float32)
    windows = windows_of(waveform, rate, target_rate, 2 * target_rate)
    assert [len(window.samples()) <= 2 * target_rate for window in windows] == [True] * 4
    assert (windows[0].start, windows[-1].stop) == (0, len(waveform))
    assert windows[1].samples().dtype == np.float32
    part = waveform[windows[1].start : windows[1].stop]
    np.testing.assert_array_equal(windows[1].samples(), resample(part, rate, target_rate))


@given(st.integers(0, 700), st.integers(1, 150))
def test_every_sample_of_a_steady_sound_is_heard_once(total, length):
    waveform = (np.arange(total) % 2 + 1).astype(np.float32)
    windows = windows_of(waveform, RATE, RATE, length)
    assert sum(window.weight for window in windows) == pytest.approx(1)
    assert all(0 < len(window.samples()) <= length for window in windows) or total == 0
    if length > 50 and total > 50:
        heard = np.concatenate([np.arange(window.start, window.stop) for window in windows])
        assert len(set(heard)) == len(heard) >= total - 1  # one sample alone is a constant


def test_averages_count_each_window_by_its_weight():
    loud, faint = noise(2, 0.2), noise(2, 0.1, seed=1)
    sounds = [windows_of(sound, RATE, RATE, 2000) for sound in (np.concatenate([loud, faint]), faint[:500])]

    def answer(windows):
        return np.array([[np.abs(window).max() < 2, len(window)] for window in windows], np.float32)

    averages = average_over_windows(sounds, answer)
    np.testing.assert_allclose(averages, [[1, 2000], [1, 500]])
    means = average_over_windows(sounds, lambda windows: np.array([[np.mean(window**2)] for window in windows]))
    np.testing.assert_allclose(means, [[0.8 * 0.04 + 0.2 * 0.01], [np.mean(faint[:500] ** 2)]], rtol=0.01)
    assert averages.dtype == np.float32


def test_a_sound_of_one_window_is_answered_to_the_bit():
    value = np.random.default_rng(0).normal(size=(1, 99)).astype(np.float32)
    np.testing.assert_array_equal(
        average_over_windows([windows_of(noise(1), RATE, RATE, 2000)], lambda _: value), value
    )


def test_a_long_sound_is_never_there_twice():
    """Ten minutes at 8 kHz are 19 MB; asked about at 16 kHz, window by window, in bounded batches."""
    waveform = np.random.default_rng(0).uniform(-0.1, 0.1, 600 * 8000).astype(np.float32)
    asked = []
    tracemalloc.start()
    windows = windows_of(waveform, 8000, 16000, 10 * 16000)
    average_over_windows([windows], lambda some: asked.append(len(some)) or np.zeros((len(some), 1)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(asked) == 60 and max(asked) == 32 and peak < 40_000_000


class Loudness(WindowedCaptioner):
    """Says how loud a window is; two of a kind are alike."""

    max_windows = 3

    def windows(self, waveform, sampling_rate):
        return windows_of(waveform, sampling_rate, RATE, RATE)

    def say(self, windows):
        return [{1: "Faint", 2: "", 4: "loud", 5: "Loud."}[round(10 * np.std(window))] for window in windows]


@pytest.mark.parametrize(
    ("levels", "caption", "unheard"),
    [
        ((0.1,), "Faint", []),
        ((0.1, 0.4), "Faint. loud.", []),
        ((0.4, 0.5), "loud", []),
        ((0.2, 0.4), "loud", []),
        ((0.2,), "", []),
        ((0.1, 0.4, 0.5, 0.4), "loud", [(0, 1)]),
        ((0.4, 0.1, 0.5, 0.2, 0.0001), "loud", [(1, 2)]),
    ],
)
def test_captions_are_of_the_loudest_windows_in_order_of_time(levels, caption, unheard):
    sound = np.concatenate([noise(1, level, seed) for seed, level in enumerate(levels)])
    captioner = Loudness()
    assert captioner.caption([noise(1), sound, noise(1, 0.4)], [RATE] * 3) == ["Faint", caption, "loud"]
    assert captioner.unheard(sound, RATE) == unheard
    assert captioner.caption([], []) == []


def test_sentences_are_said_once():
    assert join_sentences(["A dog barks.", "a dog barks", "An owl hoots", "", "A dog barks!"]) == (
        "A dog barks. An owl hoots."
    )
    assert join_sentences(["  "[:0], "An owl hoots"]) == "An owl hoots"


def test_batches_are_runs_of_one_shape_in_order():
    windows = [np.zeros(length) for length in (2, 2, 2, 3, 2)]
    assert [[len(item) for item in group] for group in groups_of_one_shape(windows, 2)] == [[2, 2], [2], [3], [2]]
    assert groups_of_one_shape([], 2) == []
