"""The cache on disk: what it takes for the same question, what comes back, how large it gets, who may use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import stage_cache as module
from models.stage_cache import DiskCache, code_digest
from utils.errors import UserError

ROOT = Path(module.__file__).resolve().parents[1]
ENTRY, PROVENANCE = {"family": "clap", "weights": "x"}, {"revision": "1"}
ANSWERS = {
    (("a dog",), ()): np.array([0.1, -np.pi, 1e-42, np.inf], np.float32),
    (("a cat", 3), (("top_k", 5),)): [("dog", 0.1 + 0.2), ("Katze – 猫", 1e-17)],
    ((b"\x00\xff",), ()): "a caption",
    (("e",), ()): {"text_embed": np.zeros((0, 3), np.float16), "losses": [0.5], "none": None, "yes": True},
}


@pytest.fixture
def cache(tmp_path):
    return DiskCache(tmp_path / "cache", 1)


def part(cache, entry=ENTRY, provenance=PROVENANCE, device="cpu"):
    return cache.of_role("audio_text", entry, provenance, device)


def test_what_comes_back_is_what_was_kept_to_the_last_bit(cache, tmp_path):
    part(cache).write("tag", ANSWERS)
    found = part(DiskCache(tmp_path / "cache", 1)).read("tag", [*ANSWERS, (("unknown",), ())])
    assert found.keys() == ANSWERS.keys()
    (embed, tags, caption, mapping), expected = found.values(), list(ANSWERS.values())
    assert embed.dtype == np.float32 and embed.tobytes() == expected[0].tobytes() and embed.flags.writeable
    assert (tags, caption) == (expected[1], expected[2])
    assert mapping.pop("text_embed").shape == (0, 3) and mapping == {"losses": [0.5], "none": None, "yes": True}


@pytest.mark.parametrize(
    "other",
    [
        {"entry": {**ENTRY, "weights": "y"}},
        {"entry": {**ENTRY, "max_new_tokens": 3}},
        {"provenance": {"revision": "2"}},
        {"device": "cuda:1"},
    ],
)
def test_another_network_has_another_part(cache, other):
    part(cache).write("tag", ANSWERS)
    assert part(cache, **other).read("tag", ANSWERS) == {}
    assert part(cache).read("caption", ANSWERS) == {}  # nor does another stage
    assert len(part(cache).read("tag", ANSWERS)) == 4


def test_other_code_or_libraries_have_another_part(cache, monkeypatch):
    part(cache).write("tag", ANSWERS)
    with monkeypatch.context() as patch:
        patch.setattr(module, "code_digest", lambda *_: "other")
        assert part(cache).read("tag", ANSWERS) == {}
    with monkeypatch.context() as patch:
        patch.setattr(module, "library_versions", lambda: {"torch": "3"})
        assert part(cache).read("tag", ANSWERS) == {}


def test_the_code_digest_follows_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for name in ("models/a.py", "utils/table.csv", "methods/a.py"):
        file = tmp_path / name
        file.parent.mkdir()
        digests = []
        for text in ("1", "2", "1"):
            file.write_text(text)
            code_digest.cache_clear()
            digests.append(code_digest())
        assert digests[0] == digests[2]
        assert (digests[0] == digests[1]) == (name == "methods/a.py")  # a new method leaves what networks said valid
    code_digest.cache_clear()


def test_a_methods_part_follows_what_its_stage_depends_on(cache, tmp_path):
    words, depends = tmp_path / "words.txt", {"invert": ("audio_text", "vocabulary", "template")}
    words.write_text("dog")
    settings = {"vocabulary": str(words), "template": "a sound of {}" * 100, "min_similarity": 0.5}

    def of_method(**other):
        return cache.of_method("text_inversion", {**settings, **other}, depends)

    part(cache)
    of_method().write("invert", ANSWERS)
    assert len(of_method().read("invert", ANSWERS)) == 4
    assert len(of_method(min_similarity=0.1).read("invert", ANSWERS)) == 4
    assert of_method(template="{}").read("invert", ANSWERS) == {}
    words.write_text("cat")
    assert of_method().read("invert", ANSWERS) == {}
    words.write_text("dog")
    part(cache, provenance={"revision": "2"})
    assert of_method().read("invert", ANSWERS) == {}


def test_numbers_of_numpy_are_numbers_and_other_things_are_refused(cache):
    part(cache).write("tag", {(("a",), ()): [np.float32(0.5), np.int64(3), np.bool_(True)]})
    assert part(cache).read("tag", [(("a",), ())]) == {(("a",), ()): [0.5, 3, True]}
    with pytest.raises(TypeError, match=r"expected an answer of arrays, texts, .*, found <object"):
        part(cache).write("tag", {(("a",), ()): object()})


def test_it_stays_within_its_size_and_the_oldest_go_first(tmp_path):
    cache = DiskCache(tmp_path / "cache", max_gb=0.02)
    store, block = part(cache), np.random.default_rng(0).random(25_000)  # 200 kB, 270 kB as text
    for number in range(200):
        store.write("tag", {((number,), ()): block})
    held = [number for number in range(200) if store.read("tag", [((number,), ())])]
    assert held == list(range(held[0], 200)) and 40 < len(held) < 110
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) < 30e6


WRITER = """
import sys
import numpy as np
from pathlib import Path
from models.stage_cache import DiskCache
store = DiskCache(Path(sys.argv[1]), 1).of_role("audio_text", {}, {}, "cpu")
for number in range(150):
    store.write("tag", {((number, item), ()): np.full(10, number) for item in range(3)})
    assert len(store.read("tag", [((number, item), ()) for item in range(3)])) == 3
