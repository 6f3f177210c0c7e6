"""The recordings that hearing is learnt from: what is read of a package, and that the table fits the other tables."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile

from models.audio_tagger.soundnet import classes_of
from models.pocket.train import recordings
from models.pocket.train.recordings import PACKAGES, SAMPLING_RATE, TEST_PACKAGES, read_recordings
from utils.errors import UserError
from utils.language import audioset

STAMPS, VOICES = "tuxpaint-stamps-default", "asterisk-core-sounds-en-wav"


def table():
    with recordings.TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A package of four sounds: loud amid silence at 8 kHz in stereo, silent, long, and one that no row names."""
    folder = tmp_path / "data" / STAMPS
    folder.mkdir(parents=True)
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    sounds = {
        "dog.wav": np.stack([np.concatenate([np.zeros(4000), tone, np.zeros(8000)])] * 2, 1),
        "nothing.wav": np.zeros(8000),
        "flute.wav": np.tile(tone, 20),
        "other.wav": tone,
    }
    for name, sound in sounds.items():
        soundfile.write(folder / name, sound, 8000)
    rows = [("flute.wav", "flute", "note"), ("dog.wav", "dog", ""), ("nothing.wav", "cat", "")]
    lines = ["package,path,label,notes", *(f"{STAMPS},{path},{label},{note}" for path, label, note in rows)]
    (tmp_path / "table.csv").write_text("\n".join([*lines, f"{VOICES},hello.wav,Speech,"]) + "\n")
    monkeypatch.setattr(recordings, "TABLE", tmp_path / "table.csv")
    return tmp_path / "data"


def test_sounds_are_mono_at_one_rate_their_quiet_ends_cut_their_peak_one(data):
    flute, dog = read_recordings(data, [STAMPS])
    assert [(one.label, one.package, one.is_note) for one in (flute, dog)] == [
        ("flute", STAMPS, True),
        ("dog", STAMPS, False),
    ]
    for one in (flute, dog):
        assert one.waveform.dtype == np.float32 and one.waveform.ndim == 1
        assert np.abs(one.waveform).max() == pytest.approx(1)
    assert len(dog.waveform) / SAMPLING_RATE == pytest.approx(1, abs=0.02)  # of two and a half seconds
    assert len(flute.waveform) / SAMPLING_RATE == pytest.approx(12, abs=0.02)  # of twenty
    pitch = np.argmax(np.abs(np.fft.rfft(dog.waveform))) * SAMPLING_RATE / len(dog.waveform)
    assert pitch == pytest.approx(440, abs=2)


def test_a_package_or_a_sound_that_is_missing_is_named(data):
    with pytest.raises(UserError, match=f"expected {VOICES} unpacked at {data / VOICES}, found nothing; `apt-get down"):
        read_recordings(data, [STAMPS, VOICES])
    (data / STAMPS / "dog.wav").unlink()
    with pytest.raises(UserError, match=r"expected dog.wav in .*, found 1 of 3 sounds missing; take the package"):
        read_recordings(data, [STAMPS])


def test_the_table_names_each_sound_of_known_packages_once():
    rows = table()
    assert {row["package"] for row in rows} == set(PACKAGES) > set(TEST_PACKAGES)
    assert len({(row["package"], row["path"]) for row in rows}) == len(rows) > 500
    assert {row["notes"] for row in rows} == {"", "note"}


def test_every_label_is_something_visible_or_audiosets_name_for_what_is_not():
    for label in {row["label"] for row in table()}:
        things = audioset.things(label)
        assert classes_of(label).any() or things == (), label
