"""Sounds of every kind arrive as one, or with one sentence on why not; levels are known by arithmetic."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from utils.errors import UserError
from utils.media.images import read_image
from utils.media.sounds import (
    SILENCE_DB,
    is_silent,
    level_db,
    one_channel,
    read_audio,
    read_recording,
    why_unheard,
)


@pytest.mark.parametrize("read", [read_image, read_audio])
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
    assert sampling_rate == 44100
    assert abs(len(waveform) - len(TONE)) <= 2304  # MP3 pads to whole frames
    assert np.abs(waveform).max() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_are_averaged(channels, tmp_path):
    weights = np.arange(1, channels + 1) / channels
    soundfile.write(tmp_path / "a.wav", TONE[:, None] * weights, 16000, "FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], TONE * weights.mean(), atol=1e-6)


NOISE = np.random.default_rng(0).uniform(-0.4, 0.4, (3, 4410)).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "taken"),
    [
        ([TONE, -TONE], 1),
        ([-0.9 * TONE, TONE], 2),
        ([TONE + 0.3, 0.3 - 0.9 * TONE], 1),  # a recorder's offset is no sound
        ([4 * TONE, -4 * TONE], 1),
        ([TONE, -TONE, 0.5 * NOISE[0], -0.5 * NOISE[0]], 1),
        ([TONE, -0.5 * TONE], None),
        ([NOISE[0], NOISE[1]], None),
        ([NOISE[0], 0.2 * NOISE[1] - NOISE[0]], 2),
        ([NOISE[0], NOISE[1] - NOISE[0]], None),
        ([TONE, 0 * TONE], None),
        ([TONE, *[0 * TONE] * 7], None),
        ([0 * TONE, 0 * TONE], None),
        ([0 * TONE + 0.3, 0 * TONE - 0.3], None),
        ([TONE], None),
    ],
)
def test_where_channels_cancel_the_loudest_is_taken(channels, taken, tmp_path):
    sound = np.stack(channels, 1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 16000, "FLOAT")
    recording = read_recording(tmp_path / "a.wav")
    mono = sound.mean(axis=1, dtype=np.float64) if taken is None else sound[:, taken - 1].astype(np.float64)
    expected = (mono / max(1.0, np.abs(mono).max())).astype(np.float32)
    assert recording.channel == taken
    np.testing.assert_array_equal(recording.waveform, expected)
    said = f"its channels cancel, so channel {taken} alone is heard"
    assert recording.remarks == ([said] if taken else [])


def test_an_empty_sound_has_no_samples(tmp_path):
    soundfile.write(tmp_path / "b.wav", np.zeros(0, np.float32), 16000)
    assert read_audio(tmp_path / "b.wav")[0].shape == (0,)


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "FLOAT"), ("wav", "PCM_24"), ("flac", "PCM_16"), ("mp3", None)]
)
@pytest.mark.parametrize("gain", [1, 3])
def test_blocks_do_not_show(suffix, subtype, gain, tmp_path, monkeypatch):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, (gain * NOISE[:2].T), 16000, subtype)
    channels, _ = soundfile.read(path, dtype="float32", always_2d=True)
    mono = channels.mean(axis=1, dtype=np.float64)
    whole, seen = read_recording(path), []
    monkeypatch.setattr("utils.media.sounds.BLOCK", 500)
    parts = read_recording(path, seen.append)
    # libsndfile moves to where it is after each block, which costs an MP3 its last digits.
    np.testing.assert_allclose(parts.waveform, whole.waveform, rtol=0, atol=1e-6 if suffix == "mp3" else 0)
    np.testing.assert_array_equal(whole.waveform, (mono / max(1.0, np.abs(mono).max())).astype(np.float32))
    np.testing.assert_allclose(np.concatenate(seen), channels, atol=1e-6)
    assert max(map(len, seen)) <= 250


def test_reading_takes_the_memory_of_one_channel(tmp_path, monkeypatch):
    """Half a minute of stereo is 11.5 MB of float32, of which half is kept."""
    import tracemalloc

    soundfile.write(tmp_path / "a.wav", np.zeros((30 * 48000, 2), np.int16), 48000)
    monkeypatch.setattr("utils.media.sounds.BLOCK", 1 << 16)
    tracemalloc.start()
    waveform, rate = read_audio(tmp_path / "a.wav")
    level_db(waveform, rate)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert waveform.nbytes == 5_760_000 and peak < 11_000_000


def test_what_exceeds_full_scale_is_divided_by_its_peak(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.5, -4.0, 2.0]), 16000, "FLOAT")
    assert read_audio(tmp_path / "a.wav")[0].tolist() == [0.125, -1.0, 0.5]


def test_sounds_that_are_not_finite_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.5, np.nan]), 16000, "FLOAT")
    with pytest.raises(UserError, match=r"a.wav: values that are not finite numbers; convert"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("samples", "at"),
    [([0.5] * 999 + [1e29], 999), ([-70.0] + [0.5, -0.4] * 2000, 0), ([0.1] * 3000 + [-(3.0**30)] * 3, 3000)],
)
def test_a_spike_that_would_erase_the_rest_is_refused(samples, at, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array(samples), 16000, "FLOAT")
    with pytest.raises(
        UserError, match="cannot read the sound .*a.wav: the value .* at .* s is far beyond all others, where full"
    ) as caught:
        read_audio(tmp_path / "a.wav")
    assert f"{np.float32(samples[at]):.3g} at {at / 16000:.3f} s" in str(caught.value)


@pytest.mark.parametrize(
    "samples", [[9.0] + [0.01] * 3000, [30000 * value for value in TONE], [1e29, -1e29] * 500, [1.0] + [0.0001] * 3000]
)
def test_what_is_loud_throughout_or_near_full_scale_is_no_spike(samples, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array(samples, np.float32), 16000, "FLOAT")
    expected = np.array(samples) / max(1, np.abs(samples).max())
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], expected, atol=1e-6)


def wav(data: bytes, announced: int, rate: int = 8000, behind: bytes = b"") -> bytes:
    """A WAV of 16 bits whose header announces what one likes."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, min(2 * rate, 2**32 - 1), 2, 16)
    return b"RIFF" + struct.pack("<I", 0) + b"WAVEfmt " + form + b"data" + struct.pack("<I", announced) + data + behind


