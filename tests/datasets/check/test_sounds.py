"""Sounds that are cut, flat or of a rare format are told from those that are whole."""

import av
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


def test_of_two_channels_that_cancel_one_is_heard(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([noise(0), -noise(0)], 1), RATE, subtype="FLOAT")
    facts = sound_content(tmp_path / "a.wav")
    assert (facts.silent, facts.cancelling) == (False, "channel 1")


def test_blocks_do_not_show(tmp_path, monkeypatch):
    clipped = np.clip(3 * np.sin(np.arange(3 * RATE) * 0.05), -1, 1)
    soundfile.write(tmp_path / "a.wav", np.stack([clipped, noise(0, 3)], 1), RATE)
    whole = sound_content(tmp_path / "a.wav")
    assert whole.clipped > 0.3 and whole.seconds == 3
    monkeypatch.setattr("utils.media.sounds.BLOCK", 256)
    assert sound_content(tmp_path / "a.wav") == whole


def test_a_wav_that_says_nothing_of_its_length_is_read_whole(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0, 2), RATE, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[40:44] = bytes(4)
    path.write_bytes(content)
    for look in (sound_content, sound_header):
        assert (look(path).seconds, look(path).missing, look(path).misnamed) == (2, "", "")


@pytest.mark.parametrize("look", [sound_content, sound_header])
def test_another_format_called_wav_is_named(tmp_path, look):
    with av.open(str(tmp_path / "a.wav"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise(0)[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        resampled = av.AudioResampler("fltp", "mono", 48000, 1024).resample(frame)
        container.mux([packet for some in (*resampled, None) for packet in stream.encode(some)])
    facts = look(tmp_path / "a.wav")
    assert (facts.problem, facts.misnamed, facts.sampling_rate) == ("", "AAC in QuickTime / MOV", 48000)
    (tmp_path / "a.wav").rename(tmp_path / "a.m4a")
    assert look(tmp_path / "a.m4a").misnamed == ""


@pytest.mark.parametrize("look", [sound_content, sound_header])
def test_a_sampling_rate_of_zero_is_a_problem_of_this_file_alone(tmp_path, look):
    soundfile.write(tmp_path / "a.wav", noise(0), RATE, subtype="PCM_16")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[24:28] = bytes(4)
    (tmp_path / "a.wav").write_bytes(content)
    assert look(tmp_path / "a.wav").problem == "a sampling rate of 0 Hz, expected one from 1 to 1000000"
