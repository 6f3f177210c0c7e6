"""Levels known by arithmetic: sines, steps, silence, a knock in the quiet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.media.loudness import SILENCE_DB, is_silent, level_db

RATE = 16000


def sine(amplitude: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(("amplitude", "level"), [(1.0, -3.01), (0.1, -23.01), (0.001, -63.01)])
def test_the_level_of_a_sine_is_its_amplitude_less_three(amplitude, level):
    assert level_db(sine(amplitude), RATE) == pytest.approx(level, abs=0.05)


def test_a_full_scale_square_wave_has_zero():
    assert level_db(np.sign(sine(1.0) + 1e-9), RATE) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("waveform", [np.zeros(0), np.zeros(RATE), np.full(RATE, 0.5), np.zeros(1), np.ones(1)])
def test_nothing_moving_is_minus_infinity_and_silent(waveform):
    assert level_db(waveform.astype(np.float32), RATE) == -np.inf
    assert is_silent(waveform.astype(np.float32), RATE, floor_db=-np.inf)


def test_the_floor_decides():
    quiet = sine(0.001)  # -63 dBFS
    assert is_silent(quiet, RATE)
    assert not is_silent(quiet, RATE, floor_db=-70)
    assert not is_silent(sine(0.01), RATE, floor_db=SILENCE_DB)


@pytest.mark.parametrize("at", [0, 31_234, 60 * RATE - 400])
def test_one_knock_in_a_minute_of_quiet_is_heard_at_either_end(at):
    waveform = np.zeros(60 * RATE, np.float32)
    waveform[at : at + 400] = 0.5 * (-1.0) ** np.arange(400)
    assert level_db(waveform, RATE) > -12
    assert not is_silent(waveform, RATE)


def test_a_constant_offset_is_not_loudness():
    assert level_db(sine(0.01) + np.float32(0.3), RATE) == pytest.approx(level_db(sine(0.01), RATE), abs=0.05)


@given(seconds=st.floats(0.001, 0.3), rate=st.sampled_from([8000, 22050, 44100, 48000]), gain=st.floats(0.01, 1))
def test_halving_takes_six_decibels_at_any_length_and_rate(seconds, rate, gain):
    noise = np.random.default_rng(0).uniform(-gain, gain, max(int(seconds * rate), 2)).astype(np.float32)
    assert level_db(noise / 2, rate) == pytest.approx(level_db(noise, rate) - 6.02, abs=0.01)
