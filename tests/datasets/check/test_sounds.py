"""Sounds that are cut, flat or of a rare format are told from those that are whole."""

import numpy as np
import pytest
import soundfile

from datasets.check.sounds import sound_content, sound_header
from tests.datasets.check.check_folders import RATE, noise


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".aiff"])
@pytest.mark.parametrize("look", [sound_content, sound_header])
def test_whole_files_lack_nothing(tmp_path, suffix, look):
    soundfile.write(tmp_path / f"a{suffix}", noise(0, 2), RATE)
    facts = look(tmp_path / f"a{suffix}")
    assert (facts.problem, facts.missing, facts.sampling_rate) == ("", "", RATE)
    assert facts.seconds == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_half_a_file_is_noticed(tmp_path, suffix, capfd):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(0, 5), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    facts = sound_content(path)
    assert facts.problem or facts.missing


def test_a_wav_that_was_streamed_does_not_know_its_length(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0), RATE, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert [look(path).missing for look in (sound_content, sound_header)] == ["", ""]
    content[40:44] = (20000).to_bytes(4, "little")
    path.write_bytes(content)
    expected = "16000 of 20000 bytes are there"
    assert [look(path).missing for look in (sound_content, sound_header)] == [expected, expected]


def test_an_absurd_length_is_told_before_memory_is_asked_for(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(60 * RATE), RATE)
    assert sound_content(path).seconds == sound_header(path).seconds == 60
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the highest bits of the 36 that count the samples
    path.write_bytes(content)
    assert [look(path).problem[:35] for look in (sound_content, sound_header)] == [
        "its header announces 64424989440 sam"[:35]
    ] * 2


@pytest.mark.parametrize(
    ("waveform", "clipped"),
    [
        (np.sin(np.arange(RATE) * 0.7), False),  # reaches full scale, but has no flat tops
        (np.clip(3 * np.sin(np.arange(RATE) * 0.05), -1, 1), True),
        (np.clip(3 * np.sin(np.arange(RATE) * 0.05), -1, 1) / 2, False),
        (np.zeros(RATE), False),
        (np.zeros(1), False),
    ],
)
def test_flat_tops_at_full_scale_are_clipped(tmp_path, waveform, clipped):
    soundfile.write(tmp_path / "a.wav", waveform, RATE)
    assert (sound_content(tmp_path / "a.wav").clipped > 0.001) == clipped


def test_a_mono_sound_of_two_channels_that_cancel_is_silent(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([noise(0), -noise(0)], 1), RATE, subtype="FLOAT")
    assert sound_content(tmp_path / "a.wav").silent
