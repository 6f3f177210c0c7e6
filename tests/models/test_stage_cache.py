"""The cache on disk: what it takes for the same question, what comes back, how large it gets, who may use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import stage_cache as module
from models.stage_cache import StageCache
from utils.errors import UserError

ROOT = Path(module.__file__).resolve().parents[1]
ANSWERS = {
    "embed": np.array([0.1, -np.pi, 1e-42, np.inf], np.float32),
    "tags": [("dog", 0.1 + 0.2), ("Katze – 猫", 1e-17)],
    "caption": "a caption",
    "step": {"text_embed": np.zeros((0, 3), np.float16), "losses": [0.5], "none": None, "yes": True},
    "two": [np.arange(3), {"array": np.float64(0.5)}],
}


@pytest.fixture
def cache(tmp_path):
    return StageCache(tmp_path / "cache", 1)


CLAP = ("clap", "tag")


def files_of(folder):
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "CACHE.txt"]


def test_what_comes_back_is_what_was_kept_to_the_last_bit(cache, tmp_path):
    cache.write(*CLAP, ANSWERS)
    found = StageCache(tmp_path / "cache", 1).read(*CLAP, [*ANSWERS, "unknown", "tags"])
    assert found.keys() == ANSWERS.keys()
    embed, tags, caption, mapping, two = (found[question] for question in ANSWERS)
    assert embed.dtype == np.float32 and embed.tobytes() == ANSWERS["embed"].tobytes() and embed.flags.writeable
    assert (tags, caption) == (ANSWERS["tags"], ANSWERS["caption"])
    assert mapping.pop("text_embed").shape == (0, 3) and mapping == {"losses": [0.5], "none": None, "yes": True}
    assert two[0].tolist() == [0, 1, 2]
    for path in files_of(cache.folder):
        assert path.suffix == ".npz" and len(path.stem) == 64 and path.parent == cache.folder / path.name[:2]


def test_another_question_of_another_network_or_library_is_another(cache, tmp_path, monkeypatch):
    cache.write(*CLAP, {("dog", 1): "answer"})
    for asked in (("other", "tag", [("dog", 1)]), ("clap", "caption", [("dog", 1)]), (*CLAP, [("dog", 2), "dog"])):
        assert cache.read(*asked) == {}
    for versions, known in (({"torch": "3"}, False), ({**module.provenance.versions(), "platform": "other"}, True)):
        monkeypatch.setattr(module.provenance, "versions", lambda versions=versions: versions)
        assert bool(StageCache(tmp_path / "cache", 1).read(*CLAP, [("dog", 1)])) == known


def test_no_answer_is_an_answer(cache):
    cache.write(*CLAP, {"asked": None})
    assert cache.read(*CLAP, ["asked", "unknown"]) == {"asked": None}


def test_numbers_of_numpy_are_numbers_and_other_things_are_refused(cache):
    cache.write(*CLAP, {"a": [np.float32(0.5), np.int64(3), np.bool_(True), ("dog", 1)]})
    assert cache.read(*CLAP, ["a"]) == {"a": [0.5, 3, True, ("dog", 1)]}
    for refused in (object(), np.array([{"a": object}], object), {1: "a"}, [{"b": {None: 1}}], {"__tuple__": "a"}):
        with pytest.raises(TypeError, match=r"expected an answer of arrays, texts, .*, found "):
            cache.write(*CLAP, {"b": refused})
    assert len(files_of(cache.folder)) == 1


class Payload:
    """Code that runs where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_what_is_broken_cut_short_or_of_something_else_counts_as_none(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache.write(*CLAP, {"asked": ANSWERS["embed"]})
    [path] = files_of(cache.folder)
    cache.write(*CLAP, {"something else": "another answer"})
    [other] = {*files_of(cache.folder)} - {path}
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(ANSWERS["embed"].tobytes())] ^= 1
    for broken in (b"", whole[:-1], whole[: len(whole) // 2], bytes(flipped), b"no archive", other.read_bytes()):
        path.write_bytes(broken)
        assert cache.read(*CLAP, ["asked"]) == {}, broken
    for arrays in ({"text": np.array([Payload()], object)}, {"other": np.zeros(3)}, {"text": np.zeros(3, np.uint8)}):
        np.savez(path, **arrays)
        assert cache.read(*CLAP, ["asked"]) == {}
    with path.open("wb") as file:
        np.save(file, np.array([Payload()], object))
    assert cache.read(*CLAP, ["asked"]) == {} and not Path("unpickled").exists()
    cache.write(*CLAP, {"asked": "mended"})
    assert cache.read(*CLAP, ["asked"]) == {"asked": "mended"}


def test_no_byte_of_an_entry_can_change_without_being_noticed(cache):
    """One or two of every byte; also where the archive's own checks see nothing: a shape in a header, a place in the
    directory.
    """
    cache.write(*CLAP, {"asked": {"caption": "a dog", "embeds": np.arange(3, dtype=np.float32)}})
    [path] = files_of(cache.folder)
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        turned = bytearray(whole)
        turned[bit // 8] ^= 1 << bit % 8
        path.write_bytes(turned)
        assert cache.read(*CLAP, ["asked"]) == {}, bit
    path.write_bytes(whole)
    assert cache.read(*CLAP, ["asked"])["asked"]["caption"] == "a dog"


def test_an_entry_that_was_changed_by_hand_counts_as_none(cache):
    cache.write(*CLAP, {"asked": "a dog"})
    [path] = files_of(cache.folder)
    with np.load(path) as arrays:  # a plain archive
        text = arrays["text"].tobytes().replace(b"dog", b"cat")
    with path.open("wb") as file:
        np.savez(file, text=np.frombuffer(text, np.uint8))
    assert cache.read(*CLAP, ["asked"]) == {}


def block(number):
    """200 kB."""
    return {number: np.full(25_000, number, np.float64)}


def test_it_stays_within_its_size_and_what_was_not_asked_for_longest_goes_first(tmp_path):
    cache = StageCache(tmp_path / "cache", max_gb=0.005)
    for number in range(50):
        cache.write(*CLAP, block(number))
        assert cache.read(*CLAP, [7]) or number < 7  # asked for all the time
        for path in files_of(cache.folder):  # clocks of file systems are coarse
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 10_000_000))
    held = [number for number in range(50) if cache.read(*CLAP, [number])]
    assert held == [7, *range(held[1], 50)] and 22 <= len(held) <= 25
    assert sum(path.stat().st_size for path in files_of(cache.folder)) <= 0.005e9


def test_a_cache_that_was_larger_shrinks_and_leaves_what_is_not_its_own(tmp_path):
    cache = StageCache(tmp_path, 1)
    for number in range(40):
        cache.write(*CLAP, block(number))
    (tmp_path / "CACHE.txt").write_text("of an older version")
    ours = files_of(tmp_path)[0]
    stray, unfinished = (ours.with_name(f".{ours.name}.{process}.partial") for process in (1, 2))
    foreign = [tmp_path / "notes.txt", ours.with_name("mydata.npz"), ours.with_name(".notes.txt.1.partial")]
    for path in (stray, unfinished, *foreign):
        path.write_bytes(b"x" * 1000)
    for path in (stray, *foreign):
        os.utime(path, (0, 0))
    smaller = StageCache(tmp_path, max_gb=0.003)
    assert 0 < sum(bool(smaller.read(*CLAP, [number])) for number in range(40)) <= 15
    assert not stray.exists() and unfinished.exists() and all(path.exists() for path in foreign)
    assert (tmp_path / "CACHE.txt").read_text() == "of an older version"
    StageCache(tmp_path, max_gb=1e30)


def test_its_size_is_what_it_takes_on_the_disk(tmp_path):
    cache = StageCache(tmp_path, max_gb=0.00025)
    for number in range(120):
        cache.write(*CLAP, {number: "a caption"})
    held = files_of(tmp_path)
    assert 10 < len(held) < 120 and sum(path.stat().st_blocks * 512 for path in held) <= 0.00025e9


def test_a_link_in_its_folder_is_refused(cache, tmp_path):
    (notes := tmp_path / "notes.txt").write_text("mine")
    (linked := tmp_path / "linked").mkdir()
    (linked / "CACHE.txt").symlink_to(notes)
    refusal = r"expected a cache without links, found one at .*; remove it, or name another folder"
    for _ in ("there", "nowhere"):
        with pytest.raises(UserError, match=refusal):
            StageCache(linked, 1)
        assert not notes.exists() or notes.read_text() == "mine"
        notes.unlink(missing_ok=True)
    cache.write(*CLAP, {"asked": "answer"})
    [ours] = files_of(cache.folder)
    ours.parent.rename(elsewhere := tmp_path / "elsewhere")
    ours.parent.symlink_to(elsewhere)
    before = (elsewhere / ours.name).stat()
    for use in (
        lambda: StageCache(cache.folder, 1e-9),
        lambda: cache.read(*CLAP, ["asked"]),
        lambda: cache.write(*CLAP, {"asked": "other"}),
    ):
        with pytest.raises(UserError, match=refusal):
            use()
    assert [path.name for path in elsewhere.iterdir()] == [ours.name] and (elsewhere / ours.name).stat() == before


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_an_entry_that_is_no_file_counts_as_absent(cache, tmp_path, kind):
    cache.write(*CLAP, {"asked": "answer"})
    [ours] = files_of(cache.folder)
    kept = ours.rename(tmp_path / ours.name)
    os.utime(kept, (0, 0))
    if kind == "link":
        ours.symlink_to(kept)
    elif kind == "fifo":
        os.mkfifo(ours)
    else:
        ours.mkdir()
    assert cache.read(*CLAP, ["asked"]) == {} and kept.stat().st_mtime == 0
    StageCache(cache.folder, 1e-9)  # no file of ours: stays
    assert os.path.lexists(ours)
    cache.write(*CLAP, {"asked": "new"})
    assert cache.read(*CLAP, ["asked"]) == ({} if kind == "folder" else {"asked": "new"})
    assert ours.is_dir() == (kind == "folder") and not list(ours.parent.glob(".*")) and kept.stat().st_mtime == 0


WRITER = """
import sys
import numpy as np
from pathlib import Path
from models.stage_cache import StageCache
cache = StageCache(Path(sys.argv[1]), 1)
for number in range(60):
    asked = [(number, item) for item in range(3)]
    cache.write("clap", "tag", {question: np.full(10, number) for question in asked})
    assert len(cache.read("clap", "tag", asked)) == 3
"""


def test_several_processes_share_it(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[1] for process in processes] == ["", "", ""]
    cache = StageCache(tmp_path / "cache", 1)
    found = cache.read(*CLAP, [(number, item) for number in range(60) for item in range(3)])
    assert len(found) == 180
    assert all((answer == number).all() for (number, _), answer in found.items())


def test_what_another_process_removes_meanwhile_is_no_error(cache, monkeypatch):
    def gone(*_):
        raise FileNotFoundError

    cache.write(*CLAP, ANSWERS)
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "utime", gone)
        assert cache.read(*CLAP, ANSWERS) == {}
        patch.setattr("utils.files.os.replace", gone)
        cache.write(*CLAP, {"more": 1})
    assert len(cache.read(*CLAP, [*ANSWERS, "more"])) == len(ANSWERS)


def test_what_is_no_cache_is_said_in_one_sentence(cache, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UserError, match=r"expected a cache that can be read and written in .*file, found: "):
        StageCache(file, 1)
    with pytest.raises(UserError, match=r"expected an empty folder or a cache in .*, found other files; name another"):
        StageCache(tmp_path, 1)
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"cache, found: it cannot be written to; name"):
        patch.setattr(module.os, "access", lambda *_: False)
        StageCache(cache.folder, 1)
    for number in range(256):
        (cache.folder / f"{number:02x}").write_text("in the way of a folder")
    with pytest.raises(UserError, match=r"cache, found: .*; name another folder with --cache, or leave it out"):
        cache.write(*CLAP, ANSWERS)
