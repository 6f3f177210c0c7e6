"""The recordings that sounds are learnt from: read out of packages, and out of containers built byte by byte."""

from __future__ import annotations

import csv
import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
import soundfile

from models.audio_tagger.soundnet import classes_of
from models.pocket.train import recordings
from models.pocket.train.recordings import (
    PACKAGES,
    SAMPLING_RATE,
    TEST_PACKAGES,
    gravis_patch,
    openttd_sounds,
    qt_resources,
    read_recordings,
    soundfont_samples,
)
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
        assert classes_of([label]).any() or things == (), label


PACKED = b"the same again " * 20


def qt_collection(version: int, magic: bytes = b"qres") -> bytes:
    """/activities/{dog.ogg (as it is), größe.txt (zlib), later.txt (zstd)} and /top.txt."""
    names, offsets = b"", {}
    for name in ("activities", "dog.ogg", "größe.txt", "later.txt", "top.txt"):
        offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0xABCD) + name.encode("utf-16-be")
    contents, places = b"", []
    for content in (b"Ogg!", struct.pack(">I", len(PACKED)) + zlib.compress(PACKED), b"zstd", b""):
        places.append(len(contents))
        contents += struct.pack(">I", len(content)) + content
    dates = struct.pack(">Q", 1) if version >= 2 else b""

    def folder(name, count, first):
        return struct.pack(">IHII", offsets.get(name, 0), 2, count, first) + dates

    def file(name, flags, place):
        return struct.pack(">IHHHI", offsets[name], flags, 0, 1, place) + dates

    tree = folder("", 2, 1) + folder("activities", 3, 3) + file("top.txt", 0, places[3])
    tree += file("dog.ogg", 0, places[0]) + file("größe.txt", 1, places[1]) + file("later.txt", 4, places[2])
    start = 24 if version >= 3 else 20
    header = struct.pack(">4sIIII", magic, version, start, start + len(tree), start + len(tree) + len(contents))
    return header.ljust(start, b"\0") + tree + contents + names


@pytest.mark.parametrize("version", [1, 2, 3])
def test_qt_resources(tmp_path, version):
    path = tmp_path / "a.rcc"
    path.write_bytes(qt_collection(version))
    assert list(qt_resources(path)) == [
        ("activities/dog.ogg", b"Ogg!"),
        ("activities/größe.txt", PACKED),
        ("top.txt", b""),
    ]


@pytest.mark.parametrize(("version", "magic"), [(0, b"qres"), (4, b"qres"), (2, b"RIFF")])
def test_what_is_no_qt_collection_holds_nothing(tmp_path, version, magic):
    (tmp_path / "a.rcc").write_bytes(qt_collection(version, magic))
    assert list(qt_resources(tmp_path / "a.rcc")) == []


@pytest.mark.parametrize("mark", [0, 0x80000000])  # of a set for all systems
def test_openttd_sounds(tmp_path, mark):
    sounds = [(b"Splat\0", b"RIFF first"), (b"", b"RIFF second one"), (b"x" * 200, b"RIFF third")]
    table, body, start = b"", b"", 8 * len(sounds)
    for name, content in sounds:
        table += struct.pack("<II", (start + len(body)) | mark, len(content))
        body += bytes([len(name)]) + name + content
    path = tmp_path / "a.cat"
    path.write_bytes(table + body)
    assert list(openttd_sounds(path)) == [("00", b"RIFF first"), ("01", b"RIFF second one"), ("02", b"RIFF third")]
    path.write_bytes((table + body)[:-4])  # what it says of its length is not believed
    assert list(openttd_sounds(path))[-1] == ("02", b"RIFF t")


def gravis(*samples: tuple[np.ndarray, int, int]) -> bytes:
    """A patch of samples (values, Hz, mode)."""
    layer = bytearray(47)
    layer[6] = len(samples)
    out = b"GF1PATCH110\0".ljust(129 + 63, b"\0") + bytes(layer)
    for values, rate, mode in samples:
        header = bytearray(96)
        raw = values.tobytes()
        struct.pack_into("<I", header, 8, len(raw))
        struct.pack_into("<H", header, 20, rate)
        header[55] = mode
        out += bytes(header) + raw
    return out


