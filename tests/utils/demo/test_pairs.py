"""Which picture goes with which sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.demo.pairs import listed, paired
from utils.errors import UserError


@pytest.fixture
def there(tmp_path, monkeypatch):
    """Makes empty files in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> None:
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    return make


def names(images: list[str], sounds: list[str]) -> tuple[list[str], list[str]]:
    pairs, left = paired(list(map(Path, images)), list(map(Path, sounds)))
    return [f"{image.as_posix()} {sound.as_posix()}" for image, sound in pairs], [path.as_posix() for path in left]


def test_one_folder_of_both_is_paired_by_name_and_the_rest_is_named(there):
    there("d/dog.JPG", "d/dog.wav", "d/cat.png", "d/clip.mp4", "d/notes.txt", "d/.hidden.jpg", "d/ox.webp", "d/ox.flac")
    assert names(["d"], ["d"]) == (["d/dog.JPG d/dog.wav", "d/ox.webp d/ox.flac"], ["d/cat.png", "d/clip.mp4"])


def test_one_file_goes_with_all_of_the_other_kind(there):
    there("i/a.jpg", "i/b.jpg", "w/x.wav", "w/y.wav")
    assert names(["i/a.jpg"], ["w"]) == (["i/a.jpg w/x.wav", "i/a.jpg w/y.wav"], [])
    assert names(["i"], ["w/x.wav"]) == (["i/a.jpg w/x.wav", "i/b.jpg w/x.wav"], [])
    assert names(["i/b.jpg"], ["w/x.wav", "w/y.wav"])[0] == ["i/b.jpg w/x.wav", "i/b.jpg w/y.wav"]


def test_of_equal_names_the_nearer_is_meant(there):
    there("a/image/dog.jpg", "b/image/dog.jpg", "a/wav/dog.wav", "b/wav/dog.wav")
    pairs, left = names(["a/image", "b/image"], ["b/wav", "a/wav"])
    assert (pairs, left) == (["a/image/dog.jpg a/wav/dog.wav", "b/image/dog.jpg b/wav/dog.wav"], [])
    there("a/wav/dog.mp4")
    with pytest.raises(UserError, match=r"one sound for a/image/dog.jpg, found a/wav/dog.mp4, a/wav/dog.wav"):
        names(["a/image"], ["a/wav"])


def test_what_cannot_be_paired_is_one_sentence(there):
    there("i/a.jpg", "i/b.jpg", "w/x.wav", "w/y.wav", "none/notes.txt")
    with pytest.raises(UserError, match="of the same name.*found a.jpg and x.wav, for instance"):
        names(["i"], ["w"])
    with pytest.raises(UserError, match="at least an image in the folder none, found none; check --img_path"):
        names(["none"], ["w"])


def test_many_files_in_a_sentence():
    assert listed([Path("a"), Path("b")]) == "a, b"
    assert listed([Path(str(i)) for i in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