SECONDS_2 = (20000 * np.sin(np.arange(16000) / 3)).astype("<i2")
LIST = b"LIST" + struct.pack("<I", 12) + b"INFOISFT    "


@pytest.mark.parametrize(
    ("announced", "behind", "read"),
    [
        (32000, b"", 16000),
        (0, b"", 16000),
        (0xFFFFFFFF, b"", 16000),
        (0x7FFFFFFF, b"", 16000),
        (99999, b"", 16000),
        (4000, b"", 16000),
        (32000, LIST, 16000),
        (32000, b"TAG" + bytes(125), 16000),  # of a player; no second of sound
        (31000, b"", 15500),
    ],
)
def test_of_a_wav_what_is_there_is_read(announced, behind, read, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(SECONDS_2.tobytes(), announced, behind=behind))
    recording = read_recording(tmp_path / "a.wav")
    np.testing.assert_array_equal(recording.waveform, SECONDS_2[:read] / np.float32(32768))
    assert recording.remarks == (["cut short: 32000 of 99999 bytes are there"] if announced == 99999 else [])


def test_a_wav_without_sound_that_has_other_chunks_stays_empty(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(b"", 0, behind=LIST))
    assert read_audio(tmp_path / "a.wav")[0].shape == (0,)


@pytest.mark.parametrize("rate", [0, 2_000_000, 2**31, 2**32 - 1])
@pytest.mark.parametrize("kind", ["wav", "au"])
def test_impossible_sampling_rates_are_one_sentence(rate, kind, tmp_path):
    au = b".snd" + struct.pack(">IIIII", 24, 32000, 3, rate, 1) + SECONDS_2.tobytes()
    (tmp_path / "a.wav").write_bytes(au if kind == "au" else wav(SECONDS_2.tobytes(), 32000, rate))
    with pytest.raises(UserError, match="cannot read the sound .*a.wav: .*; convert") as caught:
        read_audio(tmp_path / "a.wav")
    if kind == "wav" or rate == 2_000_000:  # libsndfile finds other words for the others
        assert f"a sampling rate of {rate} Hz" in str(caught.value)