def test_gravis_patches_of_every_width_and_sign(tmp_path):
    wave = np.array([0, 0.5, -0.5, 0.25, -1])
    samples = [
        ((wave * 32768).astype("<i2"), 44100, 1),
        ((wave * 32768 + 32768).astype("<u2"), 22050, 3),
        ((wave * 128).astype("i1"), 8000, 0),
        ((wave * 128 + 128).astype("u1"), 0, 2),  # a rate of nothing
    ]
    (tmp_path / "a.pat").write_bytes(gravis(*samples))
    found = list(gravis_patch(tmp_path / "a.pat"))
    assert [(name, rate) for name, (_, rate) in found] == [("0", 44100), ("1", 22050), ("2", 8000), ("3", 22050)]
    for _, (waveform, _) in found:
        assert waveform.dtype == np.float32
        np.testing.assert_allclose(waveform, wave, atol=1e-6)
    (tmp_path / "a.pat").write_bytes(gravis(samples[0])[:-3])  # cut within a value
    assert len(next(gravis_patch(tmp_path / "a.pat"))[1][0]) == 3
    (tmp_path / "a.pat").write_bytes(b"no patch at all".ljust(400, b"\0"))
    assert list(gravis_patch(tmp_path / "a.pat")) == []


def chunk(identifier: bytes, content: bytes) -> bytes:
    return identifier + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def test_soundfont_samples(tmp_path):
    sound = np.array([0, 16384, -16384, 8192, 0, 0, -32768, 32767], "<i2")
    headers = b"".join(
        struct.pack("<20sIIIIIBbHH", name, first, last, 0, 0, rate, 60, 0, 0, 1)
        for name, first, last, rate in (
            (b"Piano D2(L)\0rest", 0, 4, 44100),
            (b"Drum", 6, 8, 22050),
            (b"EOS", 0, 0, 0),
        )
    )
    body = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"odd"))
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", sound.tobytes()))
    body += chunk(b"LIST", b"pdta" + chunk(b"phdr", b"\0" * 38) + chunk(b"shdr", headers))
    (tmp_path / "a.sf2").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"sfbk" + body)
    (piano, drum) = soundfont_samples(tmp_path / "a.sf2")
    assert (piano[0], piano[1][1], drum[0], drum[1][1]) == ("0:Piano D2(L)", 44100, "1:Drum", 22050)
    np.testing.assert_allclose(piano[1][0], [0, 0.5, -0.5, 0.25])
    np.testing.assert_allclose(drum[1][0], [-1, 32767 / 32768])


def test_sounds_inside_containers_are_found_by_the_tables_paths(tmp_path, monkeypatch):
    """Of a zip archive only what the table names, of a set and of a patch by number."""
    wav, ogg = io.BytesIO(), io.BytesIO()
    tone = 0.25 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    soundfile.write(wav, tone, 8000, format="WAV")
    soundfile.write(ogg, tone, 8000, format="OGG")
    folders = [tmp_path / package for package in ("0ad-data", "freepats", "openttd-opensfx")]
    rows = ["public.zip:audio/camel.ogg,camel,", "usr/snare.pat#1,drum,note", "opensfx.cat#00,train,"]
    archive, patch, effects = (
        folder / place
        for folder, place in zip(
            folders,
            (recordings.CONTAINERS["public.zip"], "usr/snare.pat", recordings.CONTAINERS["opensfx.cat"]),
            strict=True,
        )
    )
    for path in (archive, patch, effects):
        path.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("audio/camel.ogg", ogg.getvalue())
        opened.writestr("audio/other.ogg", b"no sound at all")
        opened.writestr("readme.txt", "words")
    samples = [(np.zeros(300, "<i2"), 8000, 1), ((tone * 32768).astype("<i2"), 8000, 1)]
    patch.write_bytes(gravis(*samples))
    effects.write_bytes(struct.pack("<II", 8, len(wav.getvalue())) + b"\0" + wav.getvalue())
    lines = [f"{folder.name},{row}" for folder, row in zip(folders, rows, strict=True)]
    (tmp_path / "table.csv").write_text("\n".join(["package,path,label,notes", *lines]) + "\n")
    monkeypatch.setattr(recordings, "TABLE", tmp_path / "table.csv")
    found = read_recordings(tmp_path, [folder.name for folder in folders])
    assert [(one.label, one.is_note) for one in found] == [("camel", False), ("drum", True), ("train", False)]
    for one in found:
        pitch = np.argmax(np.abs(np.fft.rfft(one.waveform))) * SAMPLING_RATE / len(one.waveform)
        assert pitch == pytest.approx(440, abs=3)
