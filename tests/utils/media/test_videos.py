"""Videos made in the test: what is in view when, upright, of any rate and size; and what is written comes back."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from utils.errors import UserError
from utils.media.soundtracks import SoundTrack
from utils.media.videos import LONGEST_SIDE, open_video, writing

RATE = 16000


def picture(shade: int, size=(48, 64)) -> np.ndarray:
    """Grey of a shade, its upper left quarter red."""
    image = np.full((*size, 3), shade, np.uint8)
    image[: size[0] // 2, : size[1] // 2] = (230, 20, 20)
    return image


def make(
    path, shades, ticks=None, size=(48, 64), turn=0, aspect=None, sound=None, sound_at=0.0, codec="libx264", unit=10
):
    """A video of one frame a shade, shown from its tick (1 / unit s) on; with a mono sound at RATE from a second on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=unit)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, unit)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        audio = container.add_stream("aac", rate=RATE, layout="mono") if sound is not None else None
        for tick, shade in zip(ticks or range(len(shades)), shades, strict=True):
            frame = av.VideoFrame.from_ndarray(picture(shade, size), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = tick, Fraction(1, unit)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for at in range(0, len(sound) - 1023, 1024) if audio else ():
            frame = av.AudioFrame.from_ndarray(sound[None, at : at + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, at + round(sound_at * RATE), Fraction(1, RATE)
            container.mux(audio.encode(frame))
        if audio:
            container.mux(audio.encode(None))
    return path


def shades_of(frames) -> list[int]:
    return [round(float(np.median(frame.image[-8:, -8:])) / 10) * 10 for frame in frames]


def tone(seconds: float, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(np.arange(int(seconds * RATE)) / 5)).astype(np.float32)


def test_frames_come_at_a_steady_pace(tmp_path):
    video = open_video(make(tmp_path / "a.mp4", range(20, 220, 10)))
    assert (video.size, video.seconds, video.start, video.sound_starts_at) == ((48, 64), 2.0, 0.0, None)
    frames = list(video.frames(4))
    assert [frame.time for frame in frames] == [i / 4 for i in range(8)]
    assert shades_of(frames) == [20 + 10 * int(2.5 * i + 1e-6) for i in range(8)]
    assert shades_of(video.frames(1)) == [20, 120]
    assert len(list(video.frames(20))) == 40  # each twice
    assert frames[0].image.dtype == np.uint8 and frames[0].image.flags.c_contiguous


def test_a_varying_frame_rate_shows_what_is_in_view_at_each_moment(tmp_path):
    video = open_video(make(tmp_path / "a.mkv", [50, 100, 150, 200], ticks=[0, 1, 2, 30]))
    assert shades_of(video.frames(2)) == [50, 150, 150, 150, 150, 150, 200]


@pytest.mark.parametrize(("turn", "corner"), [(90, "lower left"), (-90, "upper right"), (180, "lower right")])
def test_what_a_phone_turned_is_upright(turn, corner, tmp_path):
    video = open_video(make(tmp_path / "a.mp4", [100] * 3, turn=turn))
    image = next(video.frames(1)).image
    height, width = video.size
    assert image.shape[:2] == video.size == ((48, 64) if turn == 180 else (64, 48))
    row = slice(height // 2, None) if "lower" in corner else slice(height // 2)
    column = slice(width // 2, None) if "right" in corner else slice(width // 2)
    assert image[row, column, 0].mean() > 190 and image[..., 0].mean() < 150


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    assert open_video(make(tmp_path / "a.mp4", [100] * 3, aspect=Fraction(2, 1))).size == (48, 128)


def test_a_large_video_is_read_smaller(tmp_path):
    video = open_video(make(tmp_path / "a.mp4", [100], size=(1440, 2560)))
    assert video.size == next(video.frames(1)).image.shape[:2] == (720, LONGEST_SIDE)


def test_one_frame_is_a_video(tmp_path):
    assert shades_of(open_video(make(tmp_path / "a.mp4", [80])).frames(4)) == [80]


def test_what_is_no_video_is_refused_in_one_sentence(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1), RATE)
    with pytest.raises(UserError, match="expected moving pictures in .*a.wav, found none but WAV"):
        open_video(tmp_path / "a.wav")
    whole = make(tmp_path / "a.mp4", range(20, 220, 10)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # the index lies at its end
    with pytest.raises(UserError, match="cannot read the video .*cut.mp4: .*; convert it"):
        open_video(tmp_path / "cut.mp4")
    with pytest.raises(UserError, match="expected a video file at .*none.mp4, found nothing"):
        open_video(tmp_path / "none.mp4")
    with av.open(str(tmp_path / "no.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(UserError, match="cannot read the video .*no.mkv: no frame of it can be decoded|no.mkv: "):
        open_video(tmp_path / "no.mkv")


def test_a_video_that_is_cut_short_ends_there(tmp_path):
    whole = make(tmp_path / "a.mkv", [40, 80, 120, 160] * 10).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: int(0.8 * len(whole))])
    frames = list(open_video(tmp_path / "cut.mkv").frames(10))
    assert 10 < len(frames) < 40 and shades_of(frames)[:4] == [40, 80, 120, 160]


def test_what_cannot_be_decoded_is_passed_over(tmp_path):
    path = make(tmp_path / "a.mkv", [40, 80, 120, 160] * 40)
    video = open_video(path)
    with av.open(str(path)) as container:
        sizes = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    at, size = sizes[90]
    content[at : at + size + 8] = b"\xff" * (size + 8)
    path.write_bytes(content)
    frames = list(video.frames(10))
    assert 80 <= len(frames) <= 160 and shades_of(frames)[:8] == [40, 80, 120, 160] * 2


def test_the_sound_around_a_moment_is_that_of_the_videos_clock(tmp_path):
    sound = np.concatenate([np.zeros(RATE, np.float32), tone(1)])
    path = make(tmp_path / "a.mkv", [100] * 30, sound=sound, sound_at=0.5)
    video = open_video(path)
    assert video.sound_starts_at == pytest.approx(0.5, abs=0.1)
    track = SoundTrack(path, behind=2, starts_at=video.sound_starts_at)
    assert (track.sampling_rate, track.channels) == (RATE, 1)
    levels = [np.abs(track.between(at, at + 0.2)).max(initial=0) for at in (0, 0.3, 1.0, 1.2, 1.6, 2.2)]
    assert levels == pytest.approx([0, 0, 0, 0, 0.5, 0.5], abs=0.1)
    assert len(track.between(1, 2)) == RATE and len(track.between(5, 6)) == 0
    assert len(track.between(-1, 0.5)) == 0  # forgotten: more than two seconds behind


def test_only_what_lies_behind_is_kept(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(15), RATE)
    track = SoundTrack(tmp_path / "a.wav", behind=2)
    track._ahead = (block[at : at + 1024] for block in track.blocks() for at in range(0, len(block), 1024))
    for second in range(15):
        np.testing.assert_allclose(
            track.between(second, second + 1), tone(15)[second * RATE : (second + 1) * RATE], atol=1e-4
        )
    assert sum(len(block) for _, block in track._kept) <= 3 * RATE


def test_a_sound_of_a_video_without_one_is_refused(tmp_path):
    path = make(tmp_path / "a.mp4", [100] * 3)
    with pytest.raises(UserError, match="cannot read the sound of .*a.mp4: no sound in it"):
        SoundTrack(path, behind=1)


@pytest.mark.parametrize("starts_at", [0.0, 0.5, -0.5])
def test_what_is_written_comes_back_with_its_sound(starts_at, tmp_path):
    sound = np.concatenate([tone(1), np.zeros(RATE, np.float32)])
    soundfile.write(tmp_path / "a.wav", np.stack([sound, sound / 2], 1), RATE, "FLOAT")
    out, images = tmp_path / "out.mp4", [picture(shade, (50, 70)) for shade in (40, 90, 140, 190)]
    with writing(out, (50, 70), 2, SoundTrack(tmp_path / "a.wav", 1, starts_at)) as write:
        for image in images:
            write(image)
        assert not out.exists()
    video = open_video(out)
    found = [frame.image for frame in video.frames(2)]
    assert (len(found), video.size, video.start) == (4, (50, 70), 0)
    for image, wanted in zip(found, images, strict=True):
        assert np.abs(image[-8:, -8:].astype(int) - wanted[-8:, -8:]).mean() < 4
        assert np.abs(image[4:-30, 4:30].astype(int) - wanted[4:-30, 4:30]).mean() < 12  # the red
    track = SoundTrack(out, 4, video.sound_starts_at)
    assert (track.sampling_rate, track.channels) == (48000, 2)
    assert abs(len(track.between(0, 9)) / 48000 - min(2, 2 + starts_at)) < 0.05
    loud = [np.abs(track.between(at - 0.1, at + 0.1)).max() > 0.2 for at in (0.2, 0.8, 1.3)]
    assert loud == [{0.0: [True, True, False], 0.5: [False, True, True], -0.5: [True, False, False]}[starts_at]][0]


def test_interrupted_writing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "a.mp4", (48, 64), 4) as write:
        write(picture(100))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