def test_a_length_that_no_file_holds_and_one_that_no_memory_holds(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", np.zeros(16000), 16000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] |= 0x0F  # the highest bits of the 36 that count the samples
    (tmp_path / "bomb.flac").write_bytes(content)
    with pytest.raises(UserError, match="announces 644245.* samples, which it cannot hold"):
        read_audio(tmp_path / "bomb.flac")
    monkeypatch.setattr("utils.media.sounds.LONGEST", 15999)
    with pytest.raises(UserError, match="a.flac: more than 15999 samples"):
        read_audio(tmp_path / "a.flac")


def encode(path: Path, codec: str, video: bool = False) -> None:
    """Writes TONE and half of it as stereo, as FFmpeg encodes it; with a second of a black picture."""
    rate = 48000 if codec == "libopus" else 44100
    with av.open(str(path), "w", format={".wav": "mp4"}.get(path.suffix)) as container:
        if video:
            pictures = container.add_stream("mpeg4", rate=5)
            pictures.width = pictures.height = 32
            pictures.pix_fmt = "yuv420p"
        sound = container.add_stream(codec, rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.stack([np.tile(TONE, 5), np.tile(TONE, 5) / 2]), "fltp", "stereo")
        frame.sample_rate = rate
        resampled = av.AudioResampler(sound.codec_context.format.name, "stereo", rate, sound.frame_size or 1024)
        packets = [
            packet
            for some in (*resampled.resample(frame), *resampled.resample(None), None)
            for packet in sound.encode(some)
        ]
        if video:
            black = [av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8)) for _ in range(5)]
            packets += [packet for picture in (*black, None) for packet in pictures.encode(picture)]
        for packet in packets:
            container.mux(packet)


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.m4a", "aac", "AAC in QuickTime / MOV"),
        ("a.aac", "aac", r"AAC in raw ADTS AAC"),
        ("a.mka", "aac", "AAC in Matroska / WebM"),
        ("a.3gp", "aac", "AAC in QuickTime / MOV"),
        ("named.wav", "aac", "AAC in QuickTime / MOV"),
        ("video.mp4", "aac", "AAC in QuickTime / MOV"),
        ("a.webm", "libopus", "OPUS in Matroska / WebM"),
        ("a.mov", "pcm_s16le", "PCM_S16LE in QuickTime / MOV"),
        ("b.mov", "pcm_s24le", "PCM_S24LE in QuickTime / MOV"),
        ("c.mov", "pcm_f32le", "PCM_F32LE in QuickTime / MOV"),
    ],
)
def test_what_libsndfile_does_not_know_goes_through_ffmpeg(name, codec, kind, tmp_path):
    encode(tmp_path / name, codec, video="video" in name)
    recording = read_recording(tmp_path / name)
    assert len(recording.remarks) == 1 and recording.remarks[0].startswith(kind)
    assert recording.sampling_rate == (48000 if codec == "libopus" else 44100)
    assert abs(len(recording.waveform) - 5 * len(TONE)) <= 3000  # of padding
    assert recording.waveform.dtype == np.float32
    np.testing.assert_array_equal(recording.waveform, read_audio(tmp_path / name)[0])
    if "pcm" in codec:
        np.testing.assert_allclose(recording.waveform, 0.75 * np.tile(TONE, 5), atol=1e-4)
    else:
        assert np.sqrt(np.mean(np.square(recording.waveform))) == pytest.approx(0.265, abs=0.03)


def test_opus_and_what_a_phone_calls_ogg_are_read_by_libsndfile(tmp_path):
    for name in ("a.opus", "a.ogg"):
        encode(tmp_path / name, "libopus")
        recording = read_recording(tmp_path / name)
        assert (recording.remarks, recording.sampling_rate) == ([], 48000)
        assert np.sqrt(np.mean(np.square(recording.waveform))) == pytest.approx(0.265, abs=0.03)


def test_one_channel_of_a_part_is_that_of_a_whole():
    np.testing.assert_allclose(one_channel(np.stack([TONE, TONE / 2], 1)), 0.75 * TONE, atol=1e-6)
    np.testing.assert_allclose(one_channel(np.stack([TONE, -TONE / 2 * 1.9], 1)), TONE, atol=1e-6)  # they cancel
    assert np.abs(one_channel(4 * TONE[:, None])).max() == pytest.approx(1)
    assert one_channel(np.zeros((0, 2), np.float32)).shape == (0,)


def test_a_video_without_sound_says_so(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        pictures = container.add_stream("mpeg4", rate=5)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        for picture in (av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8)), None):
            container.mux(pictures.encode(picture))
    with pytest.raises(UserError, match="a.mp4: no sound in it, QuickTime / MOV; convert"):
        read_audio(tmp_path / "a.mp4")


def test_half_a_file_that_ffmpeg_reads_is_one_sentence(tmp_path):
    encode(tmp_path / "a.m4a", "aac")
    content = (tmp_path / "a.m4a").read_bytes()
    (tmp_path / "half.m4a").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot read the sound .*half.m4a: .*; convert it to WAV"):
        read_audio(tmp_path / "half.m4a")


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


def test_a_long_sound_is_judged_in_parts(monkeypatch):
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    noise[20000:20400] *= 5
    expected = level_db(noise, RATE)
    monkeypatch.setattr("utils.media.sounds.BLOCK", 3000)
    assert level_db(noise, RATE) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(0), "the sound is silent: it never rises above -60 dBFS"),
        (np.zeros(RATE), "the sound is silent: it never rises above -60 dBFS"),
        (sine(0.5)[:2], "the sound is too short to tell: 2 samples at 16000 Hz, expected 50 ms or more"),
        (
            sine(0.5)[: RATE // 20 - 1],
            "the sound is too short to tell: 799 samples at 16000 Hz, expected 50 ms or more",
        ),
        (sine(0.5)[: RATE // 20], ""),
    ],
)
def test_why_nothing_can_be_told(waveform, reason):
    assert why_unheard(waveform, RATE) == reason
    assert why_unheard(sine(0.0001), RATE, -np.inf) == ""
    assert why_unheard(np.zeros(RATE), RATE, -np.inf) == "the sound is silent"