"""


def test_several_processes_share_it(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[1] for process in processes] == ["", "", ""]
    store = DiskCache(tmp_path / "cache", 1).of_role("audio_text", {}, {}, "cpu")
    found = store.read("tag", [((number, item), ()) for number in range(150) for item in range(3)])
    assert len(found) == 450
    assert all((answer == key[0][0]).all() for key, answer in found.items())


def test_a_cache_that_was_larger_shrinks(tmp_path):
    store, block = part(DiskCache(tmp_path, 1)), np.random.default_rng(0).random(25_000)
    for number in range(40):
        store.write("tag", {((number,), ()): block})
    smaller = part(DiskCache(tmp_path, max_gb=0.003))
    assert 0 < len(smaller.read("tag", [((number,), ()) for number in range(40)])) < 12
    DiskCache(tmp_path, max_gb=1e30)


def test_what_is_no_cache_is_said_in_one_sentence(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UserError, match=r"expected a cache that can be read and written in .*file, found: "):
        DiskCache(file, 1)
    with pytest.raises(UserError, match=r"expected an empty folder or a cache in .*, found other files; name another"):
        DiskCache(tmp_path, 1)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "cache.db").write_bytes(b"no database, whatever its name says" * 100)
    with pytest.raises(UserError, match=r"broken, found: file is not a database; name another folder"):
        DiskCache(broken, 1)


def test_a_pickle_is_never_opened(cache, tmp_path, monkeypatch):
    """Whoever may write to the folder could otherwise have his code run."""
    import diskcache

    part(cache).write("tag", {(("a",), ()): "text"})
    with diskcache.Cache(str(tmp_path / "cache")) as foreign:
        (name,) = foreign
        foreign[name] = {"anything": object}
    monkeypatch.setattr("pickle.load", None)
    monkeypatch.setattr("pickle.loads", None)
    assert part(cache).read("tag", [(("a",), ())]) == {}


def test_one_that_another_process_holds_is_waited_for_and_then_said(cache, monkeypatch):
    import diskcache

    def held(*_, **__):
        raise diskcache.Timeout

    monkeypatch.setattr(diskcache.Cache, "transact", held)
    with pytest.raises(UserError, match="found: another process that does not let go of it"):
        part(cache).write("tag", ANSWERS)
