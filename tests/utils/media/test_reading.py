"""Pictures and sounds of every kind arrive in the two forms the project works on, or with one sentence on why not."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from utils.errors import UserError
from utils.media.reading import check_audio, read_audio, read_image

RGB = np.zeros((6, 9, 3), np.uint8)
RGB[:3, :4] = (250, 20, 30)  # top left
RGB[3:, 4:] = (10, 200, 90)  # bottom right


def grey_level(path):
    """The one grey level an image of one colour was read as."""
    image = read_image(path)
    assert image.shape == (4, 5, 3)
    (level,) = set(image.ravel().tolist())
    return level


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.tiff", "a.webp", "dotted.name.mp4_1.png"])
def test_lossless_colours_survive(name, tmp_path):
    Image.fromarray(RGB).save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    found = read_image(tmp_path / name)
    assert (found.dtype, found.flags.writeable) == (np.uint8, True)
    np.testing.assert_array_equal(found, RGB)


def test_palette_colours_are_looked_up(tmp_path):
    Image.fromarray(RGB).quantize(3).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, tmp_path):
    stored = {
        1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1],
        5: RGB.transpose(1, 0, 2), 6: np.rot90(RGB), 7: np.rot90(RGB.transpose(1, 0, 2), 2), 8: np.rot90(RGB, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_lie_on_white(mode, tmp_path):
    image = Image.new(mode, (5, 4), (40,) * (len(mode) - 1) + (0,))
    image.save(tmp_path / "a.png")
    assert grey_level(tmp_path / "a.png") == 255


def test_half_transparent_black_is_half_grey(tmp_path):
    Image.new("RGBA", (5, 4), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert grey_level(tmp_path / "a.png") == 127


def test_a_transparent_palette_entry_lies_on_white(tmp_path):
    image = Image.new("P", (5, 4), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.save(tmp_path / "a.png", transparency=1)
    assert grey_level(tmp_path / "a.png") == 255


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((4, 5), 65535, np.uint16), 255),
        (np.full((4, 5), 32896, np.uint16), 128),
        (np.full((4, 5), 255, np.uint16), 1),
        (np.full((4, 5), 200, np.int32), 200),
        (np.full((4, 5), 65535, np.int32), 255),
        (np.full((4, 5), 0.5, np.float32), 128),
        (np.full((4, 5), 77.0, np.float32), 77),
        (np.full((4, 5), -3.0, np.float32), 0),
        (np.full((4, 5), np.nan, np.float32), 0),
    ],
)
def test_deep_grey_is_scaled_to_8_bit(values, expected, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert grey_level(tmp_path / "a.tiff") == expected


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_becomes_three_equal_channels(mode, tmp_path):
    Image.new(mode, (5, 4), 255).save(tmp_path / "a.png")
    assert grey_level(tmp_path / "a.png") == 255


def test_cmyk_jpeg_is_rgb(tmp_path):
    Image.new("RGB", (5, 4), (200, 40, 40)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - (200, 40, 40)).max() <= 3


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (5, 4), level) for level in ("white", "black")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert grey_level(tmp_path / "a.gif") == 255


def test_a_truncated_image_is_refused_by_name(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cannot read the image .*cut.png: .*; save it again as PNG or JPEG"):
        read_image(tmp_path / "cut.png")


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
