"""Sounds of every kind arrive as one, or with one sentence on why not; levels are known by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from utils.errors import UserError
from utils.media.images import read_image
from utils.media.sounds import SILENCE_DB, check_audio, is_silent, level_db, read_audio


@pytest.mark.parametrize("read", [read_image, read_audio, check_audio])
def test_files_that_are_not_there_or_not_media_are_refused_in_one_sentence(read, tmp_path):
    kind = "an image" if "image" in read.__name__ else "a sound"
    with pytest.raises(UserError, match=f"expected {kind} file at .*none.bin, found nothing"):
        read(tmp_path / "none.bin")
    with pytest.raises(UserError, match=f"expected {kind} file at .*, found a folder"):
        read(tmp_path)
    (tmp_path / "empty.bin").touch()
    with pytest.raises(UserError, match="found an empty file"):
        read(tmp_path / "empty.bin")
    (tmp_path / "text.wav").write_text("not a picture, nor a sound")
    with pytest.raises(
        UserError, match=f"cannot read the {kind.split()[1]} .*text.wav: .*; (save|convert) it"
    ) as caught:
        read(tmp_path / "text.wav")
    assert "\n" not in str(caught.value)


TONE = (0.5 * np.sin(np.arange(4410) / 7)).astype(np.float32)


@pytest.mark.parametrize("sampling_rate", [8000, 16000, 44100, 96000])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_wav_of_any_rate_and_subtype(sampling_rate, subtype, tmp_path):
    soundfile.write(tmp_path / "a.wav", TONE, sampling_rate, subtype)
    waveform, found = read_audio(tmp_path / "a.wav")
    assert (waveform.dtype, waveform.shape, found) == (np.float32, TONE.shape, sampling_rate)
    np.testing.assert_allclose(waveform, TONE, atol=0.02)


@pytest.mark.parametrize("name", ["a.WAV", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.mp4_1.wav"])
def test_other_formats(name, tmp_path):
    soundfile.write(tmp_path / name, TONE, 44100)
    waveform, sampling_rate = read_audio(tmp_path / name)
    check_audio(tmp_path / name)
    assert sampling_rate == 44100
    assert abs(len(waveform) - len(TONE)) <= 2304  # MP3 pads to whole frames
    assert np.abs(waveform).max() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_are_averaged(channels, tmp_path):
    weights = np.arange(1, channels + 1) / channels
    soundfile.write(tmp_path / "a.wav", TONE[:, None] * weights, 16000, "FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], TONE * weights.mean(), atol=1e-6)


def test_opposite_channels_cancel_and_an_empty_sound_has_no_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([TONE, -TONE], 1), 16000, "FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav")[0]).max() == 0
    soundfile.write(tmp_path / "b.wav", np.zeros(0, np.float32), 16000)
    assert read_audio(tmp_path / "b.wav")[0].shape == (0,)


def test_what_exceeds_full_scale_is_divided_by_its_peak(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.5, -4.0, 2.0]), 16000, "FLOAT")
    assert read_audio(tmp_path / "a.wav")[0].tolist() == [0.125, -1.0, 0.5]


def test_sounds_that_are_not_finite_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.5, np.nan]), 16000, "FLOAT")
    with pytest.raises(UserError, match=r"a.wav holds values that are not finite"):
        read_audio(tmp_path / "a.wav")


def test_what_libsndfile_does_not_know_goes_through_librosa(tmp_path, monkeypatch):
    import librosa

    (tmp_path / "a.m4a").write_bytes(b"some format that ffmpeg knows")
    stereo = np.stack([TONE, 3 * TONE]).astype(np.float32) / 2  # (C, T), as librosa gives it
    monkeypatch.setattr(librosa, "load", lambda path, sr, mono: (stereo, 22050))
    waveform, sampling_rate = read_audio(tmp_path / "a.m4a")
    assert sampling_rate == 22050
    np.testing.assert_allclose(waveform, TONE, atol=1e-6)


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
