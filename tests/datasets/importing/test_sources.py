"""What lies in an archive: files by stem, and recordings cut and summed into one sound."""

import numpy as np
import pytest
import soundfile

from datasets.importing.sources import Sound, files_by_stem
from utils.errors import UserError

RATE = 8000


@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_several_recordings_are_summed_at_the_first_rate(tmp_path, rate):
    soundfile.write(tmp_path / "one.wav", np.full(RATE, 0.25, np.float32), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "two.wav", np.full(2 * rate, 0.5, np.float32), rate, subtype="FLOAT")
    sound = Sound((tmp_path / "one.wav", tmp_path / "two.wav"))
    waveform, sampling_rate = sound.read()
    assert (sampling_rate, len(waveform), waveform.dtype, sound.unchanged) == (RATE, 2 * RATE, np.float32, False)
    assert waveform[100 : RATE - 100] == pytest.approx(0.75, abs=0.01)
    assert waveform[RATE + 100 : -100] == pytest.approx(0.5, abs=0.01)


def test_a_sum_beyond_full_scale_is_divided_by_its_peak(tmp_path):
    for name, level in (("one.wav", 0.8), ("two.wav", 0.7)):
        soundfile.write(tmp_path / name, np.linspace(-level, level, 99, dtype=np.float32), RATE, subtype="FLOAT")
    waveform, _ = Sound((tmp_path / "one.wav", tmp_path / "two.wav")).read()
    np.testing.assert_allclose(waveform, np.linspace(-1, 1, 99), atol=1e-6)


@pytest.mark.parametrize(("seconds", "expected"), [(2, [4, 5]), (4, [3, 4, 5, 6]), (20, [*range(10), *range(10)])])
def test_the_middle_of_a_recording_is_repeated_where_it_is_short(tmp_path, seconds, expected):
    ten_seconds = np.repeat(np.arange(10) / 16, 10).astype(np.float32)
    soundfile.write(tmp_path / "sound.wav", ten_seconds, 10, subtype="FLOAT")
    waveform, rate = Sound((tmp_path / "sound.wav",), middle_seconds=seconds).read()
    np.testing.assert_allclose(waveform, np.repeat(np.array(expected) / 16, 10))
    assert rate == 10


@pytest.mark.parametrize("content", [b"", b"no sound", None])
def test_what_cannot_be_read_is_said_when_it_is_read(tmp_path, content):
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    sound = Sound((tmp_path / "a.wav",))
    assert not sound.unchanged
    with pytest.raises(UserError, match=r"a.wav"):
        sound.read()


def test_files_by_stem(tmp_path):
    for name in ("b.JPG", "a.1.png", "._b.jpg", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    found = files_by_stem(tmp_path, {".jpg", ".png"})
    assert {stem: path.name for stem, path in found.items()} == {"b": "b.JPG", "a.1": "a.1.png"}
